"""Paint over one finished frame: carried exactly to where it shows, and nowhere else."""

from __future__ import annotations

import numpy as np

from backend.methods.retouch import Retouch
from backend.motion.correspondence import Correspondence

SHAPE = (24, 40)


class Shifting:
    """The whole picture moves 3 px to the right a frame; what leaves it is gone."""

    def pair(self, i: int, j: int) -> Correspondence:
        flow = np.zeros((*SHAPE, 2), np.float32)
        flow[..., 0] = 3 * (j - i)
        x = np.arange(SHAPE[1]) + 3 * (j - i)
        inside = np.broadcast_to((x >= 0) & (x < SHAPE[1]), SHAPE)
        return Correspondence(flow, inside.astype(np.float32), inside.copy())

    def describe(self) -> dict[str, object]:
        return {}


def frames() -> tuple[np.ndarray, np.ndarray]:
    before = np.random.default_rng(0).integers(0, 256, (*SHAPE, 3)).astype(np.float32) / 255
    after = before.copy()
    after[8:14, 30:36] = (1.0, 0.0, 0.0)
    return before, after


def other() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (*SHAPE, 3)).astype(np.float32) / 255


def test_the_painted_frame_is_as_the_artist_left_it() -> None:
    before, after = frames()
    assert np.array_equal(Retouch(5, before, after).on(5, before, Shifting()), after)


def test_paint_moves_with_what_it_is_on_and_leaves_the_rest_alone() -> None:
    before, after = frames()
    image = other()
    painted = Retouch(5, before, after).on(3, image, Shifting())  # 6 px to the left
    np.testing.assert_array_equal(painted[8:14, 24:30], after[8:14, 30:36])
    changed = np.abs(painted - image).max(-1) > 0
    assert changed[8:14, 24:30].all() and not changed[:5].any() and not changed[:, :21].any()
    levels = painted * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


def test_a_frame_that_shows_none_of_it_stays_the_same_object() -> None:
    before, after = frames()
    image = other()
    assert Retouch(5, before, after).on(20, image, Shifting()) is image
    assert Retouch(5, before, before).on(4, image, Shifting()) is image
