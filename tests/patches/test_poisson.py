import cv2
import numpy as np
import pytest

from backend.patches import poisson
from backend.patches.poisson import masked_gradients, screened, seamless

RNG = np.random.default_rng(7)
SIZES = [(36, 64), (35, 63), (36, 63)]


def forward(image, axis):
    return np.diff(image, axis=axis, append=np.take(image, [-1], axis=axis))


def normal_equations(u, gradient_x, gradient_y, weight):
    """(1 + w² DᵀD) u − w² Dᵀ g, written with plain loops over the two ends of every difference."""
    result = u.copy()
    for axis, gradient in ((1, gradient_x), (0, gradient_y)):
        residual = np.square(weight) * (forward(u, axis) - gradient)
        last = [slice(None)] * 3
        last[axis] = -1
        residual[tuple(last)] = 0
        result += np.roll(residual, 1, axis) - residual
    return result


@pytest.mark.parametrize("size", SIZES)
def test_solution_satisfies_the_normal_equations(size):
    image, gx, gy = RNG.random((3, *size, 3))
    weight = np.array([2.5, 0.5, 0.5])
    u = screened(image, gx, gy, weight)
    gx[:, -1], gy[-1] = 0, 0
    assert np.abs(normal_equations(u, gx, gy, weight) - image).max() < 1e-9


def test_solution_is_that_of_plain_least_squares():
    height, width, weight = 9, 12, 2.0
    image, gx, gy = RNG.random((3, height, width, 1))
    eye = np.eye(height * width).reshape(-1, height, width)
    rows = [eye] + [weight * np.diff(eye, axis=axis) for axis in (2, 1)]
    goals = [image[..., 0], weight * gx[:, :-1, 0], weight * gy[:-1, :, 0]]
    system = np.concatenate([row.reshape(len(eye), -1).T for row in rows])
    fit = np.linalg.lstsq(system, np.concatenate([goal.ravel() for goal in goals]), rcond=None)[0]
    assert np.abs(screened(image, gx, gy, weight)[..., 0].ravel() - fit).max() <= 2e-4


@pytest.mark.parametrize("size", SIZES)
def test_an_images_own_gradients_give_the_image_back(size):
    image = RNG.random((*size, 3))
    gx, gy = masked_gradients([image], [np.ones(size)])
    assert np.abs(screened(image, gx, gy, 2.5) - image).max() < 1e-10
    single = image.astype(np.float32)
    assert screened(single, gx.astype(np.float32), gy.astype(np.float32), 2.5).dtype == np.float32


def test_a_brighter_source_changes_nothing_since_only_its_gradients_count():
    source, target = RNG.random((2, 36, 64, 3))
    inside = np.zeros((36, 64))
    inside[8:28, 10:50] = 1
    blends = [
        screened(target, *masked_gradients([image, target], [inside, 1 - inside]), 2.5)
        for image in (source, source + 0.3)
    ]
    assert np.abs(blends[0] - blends[1]).max() < 1e-9
    assert np.abs(blends[0] - target).max() > 0.05


def test_without_gradients_no_value_leaves_the_range_of_the_image():
    image = RNG.random((36, 64, 3))
    u = screened(image, np.zeros_like(image), np.zeros_like(image), 3.0)
    assert image.min() <= u.min() and u.max() <= image.max()
    assert u.std() < 0.5 * image.std()


def test_gradients_do_not_cross_the_edge_of_validity():
    step = np.zeros((8, 10, 1))
    step[:, 5:] = 1
    left = np.zeros((8, 10))
    left[:, :5] = 1
    gx, gy = masked_gradients([step, np.full_like(step, 0.5)], [left, 1 - left])
    assert not gx.any() and not gy.any()
    gx, _ = masked_gradients([step], [np.ones((8, 10))])
    assert gx[:, 4, 0].tolist() == [1.0] * 8


def test_a_seam_between_two_levels_dissolves():
    ramp = np.tile(np.linspace(0, 0.2, 64), (36, 1))[..., None]
    left = np.zeros((36, 64))
    left[:, :32] = 1
    pasted = np.where(left[..., None] > 0, ramp, ramp + 0.3)
    gradients = masked_gradients([ramp, ramp + 0.3], [left, 1 - left])
    assert np.abs(np.diff(pasted, axis=1)).max() > 0.3
    assert np.abs(np.diff(screened(pasted, *gradients, 6.0), axis=1)).max() < 0.03


def blob(size):
    """A region with islands, holes and parts at the border."""
    wave = cv2.GaussianBlur(np.random.default_rng(3).random(size), (0, 0), 3)
    return wave > np.median(wave)


@pytest.mark.parametrize("size", SIZES)
def test_a_seamless_paste_fits_the_gradients_inside_and_leaves_the_rest(size):
    image, gx, gy = RNG.random((3, *size, 3))
    gx[:, -1], gy[-1] = 0, 0
    inside = blob(size)
    u = seamless(image, gx, gy, inside, tolerance=1e-12)
    residual = normal_equations(u, gx, gy, 1.0) - u
    assert np.abs(residual[inside]).max() <= 1e-10
    assert np.array_equal(u[~inside], image[~inside])
    assert seamless(image.astype(np.float32), gx, gy, inside).dtype == np.float32


def test_a_brighter_source_leaves_a_seamless_paste_unchanged():
    source, target = RNG.random((2, 36, 64, 3))
    inside = np.zeros((36, 64), bool)
    inside[8:28, 10:50] = True
    gradients = [masked_gradients([source + offset], [np.ones((36, 64))]) for offset in (0, 0.3)]
    started = [np.where(inside[..., None], source + offset, target) for offset in (0, 0.3)]
    pastes = [seamless(image, *g, inside, 1e-13) for image, g in zip(started, gradients, strict=True)]
    assert np.abs(pastes[0] - pastes[1]).max() <= 1e-9
    assert np.abs(pastes[0] - target).max() > 0.05


def test_without_gradients_a_seamless_paste_stays_between_the_values_around_it():
    image = RNG.random((36, 64, 3))
    inside = np.zeros((36, 64), bool)
    inside[5:30, 6:60] = True
    u = seamless(image, np.zeros_like(image), np.zeros_like(image), inside, 1e-12)
    around = image[~inside]
    assert around.min() <= u[inside].min() and u[inside].max() <= around.max()


def test_a_seamless_paste_that_nothing_touches_keeps_its_mean_and_its_gradients():
    image = RNG.random((36, 64, 3))
    gx, gy = masked_gradients([image], [np.ones((36, 64))])
    lifted = image + 0.2
    everywhere = np.ones((36, 64), bool)
    assert np.abs(seamless(lifted, gx, gy, everywhere) - lifted).max() < 1e-10
    flat = np.broadcast_to(lifted.mean((0, 1)), lifted.shape).copy()
    assert np.abs(seamless(flat, gx, gy, everywhere, 1e-12) - lifted).max() < 1e-8


@pytest.mark.parametrize("size", [(71, 127), (216, 384)])
def test_a_dozen_iterations_do_whatever_the_size(size, monkeypatch):
    """Long waves are what plain iterations miss: a source that rises across a picture held at one side alone."""
    source = np.broadcast_to(np.linspace(0, 1, size[1])[:, None], (*size, 3)) + 0.05 * RNG.random((*size, 3))
    inside = np.ones(size, bool)
    inside[:, 0] = inside[20:24, 30:40] = False
    started = np.where(inside[..., None], source + 0.3, source)
    monkeypatch.setattr(poisson, "ITERATIONS", 12)
    u = seamless(started, *masked_gradients([source], [np.ones(size)]), inside)
    assert np.abs(u - source).max() < 1e-3


@pytest.mark.parametrize("size", [(36, 64), (35, 63)])
def test_what_preconditions_is_symmetric(size):
    levels = [blob(size)[..., None].astype(float)]
    while min(levels[-1].shape[:2]) > poisson.COARSEST:
        levels.append(poisson._coarser(levels[-1]))
    a, b = levels[0] * RNG.random((2, *size, 1))
    assert (a * poisson._cycle(b, levels)).sum() == pytest.approx((b * poisson._cycle(a, levels)).sum(), rel=1e-12)
