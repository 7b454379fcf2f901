"""Which frames to paint: the fewest that together show as much of the shot as possible.

Coverage is monotone and submodular, so greedy choice reaches at least 1 - 1/e of the best there is (Nemhauser et al.
1978), and a stale gain bounds a fresh one, which spares most evaluations (Minoux 1978).
"""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .correspondence import Motion

ENOUGH = 0.98  # share of the shot after which another key is not worth its work
WORTHWHILE = 0.002  # share of the shot that a key must add

Shows = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class KeyChoice:
    """Key frames in the order of their worth (the artist's own first), and the share of the shot covered with each."""

    keys: tuple[int, ...]
    coverage: tuple[float, ...]

    def __str__(self) -> str:
        """Say it as the artist reads it: "3 key frames cover 97 % of the shot"."""
        count = len(self.keys)
        noun, verb = ("key frame", "covers") if count == 1 else ("key frames", "cover")
        return f"{count} {noun} {verb} {100 * self.coverage[-1]:.0f} % of the shot"


def choose_keys(
    frames: Sequence[int],
    shows: Shows,
    limit: int,
    own: Iterable[int] = (),
    candidates: Sequence[int] | None = None,
) -> KeyChoice:
    """Choose up to ``limit`` key frames for ``frames`` by lazy greedy coverage.

    ``shows(frame, key)`` says how well ``key`` shows each sample of ``frame``, any shape, in [0, 1]. The artist's
    ``own`` keys are always taken, and first, even beyond the limit. ``candidates`` defaults to all frames. Stops early
    when ENOUGH is covered or no candidate adds WORTHWHILE.
    """
    best = {frame: np.zeros(0) for frame in frames}
    chosen: list[int] = []
    coverage: list[float] = []

    def merged(key: int) -> dict[int, np.ndarray]:
        seen = {frame: np.asarray(shows(frame, key), np.float32) for frame in frames}
        return {frame: np.maximum(best[frame], seen[frame]) if len(chosen) else seen[frame] for frame in frames}

    def share(seen: dict[int, np.ndarray]) -> float:
        return float(sum(values.sum(dtype=np.float64) for values in seen.values()) / sum(v.size for v in seen.values()))

    def take(key: int) -> None:
        nonlocal best
        best = merged(key)
        chosen.append(key)
        coverage.append(share(best))

    for key in sorted(set(own) & set(frames)):
        take(key)
    bounds = [(-np.inf, key) for key in (candidates if candidates is not None else frames) if key not in chosen]
    heapq.heapify(bounds)
    while bounds and len(chosen) < limit and (not chosen or coverage[-1] < ENOUGH):
        _, key = heapq.heappop(bounds)
        gain = share(merged(key)) - (coverage[-1] if coverage else 0.0)
        if bounds and gain < -bounds[0][0]:
            heapq.heappush(bounds, (-gain, key))
        elif chosen and gain < WORTHWHILE:
            break
        else:
            take(key)
    return KeyChoice(tuple(chosen), tuple(coverage))


def uniform_keys(frames: Sequence[int], most: int, own: Iterable[int] = ()) -> tuple[int, ...]:
    """Return evenly spaced keys of ``frames``, in order: the first, the last, the ``own`` and as few as possible more.

    Neighbouring keys are at most ``most`` places apart.
    """
    fixed = sorted({0, len(frames) - 1} | {frames.index(frame) for frame in set(own) & set(frames)})
    places = {fixed[0]}
    for first, last in pairwise(fixed):
        parts = -(-(last - first) // most)
        places |= {first + round(part * (last - first) / parts) for part in range(1, parts + 1)}
    return tuple(frames[place] for place in sorted(places))


def takes(frames: Sequence[int], cuts: Iterable[int]) -> list[tuple[int, ...]]:
    """Return ``frames``, in order, parted before each of ``cuts``, the first frames of a new camera."""
    starts = sorted({bisect_left(frames, cut) for cut in cuts} - {0, len(frames)})
    return [tuple(frames[first:last]) for first, last in pairwise([0, *starts, len(frames)])]


def shown_by(motion: Motion, stride: int) -> Shows:
    """Return how well one frame shows another, on every ``stride``-th pixel: 1 as large or larger, 0 unseen.

    A key that shows a surface smaller than the frame needs counts by the ratio of the areas, so that a push-in asks for
    a late key. Answers are kept as bytes: 2304 a pair at 512 x 288 and stride 8.
    """
    known: dict[tuple[int, int], np.ndarray] = {}

    def shows(frame: int, key: int) -> np.ndarray:
        if (frame, key) not in known:
            pair = motion.pair(frame, key)
            by_y, by_x = np.gradient(pair.flow, axis=(0, 1))
            area = np.abs((1 + by_x[..., 0]) * (1 + by_y[..., 1]) - by_x[..., 1] * by_y[..., 0])
            seen = np.minimum(1, area) * pair.valid
            known[frame, key] = np.rint(255 * seen[stride // 2 :: stride, stride // 2 :: stride]).astype(np.uint8)
        return known[frame, key] / np.float32(255)

    return shows
