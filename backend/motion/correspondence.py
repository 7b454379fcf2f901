"""Correspondence between two frames: flow, and where it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numba import njit

from .cache import Cache
from .geometry import pixel_grid

NO_WEIGHT = 1e-4  # of a bilinear sample: rounding
TOLERANCE = 1.0  # px by which a flow and the flow back may differ


@dataclass(frozen=True)
class Correspondence:
    """What frame i shows at p is found in frame j at p + ``flow``.

    ``flow`` ``(H, W, 2)`` float32, pixels, always finite. ``valid`` ``(H, W)`` float32 in [0, 1] is a blend weight: 0
    where the point is hidden, outside or unknown in j; borders that are right to half a pixel are kept. ``strict``
    ``(H, W)`` bool is true only where a bilinear sample of j touches no other surface.
    """

    flow: np.ndarray
    valid: np.ndarray
    strict: np.ndarray


class Motion(Protocol):
    """Answers where any pixel of a shot is in any other frame."""

    def pair(self, i: int, j: int) -> Correspondence:
        """Return the correspondence from frame ``i`` to ``j``: all valid for i == j, nothing valid across a cut."""

    def describe(self) -> dict[str, Any]:
        """Say where the motion comes from, for the job's report: JSON values only."""


def identity(size: tuple[int, int]) -> Correspondence:
    """Return the correspondence of a frame with itself; ``size`` is (width, height)."""
    shape = size[1], size[0]
    return Correspondence(np.zeros((*shape, 2), np.float32), np.ones(shape, np.float32), np.ones(shape, bool))


def nothing(size: tuple[int, int]) -> Correspondence:
    """Return the correspondence of frames that have nothing in common; ``size`` is (width, height)."""
    shape = size[1], size[0]
    return Correspondence(np.zeros((*shape, 2), np.float32), np.zeros(shape, np.float32), np.zeros(shape, bool))


def taps(flow: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the four pixels around p + flow.

    Returns their columns and rows, clipped to the image, ``(4, H, W)`` int32, and their bilinear weights ``(4, H, W)``
    float32 (in the order 00, 10, 01, 11).
    """
    height, width = flow.shape[:2]
    position = pixel_grid((width, height)) + flow
    position = np.clip(position, 0, [width - 1, height - 1]).astype(np.float32)
    corner = np.floor(position)
    fx, fy = np.moveaxis(position - corner, -1, 0)
    x0, y0 = np.moveaxis(corner.astype(np.int32), -1, 0)
    x1, y1 = np.minimum(x0 + 1, width - 1), np.minimum(y0 + 1, height - 1)
    weights = np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy])
    return np.stack([x0, x1, x0, x1]), np.stack([y0, y0, y1, y1]), weights


@njit(cache=True, nogil=True)
def inside(flow: np.ndarray, margin: float = 0.5) -> np.ndarray:
    """Tell where p + flow is at most ``margin`` px beyond the outermost pixel centres, ``(H, W)`` bool."""
    height, width = flow.shape[:2]
    found = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            px, py = x + np.float64(flow[y, x, 0]), y + np.float64(flow[y, x, 1])
            found[y, x] = -margin <= px <= width - 1 + margin and -margin <= py <= height - 1 + margin
    return found


def checked(flow: np.ndarray, back: np.ndarray, ids: np.ndarray, ids_j: np.ndarray) -> Correspondence:
    """Judge a flow by the flow back (NaN where unknown in either) and by what object each pixel shows.

    ``flow`` is of i to j, ``back`` of j to i, ``ids`` and ``ids_j`` ``(H, W)`` integers of both frames. ``valid``: the
    flow back at the best of the four pixels around the target returns within ``TOLERANCE``. ``strict``: every pixel
    with a weight in the bilinear sample shows the same object, and the sampled flow back returns within ``TOLERANCE``.
    """
    return Correspondence(*_judge(flow.astype(np.float32, copy=False), back, ids, ids_j))


@njit(cache=True, nogil=True)
def _judge(
    flow: np.ndarray, back: np.ndarray, ids: np.ndarray, ids_j: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the flow, 0 where it is not finite, and where it is valid and strict."""
    height, width = ids.shape
    known = np.zeros_like(flow)
    valid, strict = np.zeros((height, width), np.float32), np.zeros((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            dx, dy = np.float64(flow[y, x, 0]), np.float64(flow[y, x, 1])
            px, py = x + dx, y + dy
            if np.isfinite(dx) and np.isfinite(dy):
                known[y, x] = dx, dy
            if not (-0.5 <= px <= width - 0.5 and -0.5 <= py <= height - 0.5):
                continue
            within = 0 <= px <= width - 1 and 0 <= py <= height - 1
            px, py = min(max(px, 0.0), width - 1.0), min(max(py, 0.0), height - 1.0)
            close, same, mean_x, mean_y = False, True, 0.0, 0.0
            for v in range(int(py), min(int(py) + 2, height)):
                for u in range(int(px), min(int(px) + 2, width)):
                    weight = (1 - abs(px - u)) * (1 - abs(py - v))
                    if weight > NO_WEIGHT:
                        bx, by = np.float64(back[v, u, 0]), np.float64(back[v, u, 1])
                        if (dx + bx) ** 2 + (dy + by) ** 2 < TOLERANCE * TOLERANCE:
                            close = True
                        same = same and ids_j[v, u] == ids[y, x]
                        mean_x, mean_y = mean_x + weight * bx, mean_y + weight * by
            valid[y, x] = close
            left = (dx + mean_x) ** 2 + (dy + mean_y) ** 2
            strict[y, x] = close and same and within and left < TOLERANCE * TOLERANCE
    return known, valid, strict


def compose(ij: Correspondence, jk: Correspondence) -> Correspondence:
    """Chain two correspondences: flow_ik(p) = flow_ij(p) + flow_jk(p + flow_ij(p)).

    ``valid`` is the product of both, ``strict`` holds where both do. Near an object's border the second flow is
    interpolated only between pixels that move alike (within 1 px of the nearest), so that it never mixes two surfaces.
    """
    there, valid, strict = _follow(ij.flow, jk.flow, jk.valid, jk.strict)
    flow = ij.flow + there
    return Correspondence(flow, ij.valid * valid * inside(flow), ij.strict & strict & inside(flow, 0.0))


@njit(cache=True, nogil=True)
def _follow(
    flow: np.ndarray, there: np.ndarray, valid: np.ndarray, strict: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample the second correspondence, ``there``, at p + ``flow``."""
    height, width = valid.shape
    sampled, weighed = np.zeros_like(flow), np.zeros((height, width), np.float32)
    clean = np.ones((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            px = min(max(x + np.float64(flow[y, x, 0]), 0.0), width - 1.0)
            py = min(max(y + np.float64(flow[y, x, 1]), 0.0), height - 1.0)
            most, nearest_x, nearest_y = -1.0, 0, 0
            for v in range(int(py), min(int(py) + 2, height)):
                for u in range(int(px), min(int(px) + 2, width)):
                    weight = (1 - abs(px - u)) * (1 - abs(py - v))
                    clean[y, x] = clean[y, x] and (strict[v, u] or weight <= NO_WEIGHT)
                    if valid[v, u] <= 0:
                        weight *= 1e-6  # a pixel that knows its motion comes first
                    if weight > most:
                        most, nearest_x, nearest_y = weight, u, v
            tx, ty = there[nearest_y, nearest_x]
            sound = valid[nearest_y, nearest_x] > 0
            total, sum_x, sum_y, sum_valid = 0.0, 0.0, 0.0, 0.0
            for v in range(int(py), min(int(py) + 2, height)):
                for u in range(int(px), min(int(px) + 2, width)):
                    weight = (1 - abs(px - u)) * (1 - abs(py - v))
                    alike = abs(there[v, u, 0] - tx) <= 1 and abs(there[v, u, 1] - ty) <= 1
                    if alike and (valid[v, u] > 0) == sound:
                        total += weight
                        sum_x, sum_y = sum_x + weight * there[v, u, 0], sum_y + weight * there[v, u, 1]
                        sum_valid += weight * valid[v, u]
            sampled[y, x, 0], sampled[y, x, 1] = (sum_x / total, sum_y / total) if total > 0 else (tx, ty)
            weighed[y, x] = sum_valid / total if total > 0 else valid[nearest_y, nearest_x]
    return sampled, weighed, clean


Pairs = Cache[tuple[int, int], Correspondence]


def chain(path: Sequence[int], steps: Pairs, known: Pairs) -> Correspondence:
    """Compose the ``steps`` between neighbours along ``path``, from its first frame to its last.

    It is built from the target outwards and every part is kept in ``known``, so that the frames of a shot, each chained
    to the same key, share their work. The answer does not depend on what is known already.
    """
    target = path[-1]
    kept = ((k, known.find((frame, target))) for k, frame in enumerate(path[1:-1], 1))  # from path[0] it is being made
    nearest, found = next(((k, part) for k, part in kept if part), (len(path) - 2, None))
    found = found or steps.get((path[nearest], target))
    for k in range(nearest - 1, -1, -1):
        found = compose(steps.get((path[k], path[k + 1])), found)
        known.put((path[k], target), found)
    return found
