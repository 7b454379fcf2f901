"""The per-pixel loops of the address book, compiled by numba.

A *page* is one frame seen as addresses: ``owner`` ``(H, W)`` int32 says whose surface a pixel shows (-1: nobody's),
``address`` ``(H, W, 3)`` float32 which point of it, ``scale`` ``(H, W)`` float32 a factor that makes
``scale * address`` and ``scale`` linear in the image on a plane (1 / depth under perspective). The image position of
address q is then the root of g(p) = scale(p) (address(p) - q), linear on every planar facet: one Newton step is exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .tree import nearest

STEPS = 8  # of one walk
LEAP = 8.0  # px, the longest step
REACH = 1.0  # px beyond the outermost pixel of a surface that it is followed
LEAST = 0.05  # of a bilinear sample's weight that makes it valid: half-pixel borders are kept, mere corners are not
BEHIND = 0.25  # squared sides of a footprint off the surface, beyond which a point may lie behind its rim
ON_PLANE = 1e-5  # squared footprints off a facet's plane that are rounding
FLAT = 2e-4  # squared footprints by which pixels must stand out from a facet to tell the line of sight
Point = tuple[float, float, float]
SPREAD = 1e6  # keeps the seeds of different owners apart in the tree

inlined = njit(cache=True, nogil=True, inline="always")
# Counting references to arrays would take two thirds of a look-up. What is compiled so must not make any.
uncounted = njit(cache=True, nogil=True, _nrt=False)


@njit(cache=True, nogil=True)
def push(address: np.ndarray, owner: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Project every pixel's address by its owner's matrix.

    ``matrices`` is ``(owners, 4, 4)`` float64, address to clip space, NaN where an owner cannot be pushed. Returns the
    flow ``(H, W, 2)`` float32 in pixels, NaN where there is none or the point is behind the camera.
    """
    height, width = owner.shape
    flow = np.full((height, width, 2), np.nan, np.float32)
    for y in range(height):
        for x in range(width):
            if owner[y, x] < 0:
                continue
            o, (a, b, c) = owner[y, x], _address(address, x, y)
            w = matrices[o, 3, 0] * a + matrices[o, 3, 1] * b + matrices[o, 3, 2] * c + matrices[o, 3, 3]
            if w > 0:
                u = (matrices[o, 0, 0] * a + matrices[o, 0, 1] * b + matrices[o, 0, 2] * c + matrices[o, 0, 3]) / w
                v = (matrices[o, 1, 0] * a + matrices[o, 1, 1] * b + matrices[o, 1, 2] * c + matrices[o, 1, 3]) / w
                flow[y, x, 0] = (u + 1) * width / 2 - 0.5 - x
                flow[y, x, 1] = (1 - v) * height / 2 - 0.5 - y
    return flow


@njit(cache=True, nogil=True)
def transform(points: np.ndarray, owner: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Apply each owner's affine matrix ``(owners, 3, 4)`` to its pixels' ``points`` ``(H, W, 3)``.

    Returns ``(H, W, 3)`` float32, NaN where a pixel has no owner.
    """
    height, width = owner.shape
    out = np.full((height, width, 3), np.nan, np.float32)
    for y in range(height):
        for x in range(width):
            if owner[y, x] >= 0:
                o, (a, b, c) = owner[y, x], _address(points, x, y)
                for k in range(3):
                    turned = matrices[o, k, 0] * a + matrices[o, k, 1] * b + matrices[o, k, 2] * c
                    out[y, x, k] = turned + matrices[o, k, 3]
    return out


def differentiate(owner: np.ndarray, address: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Return the slopes of g at every pixel's own address, ``(H, W, 6)`` float32: three along x, three along y.

    Each is the flatter of the two one-sided differences within the same owner (the steeper one may cross a seam or a
    fold), 0 where there is no neighbour on either side.
    """
    slopes = np.zeros((*owner.shape, 6), np.float32)
    _differentiate(slopes, np.full((owner.shape[1], 3), np.inf), owner, address, scale)
    return slopes


@uncounted
def _differentiate(
    slopes: np.ndarray, above: np.ndarray, owner: np.ndarray, address: np.ndarray, scale: np.ndarray
) -> None:
    """Write the ``slopes``, 0 so far, see :func:`differentiate`; ``above`` ``(W, 3)`` is for gaps to the row above."""
    height, width = owner.shape
    for y in range(height):
        left = (np.inf, np.inf, np.inf)
        for x in range(width):
            right, below = _gap(owner, address, x, y, x + 1, y), _gap(owner, address, x, y, x, y + 1)
            if owner[y, x] >= 0:
                e, w, n, s = min(x + 1, width - 1), max(x - 1, 0), max(y - 1, 0), min(y + 1, height - 1)
                cx = _flatter(scale[y, e], right, scale[y, w], left)
                cy = _flatter(scale[s, x], below, scale[n, x], (above[x, 0], above[x, 1], above[x, 2]))
                slopes[y, x, 0], slopes[y, x, 1], slopes[y, x, 2] = cx
                slopes[y, x, 3], slopes[y, x, 4], slopes[y, x, 5] = cy
            left = right
            above[x, 0], above[x, 1], above[x, 2] = below


@inlined
def _gap(owner: np.ndarray, address: np.ndarray, x: int, y: int, u: int, v: int) -> Point:
    """Difference of address from one pixel to the next; infinite where that shows something else."""
    if u >= owner.shape[1] or v >= owner.shape[0] or owner[v, u] != owner[y, x]:
        return np.inf, np.inf, np.inf
    p, q = _address(address, x, y), _address(address, u, v)
    return q[0] - p[0], q[1] - p[1], q[2] - p[2]


@inlined
def _flatter(s: float, a: Point, t: float, b: Point) -> Point:
    """Return s a or t b, whichever is shorter; 0 where both are infinite."""
    first, second = np.float64(s) ** 2 * _square(a), np.float64(t) ** 2 * _square(b)
    if min(first, second) == np.inf:
        return 0.0, 0.0, 0.0
    return (s * a[0], s * a[1], s * a[2]) if first <= second else (t * b[0], t * b[1], t * b[2])


@inlined
def _address(address: np.ndarray, x: int, y: int) -> Point:
    return np.float64(address[y, x, 0]), np.float64(address[y, x, 1]), np.float64(address[y, x, 2])


@inlined
def _slopes(slopes: np.ndarray, x: int, y: int) -> tuple[Point, Point]:
    return (
        (np.float64(slopes[y, x, 0]), np.float64(slopes[y, x, 1]), np.float64(slopes[y, x, 2])),
        (np.float64(slopes[y, x, 3]), np.float64(slopes[y, x, 4]), np.float64(slopes[y, x, 5])),
    )


@inlined
def _square(a: Point) -> float:
    return a[0] * a[0] + a[1] * a[1] + a[2] * a[2]


@inlined
def _dot(a: Point, b: Point) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def _cross(a: Point, b: Point) -> Point:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@inlined
def _residual(address: np.ndarray, scale: np.ndarray, x: int, y: int, q: Point) -> Point:
    s = np.float64(scale[y, x])
    return s * (address[y, x, 0] - q[0]), s * (address[y, x, 1] - q[1]), s * (address[y, x, 2] - q[2])


@inlined
def _side(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, x: int, y: int, dx: int, dy: int, q: Point, g: Point
) -> Point:
    """Difference of g, which is ``g`` here, towards one neighbour; infinite where that shows something else."""
    u, v = x + dx, y + dy
    if u < 0 or v < 0 or u >= owner.shape[1] or v >= owner.shape[0] or owner[v, u] != owner[y, x]:
        return np.inf, np.inf, np.inf
    h = _residual(address, scale, u, v, q)
    return h[0] - g[0], h[1] - g[1], h[2] - g[2]


@inlined
def _edge(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, x: int, y: int, dx: int, dy: int, q: Point, g: Point
) -> Point:
    """Difference of g towards one neighbour; infinite if only the other side has one, 0 on a surface one pixel wide."""
    edge = _side(owner, address, scale, x, y, dx, dy, q, g)
    if edge[0] == np.inf and _side(owner, address, scale, x, y, -dx, -dy, q, g)[0] == np.inf:
        return 0.0, 0.0, 0.0
    return edge


@inlined
def _solve(g: Point, cx: Point, cy: Point) -> tuple[float, float, float, float]:
    """Least-squares root of g + cx dx + cy dy; returns dx, dy, the square left of g there, and that of a footprint."""
    xx, yy = _square(cx), _square(cy)
    xy = cx[0] * cy[0] + cx[1] * cy[1] + cx[2] * cy[2]
    bx = -(cx[0] * g[0] + cx[1] * g[1] + cx[2] * g[2])
    by = -(cy[0] * g[0] + cy[1] * g[1] + cy[2] * g[2])
    determinant = xx * yy - xy * xy
    if determinant > 1e-9 * xx * yy:
        dx, dy = (bx * yy - by * xy) / determinant, (by * xx - bx * xy) / determinant
    else:
        dx, dy = (bx / xx if xx > 0 else 0.0), (by / yy if yy > 0 and xx == 0 else 0.0)
    left = (g[0] + cx[0] * dx + cy[0] * dy, g[1] + cx[1] * dx + cy[1] * dy, g[2] + cx[2] * dx + cy[2] * dy)
    return dx, dy, _square(left), (xx + yy) / 2


@inlined
def _bend(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, x: int, y: int, q: Point, g: Point, cx: Point, cy: Point
) -> Point:
    """Return the second difference of g at (x, y) along the axis where it stands out most from the facet (cx, cy)."""
    normal = _cross(cx, cy)
    best = (0.0, 0.0, 0.0)
    for axis in range(2):
        dx, dy = 1 - axis, axis
        a = _side(owner, address, scale, x, y, dx, dy, q, g)
        b = _side(owner, address, scale, x, y, -dx, -dy, q, g)
        if a[0] < np.inf and b[0] < np.inf:
            bend = (a[0] + b[0], a[1] + b[1], a[2] + b[2])
            if abs(_dot(bend, normal)) > abs(_dot(best, normal)):
                best = bend
    return best


@inlined
def _along_sight(g: Point, cx: Point, cy: Point, bend: Point, dx: float, dy: float) -> tuple[float, float]:
    """Return the root (dx, dy) with what is left of g off the facet (cx, cy) taken along the line of sight.

    Least squares takes it along the facet's normal, which on a curved surface is a little beside the point. Where an
    affine map moves the surface, g is linear in (x, y, scale): its second differences (``bend``) all lie along the line
    of sight. They do not count where they are rounding, or larger than a pixel's step, as across a fold.
    """
    normal = _cross(cx, cy)
    out, footprint = _dot(bend, normal), (_square(cx) + _square(cy)) / 2
    if out * out <= FLAT * footprint * _square(normal) or _square(bend) > 2 * footprint:
        return dx, dy
    share = -_dot(g, normal) / out
    if abs(share) > 1:
        return dx, dy
    dx, dy, _, _ = _solve((g[0] + share * bend[0], g[1] + share * bend[1], g[2] + share * bend[2]), cx, cy)
    return dx, dy


@inlined
def _nearest_owned(owner: np.ndarray, px: float, py: float, o: int) -> tuple[int, int]:
    """Find the pixel of owner ``o`` nearest to (px, py), at most 1.5 px away on either axis, else (-1, -1)."""
    x, y = int(np.rint(px)), int(np.rint(py))
    if owner[y, x] == o:
        return x, y
    best, found = 9.0, (-1, -1)
    for v in range(max(y - 1, 0), min(y + 2, owner.shape[0])):
        for u in range(max(x - 1, 0), min(x + 2, owner.shape[1])):
            d = (u - px) ** 2 + (v - py) ** 2
            if owner[v, u] == o and d < best:
                best, found = d, (u, v)
    return found


@uncounted
def _settle(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, x: int, y: int, q: Point, dx: float, dy: float
) -> tuple[bool, float, float]:
    """Find the root of g beside pixel (x, y), about (dx, dy) away, on the facet that holds it.

    A pixel and two of its neighbours span a plane in address space. Of all such corners the one whose plane is nearest
    to q is on q's facet, and its answer is exact; corners around the root come first. Returns (found, x, y).
    """
    height, width = owner.shape
    best, result = np.inf, (False, 0.0, 0.0)
    ahead = (1 if dx > 0 else -1, 1 if dy > 0 else -1)
    for ring in range(4):
        u, v = x + (ring & 1) * ahead[0], y + (ring >> 1) * ahead[1]
        if u < 0 or v < 0 or u >= width or v >= height or owner[v, u] != owner[y, x]:
            continue
        g = _residual(address, scale, u, v, q)
        for corner in range(4):
            sx, sy = ahead[0] * (1 - 2 * (corner & 1)), ahead[1] * (1 - (corner & 2))
            cx = _edge(owner, address, scale, u, v, sx, 0, q, g)
            cy = _edge(owner, address, scale, u, v, 0, sy, q, g)
            if cx[0] == np.inf or cy[0] == np.inf:
                continue
            ex, ey, left, footprint = _solve(g, cx, cy)
            if not (left <= footprint and left < best * footprint):
                continue
            if left > ON_PLANE * footprint:
                ex, ey = _along_sight(g, cx, cy, _bend(owner, address, scale, u, v, q, g, cx, cy), ex, ey)
            px, py = u + sx * ex, v + sy * ey
            if abs(px - x) <= REACH and abs(py - y) <= REACH:
                best, result = left / footprint, (True, px, py)
            if best < ON_PLANE:
                return result
    return result


@uncounted
def _walk(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, slopes: np.ndarray,
    o: int, q: Point, px: float, py: float,
) -> tuple[bool, float, float]:  # fmt: skip
    """Walk by Newton steps from (px, py) to the root of g on the surface of ``o``; returns (found, x, y)."""
    right, bottom = owner.shape[1] - 1.0, owner.shape[0] - 1.0
    before = (-1, -1)
    here = _nearest_owned(owner, min(max(px, 0.0), right), min(max(py, 0.0), bottom), o)
    for _ in range(STEPS):
        if here[0] < 0:
            break
        x, y = here
        cx, cy = _slopes(slopes, x, y)
        dx, dy, _, _ = _solve(_residual(address, scale, x, y, q), cx, cy)
        px, py = x + min(max(dx, -LEAP), LEAP), y + min(max(dy, -LEAP), LEAP)
        there = _nearest_owned(owner, min(max(px, 0.0), right), min(max(py, 0.0), bottom), o)
        if there in (here, before):
            if abs(dx) > 2 * REACH or abs(dy) > 2 * REACH:
                break
            return _settle(owner, address, scale, x, y, q, dx, dy)
        before, here = here, there
    return False, 0.0, 0.0


@inlined
def _beside(flow: np.ndarray, owner: np.ndarray, x: int, y: int, turn: int, k: int) -> tuple[bool, float, float]:
    """Say where pixel (x, y) would be if it moved like the ``k``-th of its neighbours that a sweep passed before it."""
    u, v = x + turn * (k - 1 if k < 2 else 1), y - turn * min(k, 1)
    if u < 0 or v < 0 or u >= owner.shape[1] or v >= owner.shape[0] or owner[v, u] != owner[y, x]:
        return False, 0.0, 0.0
    return not np.isnan(flow[v, u, 0]), x + np.float64(flow[v, u, 0]), y + np.float64(flow[v, u, 1])


@njit(cache=True, nogil=True)
def pull(
    flow: np.ndarray, owner_i: np.ndarray, address_i: np.ndarray, wanted: np.ndarray,
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, slopes: np.ndarray,
    tree: np.ndarray, axes: np.ndarray, places: np.ndarray,
) -> None:  # fmt: skip
    """Find the addresses of frame i in the page of frame j (exact-motion 1.1, "pull").

    ``wanted`` ``(owners,)`` bool says whose pixels to look up, where the ``flow`` ``(H, W, 2)`` float32 is NaN; what is
    found is written there, in pixels. A look-up starts from the answer of a pixel beside it, else, once in 2 x 2
    pixels, from the nearest seed: ``tree`` and ``axes`` (``tree.grow``) hold (address, owner * SPREAD) of some pixels
    of j, ``places`` ``(N, 2)`` where they are; a sweep back fills what the first one left.
    """
    height, width = owner_i.shape
    query = np.empty(4)
    for step in range(2 * height * width):
        turn, at = (1, step) if step < height * width else (-1, 2 * height * width - 1 - step)
        y, x = at // width, at % width
        o = owner_i[y, x]
        if o < 0 or not wanted[o] or not np.isnan(flow[y, x, 0]):
            continue
        q = _address(address_i, x, y)
        found, px, py = False, 0.0, 0.0
        for k in range(3):
            known, start_x, start_y = _beside(flow, owner_i, x, y, turn, k)
            if known and not found:
                found, px, py = _walk(owner, address, scale, slopes, o, q, start_x, start_y)
        asked = (x % 2 == 0 and y % 2 == 0) or owner_i[y - y % 2, x - x % 2] != o
        if asked and turn > 0 and not found:
            query[0], query[1], query[2], query[3] = q[0], q[1], q[2], o * SPREAD
            seed = nearest(tree, axes, query)
            if seed >= 0:
                found, px, py = _walk(owner, address, scale, slopes, o, q, places[seed, 0], places[seed, 1])
        if found:
            flow[y, x, 0], flow[y, x, 1] = px - x, py - y


@inlined
def _agreement(
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, slopes: np.ndarray,
    u: int, v: int, o: int, q: Point, px: float, py: float, limit: float,
) -> int:  # fmt: skip
    """Tell whether pixel (u, v), carried along its surface to (px, py), shows address ``q`` of ``o``: 0 if it does not.

    It does within ``limit`` squared footprints in all, and within one shorter side of a footprint, squared, off the
    surface: by the long side of a face seen edge-on, what lies behind its rim would still be near. 2 where it is within
    ``BEHIND`` off the surface, else 1, also on a surface one pixel wide, which does not tell.
    """
    if owner[v, u] != o:
        return 0
    g, (cx, cy) = _residual(address, scale, u, v, q), _slopes(slopes, u, v)
    dx, dy = px - u, py - v
    left = (g[0] + cx[0] * dx + cy[0] * dy, g[1] + cx[1] * dx + cy[1] * dy, g[2] + cx[2] * dx + cy[2] * dy)
    both = _square(cx) + _square(cy)
    if not (both > 0 and 2 * _square(left) <= limit * both):
        return 0
    normal = _cross(cx, cy)
    area = _square(normal)
    if not area > 0:
        return 1
    longest = both / 2 + np.sqrt(max(0.0, both * both / 4 - area))
    off = _dot(left, normal) ** 2 * longest
    return 2 if off <= BEHIND * area * area else (1 if off <= min(limit, 1.0) * area * area else 0)


@njit(cache=True, nogil=True)
def agree(
    flow: np.ndarray, owner_i: np.ndarray, address_i: np.ndarray,
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray, slopes: np.ndarray, tolerance: float,
) -> np.ndarray:  # fmt: skip
    """Judge a flow by the addresses at its target (exact-motion 1.1, "occlusion").

    A pixel of j agrees when it shows the same owner and its address, carried to p + flow along the surface, is within
    ``tolerance`` footprints (root mean square size of a pixel in address space) of the address sought, and no further
    off the surface than the shorter side of a footprint. Returns ``(H, W)`` uint8: 3 where every pixel with a weight in
    a bilinear sample agrees, is wider than one pixel, and within the root of ``BEHIND``; 1 where those that agree have
    ``LEAST`` of the weight, else 0.
    """
    height, width = owner.shape
    verdict, limit = np.zeros((height, width), np.uint8), tolerance * tolerance
    for y in range(height):
        for x in range(width):
            o = owner_i[y, x]
            px, py = x + np.float64(flow[y, x, 0]), y + np.float64(flow[y, x, 1])
            if o < 0 or not (-0.5 <= px <= width - 0.5 and -0.5 <= py <= height - 0.5):
                continue
            q = _address(address_i, x, y)
            agreeing, every = 0.0, 0 <= px <= width - 1 and 0 <= py <= height - 1
            x0, y0 = int(np.floor(px)), int(np.floor(py))
            for v in range(max(y0, 0), min(y0 + 2, height)):
                for u in range(max(x0, 0), min(x0 + 2, width)):
                    weight = (1 - abs(px - u)) * (1 - abs(py - v))
                    if weight > 1e-4 and (every or agreeing < LEAST):
                        found = _agreement(owner, address, scale, slopes, u, v, o, q, px, py, limit)
                        agreeing, every = agreeing + min(found, 1) * weight, every and found == 2
            if agreeing >= LEAST:
                verdict[y, x] = 3 if every else 1
    return verdict
