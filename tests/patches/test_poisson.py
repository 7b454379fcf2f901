import numpy as np
import pytest

from backend.patches.poisson import masked_gradients, screened

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
