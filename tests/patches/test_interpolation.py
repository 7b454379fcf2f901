"""Two key frames carried to one place: which is better where, and how they become one picture."""

import cv2
import numpy as np
import pytest

from backend.patches.interpolation import chosen_later, interpolated
from backend.patches.statistics import contrast_blend, fine_detail, softened

RNG = np.random.default_rng(3)
SHAPE = (24, 32)
ALL = np.ones(SHAPE, bool)
NONE = np.zeros(SHAPE, np.float32)


def still(_, x):
    return x


def painting(seed):
    noise = np.random.default_rng(seed).random((*SHAPE, 3)).astype(np.float32)
    return np.clip(0.5 + 1.5 * (cv2.GaussianBlur(noise, (0, 0), 1.5) - 0.5), 0, 1)


def test_a_surface_changes_keys_once_where_it_gains_the_most():
    advantages = [RNG.standard_normal(SHAPE).astype(np.float32) for _ in range(7)]
    chosen = np.array(chosen_later(advantages, still, still))
    assert (np.diff(chosen, axis=0) >= 0).all()
    gains = [np.sum(advantages[k:], axis=0) if k < 7 else NONE for k in range(8)]  # changing before frame k
    assert np.array_equal(chosen.sum(0), 7 - np.argmax(gains, axis=0))


def test_an_error_that_flickers_does_not_make_the_choice_flicker():
    gains = [-0.05, -0.2, 0.03, -0.07, 0.2, 0.05]  # frame by frame the better key would change three times
    chosen = chosen_later([np.full(SHAPE, gain, np.float32) for gain in gains], still, still)
    assert [float(choice[0, 0]) for choice in chosen] == [0, 0, 0, 0, 1, 1]


def test_the_choice_moves_with_the_surface():
    def carry(_, x):
        return np.roll(x, 1, axis=1)

    def back(_, x):
        return np.roll(x, -1, axis=1)

    first = RNG.standard_normal(SHAPE).astype(np.float32)
    moving = chosen_later([np.roll((k - 2) * 0.4 + first, k, axis=1) for k in range(5)], carry, back)
    resting = chosen_later([(k - 2) * 0.4 + first for k in range(5)], still, still)
    assert all(np.array_equal(m, np.roll(r, k, axis=1)) for k, (m, r) in enumerate(zip(moving, resting, strict=True)))


def test_the_choice_is_the_same_backwards_in_time():
    advantages = [RNG.standard_normal(SHAPE).astype(np.float32) for _ in range(6)] + [NONE]
    forwards = chosen_later(advantages, still, still)
    backwards = chosen_later([-a for a in reversed(advantages)], still, still)
    assert all(np.array_equal(f, 1 - b) for f, b in zip(forwards, reversed(backwards), strict=True))


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_b3_equal_pictures_become_themselves(share, gradients):
    image = painting(1)
    later = (RNG.random(SHAPE) > 0.5).astype(np.float32)
    joined = interpolated([image, image], [ALL, ALL], share, later, 4.0, gradients)
    assert np.abs(joined - image).max() < 1 / 255


@pytest.mark.parametrize("gradients", [True, False])
def test_b2_the_blend_is_the_same_backwards_in_time(gradients):
    a, b, later = painting(1), painting(2), (RNG.random(SHAPE) > 0.5).astype(np.float32)
    seen = [ALL.copy(), ALL.copy()]
    seen[0][:, :9], seen[1][:, 20:] = False, False
    forwards = interpolated([a, b], seen, 0.3, later, 4.0, gradients)
    assert np.abs(forwards - interpolated([b, a], seen[::-1], 0.7, 1 - later, 4.0, gradients)).max() < 1e-4


def test_b4_a_blend_has_the_mean_and_the_contrast_of_the_better_picture():
    images, like = [painting(1) * np.float32([0.9, 0.7, 1]), painting(2) + 0.1], painting(3)
    share = RNG.random(SHAPE).astype(np.float32)
    mixed = contrast_blend(images, [1 - share, share], like)
    assert np.allclose(mixed.mean((0, 1)), like.mean((0, 1)), atol=1e-5)
    assert np.allclose(mixed.std((0, 1)), like.std((0, 1)), atol=1e-5)
    assert images[0].std() > 1.2 * ((images[0] + images[1]) / 2).std()  # what a mean alone would lose


def test_where_one_key_ends_there_is_no_seam():
    a, b = painting(1) * 0.5, painting(1) * 0.5 + 0.25
    seen = [ALL.copy(), ALL]
    seen[0][:, 16:] = False
    whole = np.where(seen[0][..., None], a, b)
    steps = []
    for gradients, fade in ((False, 1.0), (True, 1.0), (True, 6.0)):
        joined = interpolated([whole, b], seen, 0.2, 1 - seen[0].astype(np.float32), fade, gradients)
        steps.append(np.abs((joined - b)[:, 16] - (joined - b)[:, 15]).mean())
    assert steps[1] < 0.5 * steps[0], steps
    assert steps[2] < steps[1], steps


def test_softening_meets_the_wanted_detail_where_asked_and_nowhere_else():
    image, where = painting(1), np.zeros(SHAPE, bool)
    where[8:16] = True
    wanted = 0.9 * fine_detail(image, where)
    soft = softened(image, where, wanted)
    assert fine_detail(soft, where) == pytest.approx(wanted, rel=1e-3)
    assert np.array_equal(soft[:3], image[:3]) and np.array_equal(soft[22:], image[22:])
    assert np.array_equal(softened(image, where, 1.1 * fine_detail(image, where)), image)
    assert np.array_equal(softened(image, ~(where | ~where), 0.0), image)
