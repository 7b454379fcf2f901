"""Change and detail of a picture along the surfaces of a shot.

Notation of the report: E_L is the mean absolute difference between frame t and frame t−L on the same surface points, σ
the spread of one surface point's colour over all frames that see it, D the detail left, R the blur-equivalent ratio:
the error beyond what is unavoidable, relative to that of an independent frame-by-frame run blurred until it has no
more detail than the measured one. A blurred flickering run has R = 1 by construction; only consistency brings it
below.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import cv2
import numpy as np

from ..motion.correspondence import Motion, taps
from ..motion.geometry import DataLayer, pixel_grid
from ..motion.warp import warp
from ..shot.shot import ShotInfo
from .texture import Run

LAGS = ("1", "8", "first-last")
MARGIN = 2  # px kept away from object borders and from the edge of the frame
FINE = 1.5  # px, deviation of the Gaussian whose residue counts as detail
FINE_MARGIN = 4  # px kept away from borders where detail is measured: the Gaussian reaches that far
VIEWS = 6  # frames that must see a surface point for its spread to count
JUDGED = 16  # frames, evenly spaced, on which single-frame measures are taken
WIDEST = 64.0  # px, deviation of the widest blur tried
BINS = 4096  # of the histogram from which percentiles of [0, 1] are read


class MeasuredShot(Protocol):
    """What measuring needs of a shot; ``backend.shot.shot.Shot`` has it."""

    @property
    def info(self) -> ShotInfo: ...  # noqa: D102
    @property
    def frames(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def motion(self) -> Motion: ...  # noqa: D102
    def beauty(self, frame: int) -> np.ndarray: ...  # noqa: D102
    def layer(self, frame: int) -> DataLayer | None: ...  # noqa: D102


@dataclass(frozen=True)
class Difference:
    """How much a run changes between frames, over all tested pixels; pictures in [0, 1].

    ``mean`` and ``p95`` of the absolute difference (mean of the channels), ``mse`` its mean square (Pixel-MSE of
    Rerender A Video, warp error of TokenFlow), ``share`` the tested share of all pixels, ``objects`` the mean of each
    object.
    """

    mean: float
    p95: float
    mse: float
    share: float
    objects: dict[str, float]


@dataclass(frozen=True)
class Spread:
    """Standard deviation of single surface points over frames: mean and 95th percentile over ``points`` of them."""

    mean: float
    p95: float
    points: int


def interior(layer: DataLayer | None, size: tuple[int, int], margin: int = MARGIN) -> np.ndarray:
    """Mark pixels more than ``margin`` px from the border of an object (or instance) and of the frame.

    ``(H, W)`` bool; a shot without data layer has no known borders but the frame's. ``size`` is (width, height).
    """
    edge = object_edges(layer) if layer is not None else np.zeros((size[1], size[0]), bool)
    edge = np.pad(edge, 1, constant_values=True).astype(np.uint8)
    wide = cv2.dilate(edge, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    return wide[1:-1, 1:-1] == 0


def object_edges(layer: DataLayer) -> np.ndarray:
    """Mark the pixels on both sides of a border between two objects, instances or the sky, ``(H, W)`` bool."""
    key = layer.index.astype(np.int64) << 32 | layer.random.view(np.uint32)
    edge = np.zeros(key.shape, bool)
    for axis in (0, 1):
        step = np.diff(key, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        edge[tuple(before)] |= step
        edge[tuple(after)] |= step
    return edge


def frame_pairs(shot: MeasuredShot, lag: str) -> list[tuple[int, int]]:
    """Return (frame, earlier frame) pairs: "1" or "8" rendered frames apart, or "first-last" of each take."""
    frames, cuts = shot.frames, set(shot.info.cuts)
    if lag != "first-last":
        return list(zip(frames[int(lag):], frames, strict=False))
    starts = [k for k in range(len(frames)) if k == 0 or any(frames[k - 1] < cut <= frames[k] for cut in cuts)]
    takes = zip(starts, [*starts[1:], len(frames)], strict=True)
    return [(frames[end - 1], frames[start]) for start, end in takes if end - start > 1]


def comparable(shot: MeasuredShot, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the flow from frame ``i`` to ``j`` and the pixels of i that may be compared, ``(H, W)`` bool.

    Those are exactly visible in both frames (strict) and ``MARGIN`` px away from every border in both.
    """
    size = shot.info.size
    found = shot.motion.pair(i, j)
    x, y, _ = taps(found.flow)
    clear = interior(shot.layer(j), size)[y, x].all(0)
    return found.flow, found.strict & interior(shot.layer(i), size) & clear


def object_names(shot: MeasuredShot) -> dict[int, str]:
    """Return the name of every pass index, 0 being the sky."""
    return {0: "Sky", **{item.index: item.label for item in shot.info.objects}}


@dataclass
class _Tally:
    """Sums absolute differences over many frames without keeping them."""

    names: Mapping[int, str]
    squares: float = 0.0
    seen: int = 0
    histogram: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    sums: np.ndarray = field(default_factory=lambda: np.zeros(0))
    counts: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def add(self, error: np.ndarray, index: np.ndarray, pixels: int) -> None:
        """Take the differences of one pair, ``(N,)``, with each pixel's object, out of ``pixels`` in the frame."""
        self.squares += float(np.square(error, dtype=np.float64).sum())
        self.seen += pixels
        bins = np.minimum((error * BINS).astype(np.int64), BINS - 1)
        self.histogram += np.bincount(bins, minlength=BINS)
        length = max(max(self.names) + 1, self.sums.size)
        self.sums = _padded(self.sums, length) + np.bincount(index, error, length)
        self.counts = _padded(self.counts, length) + np.bincount(index, minlength=length)

    def result(self) -> Difference | None:
        """Return what was found; None when no pixel could be compared."""
        count = self.counts.sum()
        if not count:
            return None
        means = {
            name: float(self.sums[k] / self.counts[k])
            for k, name in self.names.items()
            if k < self.counts.size and self.counts[k]
        }
        p95 = (np.searchsorted(np.cumsum(self.histogram), 0.95 * count) + 0.5) / BINS
        return Difference(
            float(self.sums.sum() / count), float(p95), float(self.squares / count), float(count / self.seen), means
        )


def _padded(array: np.ndarray, length: int) -> np.ndarray:
    return np.pad(array, (0, length - array.size))


def differences(
    shot: MeasuredShot, runs: Mapping[str, Run], pairs: Iterable[tuple[int, int]]
) -> dict[str, Difference | None]:
    """Compare each run with itself over ``pairs`` of frames: |O_i(p) − O_j(p')|, cubic sampling of frame j.

    All runs are compared on the same pixels. None for every run where no pixel is visible in both frames of any pair.
    """
    names = object_names(shot)
    tallies = {name: _Tally(names) for name in runs}
    for i, j in pairs:
        flow, mask = comparable(shot, i, j)
        layer = shot.layer(i)
        index = layer.index[mask] if layer is not None else np.zeros(int(mask.sum()), int)
        for name, run in runs.items():
            error = np.abs(run(i) - warp(run(j), flow)).mean(-1)[mask]
            tallies[name].add(error, index, mask.size)
    return {name: tally.result() for name, tally in tallies.items()}


def evenly(frames: Sequence[int], count: int) -> list[int]:
    """Return at most ``count`` of the frames, evenly spaced, first and last among them."""
    return [frames[k] for k in np.unique(np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int))]


def spread(
    shot: MeasuredShot, runs: Mapping[str, Run], points: int = 4000, anchors: int = 6, seed: int = 0
) -> dict[str, Spread | None]:
    """Follow ``points`` surface points through the whole shot and return how much each run changes on them (σ).

    The points are drawn uniformly from the comparable pixels of ``anchors`` evenly spaced frames. A point counts where
    at least ``VIEWS`` frames see it; its spread is the standard deviation of each channel, averaged. None where no
    point counts.
    """
    rng = np.random.default_rng(seed)
    places = {frame: _draw(shot, frame, points // anchors, rng) for frame in evenly(shot.frames, anchors)}
    number = sum(len(place) for place in places.values())
    channels = {name: run(shot.frames[0]).shape[-1] for name, run in runs.items()}
    sums = {name: np.zeros((2, number, channels[name])) for name in runs}
    views = np.zeros(number)
    for frame in shot.frames:
        for rows, position in _followed(shot, places, frame):
            views[rows] += 1
            for name, run in runs.items():
                value = _sample(run(frame), position)
                sums[name][0, rows] += value
                sums[name][1, rows] += value**2
    return {name: _spread(total, views) for name, total in sums.items()}


def _draw(shot: MeasuredShot, frame: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` random pixels (column, row) of ``frame``, away from borders, ``(N, 2)``."""
    candidates = np.argwhere(interior(shot.layer(frame), shot.info.size))
    return candidates[rng.permutation(len(candidates))[:count], ::-1]


def _followed(
    shot: MeasuredShot, places: Mapping[int, np.ndarray], frame: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for each anchor frame, which of all points ``frame`` sees (row numbers) and where, ``(N, 2)`` float32."""
    start = 0
    for anchor, place in places.items():
        flow, mask = comparable(shot, anchor, frame)
        seen = mask[place[:, 1], place[:, 0]]
        column, row = place[seen].T
        yield start + np.flatnonzero(seen), (place[seen] + flow[row, column]).astype(np.float32)
        start += len(place)


def _sample(image: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Sample an ``(H, W, C)`` image at positions ``(N, 2)``, cubic: ``(N, C)`` float64."""
    if not len(position):
        return np.zeros((0, image.shape[-1]))
    grid = pixel_grid((1, len(position)))
    return warp(image, position[:, None] - grid)[:, 0].astype(np.float64)


def _spread(sums: np.ndarray, views: np.ndarray) -> Spread | None:
    counted = views >= VIEWS
    if not counted.any():
        return None
    mean, square = sums[:, counted] / views[counted, None]
    deviation = np.sqrt(np.maximum(square - mean**2, 0)).mean(-1)
    return Spread(float(deviation.mean()), float(np.percentile(deviation, 95)), int(counted.sum()))


def detail(shot: MeasuredShot, run: Run) -> float:
    """Return the variance of what a Gaussian of ``FINE`` px takes away, away from borders, over ``JUDGED`` frames."""
    total, count = 0.0, 0
    for frame in evenly(shot.frames, JUDGED):
        image = run(frame)
        fine = image - cv2.GaussianBlur(image, (0, 0), FINE).reshape(image.shape)
        inner = fine[interior(shot.layer(frame), shot.info.size, FINE_MARGIN)]
        total += float(np.square(inner, dtype=np.float64).sum())
        count += inner.size
    return total / count if count else 0.0


def blurred(run: Run, deviation: float) -> Run:
    """Return the run seen through a Gaussian blur of ``deviation`` px."""
    if deviation <= 0:
        return run

    def blur(frame: int) -> np.ndarray:
        image = run(frame)
        return cv2.GaussianBlur(image, (0, 0), deviation).reshape(image.shape)

    return blur


def matching_blur(shot: MeasuredShot, run: Run, wanted: float) -> float:
    """Return the deviation in px of the Gaussian that leaves ``run`` the detail ``wanted`` (by bisection).

    0 where the run has no more detail than that to begin with, ``WIDEST`` where even the widest blur leaves more.
    """
    if detail(shot, run) <= wanted:
        return 0.0
    low, high = 0.0, 1.0
    while high < WIDEST and detail(shot, blurred(run, high)) > wanted:
        low, high = high, 2 * high
    for _ in range(14):
        middle = (low + high) / 2
        if detail(shot, blurred(run, middle)) > wanted:
            low = middle
        else:
            high = middle
    return high


def blur_ratio(error: float, blurred_error: float, floor: float = 0.0) -> float | None:
    """Return R = (E − F) / (E_blur − F), 0 where the error is within the floor.

    None where the blurred independent run itself hardly leaves the floor: then there is nothing to be consistent
    against.
    """
    room = blurred_error - floor
    if room <= max(1e-4, 0.05 * blurred_error):
        return None
    return max(error - floor, 0.0) / room
