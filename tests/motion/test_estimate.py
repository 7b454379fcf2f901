"""Estimated motion of footage whose true motion is known, since it was cut out of one large picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.measure.ray_truth import VISIBLE
from backend.motion.estimate import EstimatedMotion
from tests.shot.probe import probe

SIZE = 96, 64
FRAMES = (10, 12, 14, 16, 18)
SPEED = np.array([1.6, -0.7])  # px from one frame of the list to the next


def picture() -> np.ndarray:
    noise = np.random.default_rng(0).random((200, 240, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), 2.5)
    return np.clip((blurred - 0.5) * 4 + 0.5, 0, 1)


class Footage:
    """A window that glides over the picture; it counts how often a frame is asked for."""

    def __init__(self, size: tuple[int, int] = SIZE) -> None:
        self.size, self.source = size, picture()

    def image(self, frame: int) -> np.ndarray:
        x, y = 40 - SPEED * FRAMES.index(frame)
        shift = np.array([[1, 0, -x], [0, 1, -y]])
        return cv2.warpAffine(self.source, shift, self.size, flags=cv2.INTER_CUBIC).clip(0, 1)


def motion(cuts: tuple[int, ...] = (), size: tuple[int, int] = SIZE) -> EstimatedMotion:
    return EstimatedMotion(FRAMES, Footage(size).image, frozenset(cuts))


@pytest.mark.parametrize(("i", "j"), [(10, 12), (12, 10), (14, 16), (10, 18), (18, 10)])
def test_a_glide_is_followed_and_chained(i: int, j: int) -> None:
    steps = FRAMES.index(j) - FRAMES.index(i)
    found = motion().pair(i, j)
    error = np.linalg.norm(found.flow - SPEED * steps, axis=-1)
    assert np.median(error[found.valid > 0.5]) < 0.15 * abs(steps) ** 0.5
    assert found.valid[16:-16, 16:-16].mean() > 0.95
    width = int(np.ceil(abs(SPEED[0] * steps)))  # what left the frame
    gone = found.valid[:, -width + 1 :] if steps > 0 else found.valid[:, : width - 1]
    assert gone.mean() < 0.5


def test_frames_that_are_equal_do_not_move() -> None:
    still = EstimatedMotion((1, 2), lambda _: picture()[:64, :96], frozenset())
    found = still.pair(1, 2)
    assert not found.flow.any() and found.valid.all() and found.strict.all()
    same = still.pair(2, 2)
    assert not same.flow.any() and same.strict.all()


def test_an_unrelated_frame_is_mostly_refused() -> None:
    images = {1: picture()[:64, :96], 2: picture()[100:164, 120:216][::-1]}
    assert EstimatedMotion((1, 2), images.__getitem__, frozenset()).pair(1, 2).valid.mean() < 0.6


def test_cuts_are_not_crossed() -> None:
    cut = motion(cuts=(14,))
    for i, j in ((12, 14), (14, 12), (10, 18)):
        assert not cut.pair(i, j).valid.any() and not cut.pair(i, j).strict.any()
    assert cut.pair(14, 18).valid.mean() > 0.5


def test_the_order_of_questions_does_not_matter() -> None:
    first, second = motion(), motion()
    first.pair(10, 12)
    for pair in ((10, 18), (16, 12)):
        second.pair(*pair)
    for pair in ((10, 18), (16, 12), (10, 12)):
        np.testing.assert_array_equal(first.pair(*pair).flow, second.pair(*pair).flow)
        np.testing.assert_array_equal(first.pair(*pair).valid, second.pair(*pair).valid)


def test_tiny_frames() -> None:
    found = motion(size=(9, 7)).pair(10, 12)
    assert found.flow.shape == (7, 9, 2) and np.isfinite(found.flow).all()


def test_it_says_that_it_is_an_estimate() -> None:
    told = motion().describe()
    assert told["source"] == "estimated" and "inverse search" in told["estimator"] and told["objects"] == {}


def test_footage_of_a_rendered_scene() -> None:
    captured = probe()
    shot = captured.shot()
    found = EstimatedMotion(shot.frames, shot.beauty, frozenset()).pair(1, 2)
    truth = captured.truth(1, 2)
    error = np.linalg.norm(found.flow - truth.flow, axis=-1)
    seen = truth.state == VISIBLE
    assert np.median(error[seen]) < 0.5
    kept = seen & (found.valid > 0)
    assert error[kept].mean() < error[seen].mean()  # the check forward and backward refuses the worst
