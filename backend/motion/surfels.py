"""Surfels: the points of a surface that carry noise, as one frame sees them.

Every owner's surface is laid out in squares: its address, projected along the axis that the surface faces most, is
halved again and again (a quadtree). A frame takes the squares that are about as large as its own sampling, fine ones
close by and coarse ones far away, each where its middle is seen. The squares of a frame never overlap, and whichever
frame looks at whatever distance, its squares are made of those of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from .addresses import Page
from .kernels import Point, _address, _cross, _side, _square, differentiate

PER_SIDE = 6.0  # surfels along the side of a cell, at least, on a surface that faces the camera
MOST = 256.0  # surfels in a pixel, about, where a face is seen edge-on
DEPTH = 20  # halvings of a tile down to the finest square
FINER = 6  # of them, those beyond an owner's usual sampling
SLAB = 128.0  # usual samples: surfaces this far apart, one behind the other, have surfels of their own
USUAL = 2.0**-8  # of an address: sampling of an owner that none of the frames looked at shows
LOOKED_AT = 8  # frames in which the usual sampling is measured
FLATTEST = 0.05  # of its longest axis: along none is an owner's sampling finer


@dataclass(frozen=True)
class Surfels:
    """One frame's surfels, disjoint and in order of their keys: parallel arrays ``(N,)``.

    ``key`` uint64 names the tile (24 bits) and the path of halvings to the surfel within (two bits each, zeros below
    it), ``depth`` int8 is the number of halvings, ``cell`` int32 the row-major latent cell, ``weight`` float32 its part
    of the cell's variance: they add up to 1.
    """

    key: np.ndarray
    depth: np.ndarray
    cell: np.ndarray
    weight: np.ndarray


def usual_sampling(page: Callable[[int], Page], frames: Sequence[int]) -> np.ndarray:
    """Return how far each owner's address moves from pixel to pixel along each axis, ``(owners, 3)`` float64.

    It is the mean over some of the frames, and shapes the squares: a Generated coordinate spans 0 to 1 whatever the
    object's proportions. NaN where no address is known that tells an owner's points apart.
    """
    sums, counts = np.zeros((0, 3)), np.zeros(0)
    chosen = np.unique(np.linspace(0, len(frames) - 1, LOOKED_AT).round().astype(int))
    for shown in (page(frames[k]) for k in chosen):
        known = shown.owner >= 0
        owner = shown.owner[known]
        size = max(len(counts), int(owner.max(initial=-1)) + 1)
        slopes = differentiate(shown.owner, shown.address, shown.scale)[known]
        slopes = np.abs(slopes).reshape(-1, 2, 3).sum(1) / shown.scale[known, None]
        sums = np.pad(sums, ((0, size - len(sums)), (0, 0)))
        sums += np.stack([np.bincount(owner, slopes[:, k], size) for k in range(3)], -1)
        counts = np.pad(counts, (0, size - len(counts))) + np.bincount(owner, minlength=size)
    with np.errstate(invalid="ignore"):
        mean = sums / counts[:, None]
    mean = np.maximum(mean, FLATTEST * mean.max(1, keepdims=True, initial=0))
    mean[counts == 0], mean[(sums == 0).all(1) & (counts > 0)] = USUAL, np.nan
    return mean


def find_surfels(page: Page, unit: np.ndarray, factor: int) -> Surfels:
    """Find the surfels of a frame; ``unit`` is ``usual_sampling``, ``factor`` the side of a latent cell in pixels.

    Of surfels that lie in one another the first is kept. What one owner's weigh together in a cell is the number of its
    pixels there, each by its surface area.
    """
    height, width = page.owner.shape
    owners = max(int(page.owner.max()) + 1, 0)
    unit = np.concatenate([unit, np.full((max(owners - len(unit), 0), 3), USUAL)])
    columns = -(-width // factor)
    key, depth, pixel = _enumerate(page.owner, page.address, page.scale, unit, factor)
    order = np.argsort(key, kind="stable")
    order = order[_apart(key[order], depth[order])]
    key, depth, pixel = key[order], depth[order], pixel[order]
    y, x = np.divmod(np.arange(height * width, dtype=np.int64), width)
    cells = (y // factor) * columns + x // factor
    codes, group = np.unique(cells * (owners + 1) + page.owner.ravel(), return_inverse=True)
    group, of_surfel = group.ravel(), group.ravel()[pixel]
    area = 0.25 ** depth.astype(np.float64)
    pixels, whole = np.bincount(group, minlength=len(codes)), np.bincount(of_surfel, area, len(codes))
    weight = area * pixels[of_surfel] / whole[of_surfel]
    cell = cells[pixel]
    weight /= np.bincount(cell, weight)[cell]
    return Surfels(key, depth, cell.astype(np.int32), weight.astype(np.float32))


@njit(cache=True, nogil=True)
def mix(a: np.uint64, b: np.uint64) -> np.uint64:
    """Hash two 64-bit numbers into one (Steele et al., SplitMix, OOPSLA 2014)."""
    z = a + np.uint64(0x9E3779B97F4A7C15) * (b + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(cache=True, nogil=True)
def _apart(key: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Mark the surfels (in order of their keys) that do not lie in, or around, the one kept before, ``(N,)`` bool."""
    kept = np.zeros(len(key), np.bool_)
    end, none = np.uint64(0), True
    for n in range(len(key)):
        if none or key[n] > end:
            kept[n], none = True, False
            end = key[n] + ((np.uint64(1) << np.uint64(2 * (DEPTH - depth[n]))) - np.uint64(1))
    return kept


@njit(cache=True, nogil=True)
def _spread(bits: np.uint64) -> np.uint64:
    """Put a zero between any two of the ``DEPTH`` lowest bits (Morton 1966)."""
    z = bits & np.uint64((1 << DEPTH) - 1)
    z = (z | (z << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
    z = (z | (z << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    z = (z | (z << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    z = (z | (z << np.uint64(2))) & np.uint64(0x3333333333333333)
    return (z | (z << np.uint64(1))) & np.uint64(0x5555555555555555)


@njit(cache=True, nogil=True)
def _name(surface: np.uint64, slab: int, i: int, j: int, depth: int) -> np.uint64:
    """Name the square in column ``i`` and row ``j`` of those of ``depth``, on a slab of a surface."""
    fine_i, fine_j = i << (DEPTH - depth), j << (DEPTH - depth)
    tile = mix(mix(mix(surface, np.uint64(slab)), np.uint64(fine_i >> DEPTH)), np.uint64(fine_j >> DEPTH))
    path = _spread(np.uint64(fine_i)) | (_spread(np.uint64(fine_j)) << np.uint64(1))
    return ((tile >> np.uint64(2 * DEPTH)) << np.uint64(2 * DEPTH)) | path


@njit(cache=True, nogil=True)
def _slope(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, x: int, y: int, axis: int, q: Point
) -> tuple[Point, float]:
    """Return how g (``kernels``) and the scale change along an axis, by the flatter side; 0 on a lone pixel."""
    dx, dy, here = 1 - axis, axis, (0.0, 0.0, 0.0)
    a, b = _side(owner, address, scale, x, y, dx, dy, q, here), _side(owner, address, scale, x, y, -dx, -dy, q, here)
    if _square(a) <= _square(b):
        if _square(a) == np.inf:
            return (0.0, 0.0, 0.0), 0.0
        return a, np.float64(scale[y + dy, x + dx]) - scale[y, x]
    return (-b[0], -b[1], -b[2]), np.float64(scale[y, x]) - scale[y - dy, x - dx]


@njit(cache=True, nogil=True)
def _depth_of(cx: Point, cy: Point, u: int, v: int, s: float, factor: int) -> int:
    """Return the halvings down to the squares that suit a pixel of steps ``cx`` and ``cy`` over scale ``s``."""
    xx, yy = (cx[u] * cx[u] + cx[v] * cx[v]) / s**2, (cy[u] * cy[u] + cy[v] * cy[v]) / s**2
    area = abs(cx[u] * cy[v] - cx[v] * cy[u]) / s**2
    longest = np.sqrt((xx + yy) / 2 + np.sqrt(max(0.0, (xx + yy) ** 2 / 4 - area * area)))
    side = max(area / longest * factor / PER_SIDE, 2 * np.sqrt(area / MOST))
    return int(min(max(np.ceil(-np.log2(side)) + DEPTH - FINER, 0.0), DEPTH))


@njit(cache=True, nogil=True)
def _corners(
    q: Point, cx: Point, cy: Point, s: float, sx: float, sy: float, u: int, v: int, size: float, quad: np.ndarray
) -> None:
    """Write the corners of a pixel in squares of side ``size`` to ``quad`` ``(4, 2)``: exact where it is flat."""
    for k in range(4):
        dx, dy = (-0.5 if k in (0, 3) else 0.5), (-0.5 if k < 2 else 0.5)
        there = max(s + dx * sx + dy * sy, 0.25 * s)
        quad[k, 0] = (q[u] + (dx * cx[u] + dy * cy[u]) / there) / size
        quad[k, 1] = (q[v] + (dx * cx[v] + dy * cy[v]) / there) / size


@njit(cache=True, nogil=True)
def _across(quad: np.ndarray, at: float) -> tuple[float, float]:
    """Return where a convex quadrilateral begins and ends on the line of height ``at``; nowhere: (inf, -inf)."""
    first, last = np.inf, -np.inf
    for k in range(4):
        (ax, ay), (bx, by) = quad[k], quad[(k + 1) % 4]
        if (ay <= at) != (by <= at):
            x = ax + (bx - ax) * (at - ay) / (by - ay)
            first, last = min(first, x), max(last, x)
    return first, last


@njit(cache=True, nogil=True)
def _enumerate(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, unit: np.ndarray, factor: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the key, depth and pixel (row-major int32) of every surfel whose middle some pixel shows."""
    height, width = owner.shape
    quad = np.empty((4, 2))
    room, n = 4 * height * width, 0
    keys, depths, pixels = np.empty(room, np.uint64), np.empty(room, np.int8), np.empty(room, np.int32)
    for y in range(height):
        for x in range(width):
            o = owner[y, x]
            if o < 0 or np.isnan(unit[o, 0]):
                continue
            a, s = _address(address, x, y), np.float64(scale[y, x])
            cx, sx = _slope(owner, address, scale, x, y, 0, a)
            cy, sy = _slope(owner, address, scale, x, y, 1, a)
            q, cx, cy = _in_units(a, unit[o]), _in_units(cx, unit[o]), _in_units(cy, unit[o])
            normal = _cross(cx, cy)
            w = 0
            for k in range(1, 3):
                w = k if abs(normal[k]) > abs(normal[w]) else w
            if normal[w] == 0:
                continue
            u, v = (w + 1) % 3, (w + 2) % 3
            depth = _depth_of(cx, cy, u, v, s, factor)
            size = 2.0 ** (DEPTH - FINER - depth)
            _corners(q, cx, cy, s, sx, sy, u, v, size, quad)
            surface = mix(np.uint64(o), np.uint64(w if normal[w] > 0 else w + 3))
            for j in range(int(np.ceil(quad[:, 1].min() - 0.5)), int(np.ceil(quad[:, 1].max() - 0.5))):
                first, last = _across(quad, j + 0.5)
                if first > last:
                    continue
                for i in range(int(np.ceil(first - 0.5)), int(np.ceil(last - 0.5))):
                    fall = normal[u] * ((i + 0.5) * size - q[u]) + normal[v] * ((j + 0.5) * size - q[v])
                    slab = int(np.floor((q[w] - fall / normal[w]) / SLAB + 0.5))
                    if n == room:
                        room *= 2
                        keys, depths, pixels = _longer(keys, room), _longer(depths, room), _longer(pixels, room)
                    keys[n], depths[n], pixels[n] = _name(surface, slab, i, j, depth), depth, y * width + x
                    n += 1
    return keys[:n], depths[:n], pixels[:n]


@njit(cache=True, nogil=True)
def _in_units(a: Point, unit: np.ndarray) -> Point:
    return a[0] / unit[0], a[1] / unit[1], a[2] / unit[2]


@njit(cache=True, nogil=True)
def _longer(array: np.ndarray, length: int) -> np.ndarray:
    longer = np.empty(length, array.dtype)
    longer[: len(array)] = array
    return longer
