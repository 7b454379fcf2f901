"""Key frames by coverage: against all choices there are, and in words that an artist reads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from backend.motion.correspondence import Correspondence
from backend.motion.keyframes import ENOUGH, choose_keys, shown_by, takes, uniform_keys

FRAMES = range(1, 13)


def hold_then_whip(frame: int) -> float:
    """Where the camera looks: it holds for eight frames and then whips away."""
    return 0.0 if frame <= 8 else 30.0 * (frame - 8)


def shows(frame: int, key: int) -> np.ndarray:
    """Samples of a 100 px wide strip that ``key`` shows too."""
    x = np.arange(100) + hold_then_whip(frame) - hold_then_whip(key)
    return ((x >= 0) & (x < 100)).astype(np.float32)


def covered(keys: tuple[int, ...]) -> float:
    return float(np.mean([np.max([shows(frame, key) for key in keys], axis=0) for frame in FRAMES]))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_greedy_comes_near_the_best_choice(count: int) -> None:
    choice = choose_keys(FRAMES, shows, count)
    best = max(map(covered, itertools.combinations(FRAMES, count)))
    assert choice.coverage[-1] == pytest.approx(covered(choice.keys))
    assert choice.coverage[-1] >= (1 - 1 / np.e) * best
    assert list(choice.coverage) == sorted(choice.coverage)


def test_the_whip_gets_its_keys_and_the_hold_only_one() -> None:
    choice = choose_keys(FRAMES, shows, 12)
    assert sum(key <= 8 for key in choice.keys) == 1
    assert choice.coverage[-1] >= ENOUGH
    uniform = covered((1, 5, 9, 12))
    assert covered(choice.keys[:4]) >= uniform


def test_the_artists_own_keys_are_kept() -> None:
    choice = choose_keys(FRAMES, shows, 2, own=(3, 7, 99))
    assert choice.keys == (3, 7)
    assert str(choice).startswith("2 key frames cover ") and str(choice).endswith(" % of the shot")
    assert str(choose_keys(FRAMES, shows, 1)).startswith("1 key frame covers ")


def test_one_frame_and_nothing_shown() -> None:
    assert choose_keys([5], lambda frame, key: np.ones(4), 3).keys == (5,)
    blind = choose_keys(FRAMES, lambda frame, key: np.zeros(4), 3)
    assert len(blind.keys) == 1 and blind.coverage == (0.0,)


def test_a_push_in_asks_for_a_late_key() -> None:
    class Zoom:
        """A camera that comes 10 % nearer every frame to a plane that it never leaves."""

        def pair(self, i: int, j: int) -> Correspondence:
            y, x = np.mgrid[:36, :64].astype(np.float32)
            scale = 1.1 ** (j - i)
            flow = np.stack([(x - 32) * (scale - 1), (y - 18) * (scale - 1)], -1).astype(np.float32)
            to = flow + np.stack([x, y], -1)
            inside = (to[..., 0] >= 0) & (to[..., 0] <= 63) & (to[..., 1] >= 0) & (to[..., 1] <= 35)
            return Correspondence(flow, inside.astype(np.float32), inside)

        def describe(self) -> dict:
            return {}

    near, far = shown_by(Zoom(), 4)(1, 6), shown_by(Zoom(), 4)(6, 1)
    assert near.max() == 1 and 0 < (near == 0).mean() < 1  # the near frame shows less, but sharply
    assert far.min() > 0 and far.max() == pytest.approx(1.1**-10, abs=0.01)
    choice = choose_keys(range(1, 7), shown_by(Zoom(), 4), 2)
    assert max(choice.keys) >= 4 and min(choice.keys) <= 3


def test_uniform_keys_are_few_even_and_include_the_ends_and_the_artists_own():
    assert uniform_keys(range(1, 25), 10) == (1, 9, 16, 24)
    assert uniform_keys(range(1, 22), 10) == (1, 11, 21)
    assert uniform_keys([5], 10) == (5,)
    assert uniform_keys([2, 4, 6, 8], 1) == (2, 4, 6, 8)
    with_own = uniform_keys(range(30), 10, own=[13, 99])
    assert 13 in with_own and {0, 29} <= set(with_own) and max(np.diff(with_own)) <= 10 and len(with_own) == 5


def test_takes_part_at_cuts_even_where_the_cut_frame_is_not_in_the_shot():
    assert takes([1, 2, 3, 4], []) == [(1, 2, 3, 4)]
    assert takes([1, 3, 5, 7], [4, 1]) == [(1, 3), (5, 7)]
