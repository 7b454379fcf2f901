"""The per-pixel loops of the address book, compiled by numba.

A *page* is one frame seen as addresses: ``owner`` ``(H, W)`` int32 says whose surface a pixel shows (-1: nobody's),
``address`` ``(H, W, 3)`` float32 which point of it, ``scale`` ``(H, W)`` float32 a factor that makes ``scale * address``
and ``scale`` linear in the image on a plane (1 / depth under perspective). With them the image position of address q
is the root of g(p) = scale(p) (address(p) - q), which is linear on every planar facet, so that one Newton step is exact.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from .tree import nearest

STEPS = 16  # of one walk
LEAP = 32.0  # px, the longest step
REACH = 1.0  # px beyond the outermost pixel of a surface that it is followed
SPREAD = 1e6  # keeps the seeds of different owners apart in the tree


@njit(cache=True)
def push(address: np.ndarray, owner: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Project every pixel's address by its owner's matrix.

    ``matrices`` is ``(owners, 4, 4)`` float64, address to clip space, NaN where an owner cannot be pushed. Returns the flow
    ``(H, W, 2)`` float32 in pixels, NaN where there is none or the point is behind the camera.
    """
    height, width = owner.shape
    flow = np.full((height, width, 2), np.nan, np.float32)
    for y in range(height):
        for x in range(width):
            if owner[y, x] < 0:
                continue
            m = matrices[owner[y, x]]
            a, b, c = np.float64(address[y, x, 0]), np.float64(address[y, x, 1]), np.float64(address[y, x, 2])
            w = m[3, 0] * a + m[3, 1] * b + m[3, 2] * c + m[3, 3]
            if w > 0:
                u = (m[0, 0] * a + m[0, 1] * b + m[0, 2] * c + m[0, 3]) / w
                v = (m[1, 0] * a + m[1, 1] * b + m[1, 2] * c + m[1, 3]) / w
                flow[y, x, 0] = (u + 1) * width / 2 - 0.5 - x
                flow[y, x, 1] = (1 - v) * height / 2 - 0.5 - y
    return flow


@njit(cache=True)
def transform(points: np.ndarray, owner: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Apply each owner's affine matrix ``(owners, 3, 4)`` to its pixels' ``points`` ``(H, W, 3)``; float32, NaN elsewhere."""
    height, width = owner.shape
    out = np.full((height, width, 3), np.nan, np.float32)
    for y in range(height):
        for x in range(width):
            if owner[y, x] >= 0:
                m, p = matrices[owner[y, x]], points[y, x]
                for k in range(3):
                    out[y, x, k] = m[k, 0] * p[0] + m[k, 1] * p[1] + m[k, 2] * p[2] + m[k, 3]
    return out


@njit(cache=True, inline="always")
def _residual(address, scale, x, y, q):  # noqa: ANN001, ANN202
    s = np.float64(scale[y, x])
    return s * (address[y, x, 0] - q[0]), s * (address[y, x, 1] - q[1]), s * (address[y, x, 2] - q[2])


@njit(cache=True)
def _slope(owner, address, scale, x, y, dx, dy, q, side):  # noqa: ANN001, ANN202
    """Difference of g along one axis: on the wanted side (+1, -1), or on the flatter one (0), if a neighbour is there."""
    height, width = owner.shape
    o = owner[y, x]
    g = _residual(address, scale, x, y, q)
    best, steepness = (0.0, 0.0, 0.0), np.inf
    for s in (1, -1):
        u, v = x + s * dx, y + s * dy
        if 0 <= u < width and 0 <= v < height and owner[v, u] == o:
            h = _residual(address, scale, u, v, q)
            d = (s * (h[0] - g[0]), s * (h[1] - g[1]), s * (h[2] - g[2]))
            n = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
            if s == side:
                n *= 1 / 9.0  # preferred, unless three times as steep: that is a seam or a fold
            if n < steepness:
                best, steepness = d, n
    return best


@njit(cache=True)
def _solve(g, cx, cy):  # noqa: ANN001, ANN202
    """Least-squares root of g + cx dx + cy dy, and what is left of g there."""
    xx = cx[0] * cx[0] + cx[1] * cx[1] + cx[2] * cx[2]
    yy = cy[0] * cy[0] + cy[1] * cy[1] + cy[2] * cy[2]
    xy = cx[0] * cy[0] + cx[1] * cy[1] + cx[2] * cy[2]
    bx = -(cx[0] * g[0] + cx[1] * g[1] + cx[2] * g[2])
    by = -(cy[0] * g[0] + cy[1] * g[1] + cy[2] * g[2])
    determinant = xx * yy - xy * xy
    if determinant > 1e-9 * xx * yy:
        dx, dy = (bx * yy - by * xy) / determinant, (by * xx - bx * xy) / determinant
    else:
        dx, dy = (bx / xx if xx > 0 else 0.0), (by / yy if yy > 0 and xx == 0 else 0.0)
    left = 0.0
    for k in range(3):
        left += (g[k] + cx[k] * dx + cy[k] * dy) ** 2
    return dx, dy, left, (xx + yy) / 2


@njit(cache=True)
def _nearest_owned(owner, x, y, o):  # noqa: ANN001, ANN202
    """The pixel nearest to (x, y) of owner ``o`` within 1 px, or -1."""
    height, width = owner.shape
    best, found = 9.0, (-1, -1)
    for v in range(max(int(y) - 1, 0), min(int(y) + 3, height)):
        for u in range(max(int(x) - 1, 0), min(int(x) + 3, width)):
            d = (u - x) ** 2 + (v - y) ** 2
            if owner[v, u] == o and d < best:
                best, found = d, (u, v)
    return found


@njit(cache=True)
def _walk(owner, address, scale, o, q, px, py):  # noqa: ANN001, ANN202
    """Walk from (px, py) to the root of g on the surface of ``o``; returns (found, x, y)."""
    height, width = owner.shape
    before = (-1, -1)
    here = _nearest_owned(owner, min(max(px, 0.0), width - 1.0), min(max(py, 0.0), height - 1.0), o)
    for _ in range(STEPS):
        if here[0] < 0:
            return False, 0.0, 0.0
        x, y = here
        g = _residual(address, scale, x, y, q)
        cx = _slope(owner, address, scale, x, y, 1, 0, q, 0)
        cy = _slope(owner, address, scale, x, y, 0, 1, q, 0)
        dx, dy, left, footprint = _solve(g, cx, cy)
        px = min(max(x + min(max(dx, -LEAP), LEAP), 0.0), width - 1.0)
        py = min(max(y + min(max(dy, -LEAP), LEAP), 0.0), height - 1.0)
        there = _nearest_owned(owner, px, py, o)
        if there == here or there == before:
            cx = _slope(owner, address, scale, x, y, 1, 0, q, 1 if dx > 0 else -1)
            cy = _slope(owner, address, scale, x, y, 0, 1, q, 1 if dy > 0 else -1)
            dx, dy, left, footprint = _solve(g, cx, cy)
            return left <= footprint and abs(dx) <= REACH and abs(dy) <= REACH, x + dx, y + dy
        before, here = here, there
    return False, 0.0, 0.0


@njit(cache=True)
def pull(
    owner_i: np.ndarray, address_i: np.ndarray, wanted: np.ndarray,
    owner: np.ndarray, address: np.ndarray, scale: np.ndarray,
    tree: np.ndarray, axes: np.ndarray, places: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Find the addresses of frame i in the page of frame j (exact-motion 1.1, "pull").

    ``wanted`` ``(owners,)`` bool says whose pixels to look up. A look-up starts from the answer of a pixel beside it, else from the
    nearest seed: ``tree`` and ``axes`` (``tree.grow``) hold (address, owner * SPREAD) of some pixels of j, ``places``
    ``(N, 2)`` where they are. Returns the flow ``(H, W, 2)`` float32 in pixels, NaN where an address is not found.
    """
    height, width = owner_i.shape
    flow = np.full((height, width, 2), np.nan, np.float32)
    query = np.empty(4)
    for y in range(height):
        for x in range(width):
            o = owner_i[y, x]
            if o < 0 or not wanted[o]:
                continue
            q = (np.float64(address_i[y, x, 0]), np.float64(address_i[y, x, 1]), np.float64(address_i[y, x, 2]))
            found, px, py = False, 0.0, 0.0
            for dx, dy in ((-1, 0), (0, -1), (1, -1)):
                u, v = x + dx, y + dy
                if not found and 0 <= u < width and v >= 0 and owner_i[v, u] == o and not np.isnan(flow[v, u, 0]):
                    found, px, py = _walk(owner, address, scale, o, q, x + flow[v, u, 0], y + flow[v, u, 1])
            if not found:
                query[0], query[1], query[2], query[3] = q[0], q[1], q[2], o * SPREAD
                seed = nearest(tree, axes, query)
                if seed >= 0:
                    found, px, py = _walk(owner, address, scale, o, q, places[seed, 0], places[seed, 1])
            if found:
                flow[y, x, 0], flow[y, x, 1] = px - x, py - y
    return flow


@njit(cache=True)
def agree(
    flow: np.ndarray, owner_i: np.ndarray, address_i: np.ndarray, owner: np.ndarray, address: np.ndarray,
    scale: np.ndarray, tolerance: float,
) -> np.ndarray:  # fmt: skip
    """Judge a flow by the addresses at its target (exact-motion 1.1, "occlusion").

    A pixel of j agrees when it shows the same owner and its address, carried to p + flow along the surface, is within
    ``tolerance`` footprints (root mean square size of a pixel in address space) of the address sought. Returns
    ``(H, W)`` uint8: 0 where no pixel around p + flow agrees, 1 where one of the four does, 3 where every pixel does
    that has a weight in a bilinear sample.
    """
    height, width = owner.shape
    verdict = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            o = owner_i[y, x]
            px, py = x + np.float64(flow[y, x, 0]), y + np.float64(flow[y, x, 1])
            if o < 0 or not (-0.5 <= px <= width - 0.5 and -0.5 <= py <= height - 0.5):
                continue
            q = (np.float64(address_i[y, x, 0]), np.float64(address_i[y, x, 1]), np.float64(address_i[y, x, 2]))
            some, every = False, 0 <= px <= width - 1 and 0 <= py <= height - 1
            x0, y0 = int(np.floor(px)), int(np.floor(py))
            for v in range(max(y0, 0), min(y0 + 2, height)):
                for u in range(max(x0, 0), min(x0 + 2, width)):
                    if (1 - abs(px - u)) * (1 - abs(py - v)) < 1e-4:
                        continue
                    good = owner[v, u] == o
                    if good:
                        g = _residual(address, scale, u, v, q)
                        cx = _slope(owner, address, scale, u, v, 1, 0, q, 0)
                        cy = _slope(owner, address, scale, u, v, 0, 1, q, 0)
                        left, footprint = 0.0, 0.0
                        for k in range(3):
                            left += (g[k] + cx[k] * (px - u) + cy[k] * (py - v)) ** 2
                            footprint += (cx[k] ** 2 + cy[k] ** 2) / 2
                        good = left <= footprint * tolerance * tolerance
                    some, every = some or good, every and good
            verdict[y, x] = 3 if some and every else 1 if some else 0
    return verdict
