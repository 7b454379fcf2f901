"""Correspondence between two frames: flow, and where it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .cache import Cache
from .geometry import pixel_grid

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


def inside(flow: np.ndarray, margin: float = 0.5) -> np.ndarray:
    """Tell where p + flow is at most ``margin`` px beyond the outermost pixel centres, ``(H, W)`` bool."""
    height, width = flow.shape[:2]
    position = pixel_grid((width, height)) + flow
    return ((position >= -margin) & (position <= np.array([width - 1, height - 1]) + margin)).all(-1)


def checked(flow: np.ndarray, back: np.ndarray, ids: np.ndarray, ids_j: np.ndarray) -> Correspondence:
    """Judge a flow by the flow back (NaN where unknown in either) and by what object each pixel shows.

    ``flow`` is of i to j, ``back`` of j to i, ``ids`` and ``ids_j`` ``(H, W)`` integers of both frames. ``valid``: the
    flow back at the best of the four pixels around the target returns within ``TOLERANCE``. ``strict``: every pixel
    with a weight in the bilinear sample shows the same object, and the sampled flow back returns within ``TOLERANCE``.
    """
    known = np.isfinite(flow).all(-1)
    flow = np.where(known[..., None], flow, np.float32(0))
    x, y, weights = taps(flow)
    there = back[y, x]
    with np.errstate(invalid="ignore"):
        error = np.linalg.norm(flow + there, axis=-1)
        used = weights > 1e-4
        close = ((error < TOLERANCE) & used).any(0)
        mean = np.where(used[..., None], there * weights[..., None], 0).sum(0)
        returns = np.linalg.norm(flow + mean, axis=-1) < TOLERANCE
    same = ((ids_j[y, x] == ids) | ~used).all(0)
    valid = known & close & inside(flow)
    return Correspondence(flow, valid.astype(np.float32), known & same & returns & inside(flow, 0.0))


def compose(ij: Correspondence, jk: Correspondence) -> Correspondence:
    """Chain two correspondences: flow_ik(p) = flow_ij(p) + flow_jk(p + flow_ij(p)).

    ``valid`` is the product of both, ``strict`` holds where both do. Near an object's border the second flow is
    interpolated only between pixels that move alike (within 1 px of the nearest), so that it never mixes two surfaces.
    """
    x, y, weights = taps(ij.flow)
    there, valid = jk.flow[y, x], jk.valid[y, x]
    touched = (jk.strict[y, x] | (weights <= 1e-4)).all(0)
    nearest = np.argmax(weights * (valid > 0) + 1e-6 * weights, axis=0)[None]
    chosen = np.take_along_axis(there, nearest[..., None], 0)
    alike = (np.abs(there - chosen).max(-1) <= 1) & ((valid > 0) == (np.take_along_axis(valid, nearest, 0) > 0))
    weights = weights * alike
    total = weights.sum(0)
    weights = np.where(total > 0, weights / np.where(total > 0, total, 1), np.arange(4)[:, None, None] == nearest)
    flow = ij.flow + (weights[..., None] * there).sum(0)
    both = ij.valid * (weights * valid).sum(0) * inside(flow)
    strict = ij.strict & touched & inside(flow, 0.0)
    return Correspondence(flow.astype(np.float32), both.astype(np.float32), strict)


Pairs = Cache[tuple[int, int], Correspondence]


def chain(path: Sequence[int], steps: Pairs, known: Pairs) -> Correspondence:
    """Compose the ``steps`` between neighbours along ``path``, from its first frame to its last.

    It is built from the target outwards and every part is kept in ``known``, so that the frames of a shot, each chained
    to the same key, share their work. The answer does not depend on what is known already.
    """
    target = path[-1]
    nearest = next((k for k, frame in enumerate(path[:-1]) if (frame, target) in known.items), len(path) - 2)
    found = known.items.get((path[nearest], target)) or steps.get((path[nearest], target))
    for k in range(nearest - 1, -1, -1):
        found = compose(steps.get((path[k], path[k + 1])), found)
        known.put((path[k], target), found)
    return found
