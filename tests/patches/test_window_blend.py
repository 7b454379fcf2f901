"""Windows blended by a tree against the same windows blended one frame at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from backend.patches.blending import Remap, WindowBlend

RNG = np.random.default_rng(8)


class Rolling:
    """Frames that roll by a whole pixel a frame, so that remaps compose exactly; counts the remaps."""

    def __init__(self, count: int, size: int = 3) -> None:
        self.frames = RNG.random((count, 1, size, 2))
        self.remaps = 0

    def remap(self, sums: np.ndarray, source: int, target: int) -> np.ndarray:
        self.remaps += 1
        return np.roll(sums, target - source, axis=1)

    def blend(self, radius: int) -> np.ndarray:
        blend = WindowBlend(self.frames.__getitem__, len(self.frames), self.remap, radius)
        return np.array([blend(k) for k in range(len(self.frames))])

    def naive(self, radius: int) -> np.ndarray:
        means = []
        for k in range(len(self.frames)):
            window = range(max(0, k - radius), min(len(self.frames), k + radius + 1))
            means.append(np.mean([np.roll(self.frames[j], k - j, axis=1) for j in window], axis=0))
        return np.array(means)


@pytest.mark.parametrize("count", [*range(1, 35), 63, 64, 65, 100, 127, 128, 129, 255, 256, 257])
def test_the_tree_equals_the_mean_of_the_window(count: int) -> None:
    clip = Rolling(count)
    for radius in sorted({1, 2, 7, count // 2 + 1, count}):
        assert np.abs(clip.blend(radius) - clip.naive(radius)).max() < 1e-12, radius


@pytest.mark.parametrize(("count", "radius", "most"), [(8, 8, 24), (30, 30, 142), (30, 7, 158), (100, 30, 844),
                                                       (128, 60, 1166), (250, 30, 2338)])  # fmt: skip
def test_remaps_grow_as_n_log_n(count: int, radius: int, most: int) -> None:
    clip = Rolling(count, size=1)
    clip.blend(radius)
    assert clip.remaps <= most <= 2 * count * math.ceil(math.log2(count)) + 2 * count


def masked(visible: np.ndarray) -> Remap:
    """Remaps of a still picture whose frames show only ``visible[k]`` ``(H, W)`` of it."""

    def remap(sums: np.ndarray, source: int, target: int) -> np.ndarray:
        return sums * (visible[source] & visible[target])[..., None]

    return remap


def test_what_is_hidden_in_a_frame_counts_nothing_there_and_keeps_its_own_value() -> None:
    count, frames = 21, RNG.random((21, 4, 5, 3))
    visible = np.ones((count, 4, 5), bool)
    visible[:, 0, 0] = False  # seen in one frame alone each time: found nowhere else
    visible[:10, 1, 1] = False  # comes into view half way
    blend = WindowBlend(frames.__getitem__, count, masked(visible), count)
    for k in range(count):
        blended = blend(k)
        assert np.array_equal(blended[0, 0], frames[k][0, 0])
        expected = frames[k][1, 1] if k < 10 else frames[10:, 1, 1].mean(0)
        assert np.abs(blended[1, 1] - expected).max() < 1e-12
        assert np.abs(blended[2, 2] - frames[:, 2, 2].mean(0)).max() < 1e-12


@pytest.mark.parametrize("count", [5, 16, 31])
def test_time_reversed_frames_blend_to_the_reversed_result(count: int) -> None:
    frames = RNG.random((count, 3, 4, 3))
    visible = RNG.random((count, 3, 4)) < 0.7
    forward = WindowBlend(frames.__getitem__, count, masked(visible), 6)
    backward = WindowBlend(frames[::-1].__getitem__, count, masked(visible[::-1]), 6)
    for k in range(count):
        assert np.array_equal(forward(k), backward(count - 1 - k))


def test_equal_frames_are_fixed_points() -> None:
    frame = np.full((4, 6, 3), 0.37, np.float32)
    blend = WindowBlend(lambda _: frame, 9, lambda sums, _i, _j: sums, 4)
    assert np.abs(blend(4) - frame).max() < 1e-6
