"""How a long shot is cut into windows."""

from __future__ import annotations

import pytest

from backend.methods.windows import Gap, Part, gaps, key_frames, needed, windows
from backend.motion.keyframes import takes


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 10, 24, 57, 200, 1001])
@pytest.mark.parametrize("size", [3, 8, 13])
def test_every_frame_is_denoised_once_after_its_references(count, size):
    frames = list(range(-3, count - 3))
    made = []
    for part in windows(frames, size):
        assert len(part.frames) + len(part.frozen) <= size
        assert set(part.frozen) <= set(made)
        assert not part.frozen or part.frozen[0] < part.frames[0] <= part.frames[-1] < part.frozen[1]
        made += part.frames
    assert sorted(made) == frames


def test_neighbouring_windows_share_a_reference():
    parts = windows(range(1, 25), 8)
    assert parts[0] == Part((1, 7, 13, 18, 24), ())
    assert [part.frozen for part in parts[1:]] == [(1, 7), (7, 13), (13, 18), (18, 24)]


def test_few_references_are_held_however_long_the_shot_is():
    parts, held = windows(range(3000), 8), []
    for number in range(len(parts)):
        made = {frame for part in parts[: number + 1] for frame in part.frames}
        held.append(len(made & {frame for part in parts[number + 1 :] for frame in part.frozen}))
    assert max(held) <= 8 + 3 * 6


def test_only_the_windows_that_lead_to_a_frame_are_needed():
    parts = windows(range(1, 201), 8)
    lead = needed(parts, [77])
    assert len(lead) == 3 and lead[0] == parts[0]
    assert 77 in lead[-1].frames and set(lead[-1].frozen) <= set(lead[0].frames) | set(lead[1].frames)
    assert needed(parts, range(1, 201)) == parts
    assert needed(parts, []) == []


def test_takes_share_nothing():
    assert takes([1, 2, 3, 4, 5, 6, 7], [4, 7]) == [(1, 2, 3), (4, 5, 6), (7,)]
    assert takes([2, 4, 6, 8], [1, 5, 20]) == [(2, 4), (6, 8)]


def test_gaps_between_keys_know_the_keys_around():
    take = list(range(1, 12))
    keys = key_frames(take, 4)
    assert keys == [1, 5, 9, 11]
    assert gaps(take, keys) == [
        Gap((2, 3, 4), (1, 5, 9)), Gap((6, 7, 8), (1, 5, 9, 11)), Gap((10,), (5, 9, 11)),
    ]  # fmt: skip
    assert key_frames([7], 4) == [7] and gaps([7], [7]) == []
    assert gaps(take, key_frames(take, 1)) == []
