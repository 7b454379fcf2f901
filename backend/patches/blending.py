"""Blending warped frames: who counts where, windows of any length by a tree, and how outlines stay clean."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
from numba import njit

from ..motion.cache import Cache

STEP = 0.02  # relative jump of the distance between neighbouring pixels that parts two surfaces
WINDOW = 2  # px around an outline's pixel in which its two surfaces are looked up
NOISE = 0.06  # colour difference (sRGB) of two surfaces below which coverage is read from their shapes alone
TREE_CACHE = 1 << 30  # bytes of running sums kept

Remap = Callable[[np.ndarray, int, int], np.ndarray]
"""``remap(sums, source, target)``: sums ``(H, W, C + 1)`` of frame ``source``, as frame ``target`` sees them; linear.

The last channel is the sum of the weights. Where ``target`` shows nothing that ``source`` does, all are 0.
"""


def shares(frame: int, keys: Iterable[int]) -> dict[int, float]:
    """Return how much each key frame counts at ``frame`` by its distance in time; they sum to 1.

    The inverse square of the distance: between two keys an S-curve that is the same forwards and backwards in time, at
    a key's own frame that key alone. Keys further away count little, but take over where no other sees a surface.
    """
    distance = {key: abs(frame - key) for key in keys}
    if 0 in distance.values():
        return {key: float(gap == 0) for key, gap in distance.items()}
    total = sum(gap**-2 for gap in distance.values())
    return {key: gap**-2 / total for key, gap in distance.items()}


class WindowBlend:
    """The patch blending of DiffSynth: every frame the mean of the frames up to ``radius`` before and after it.

    ``frame(k)`` is ``(H, W, C)``, k from 0 to ``count`` - 1. All are remapped to the frame itself, in O(log n) remaps
    a frame by a tree for those before it and another for those after. What a pixel shows nowhere else stays as it is.
    """

    def __init__(self, frame: Callable[[int], np.ndarray], count: int, remap: Remap, radius: int) -> None:
        last = count - 1
        self._last, self._radius = last, radius
        self._before = BlendTree(frame, remap)
        self._after = BlendTree(lambda k: frame(last - k), lambda sums, i, j: remap(sums, last - i, last - j))

    def __call__(self, k: int) -> np.ndarray:
        """Return frame ``k`` blended, ``(H, W, C)``."""
        mirrored = self._last - k
        before = self._before.sums(max(0, k - self._radius), k)
        after = self._after.sums(max(0, mirrored - self._radius), mirrored)
        total = before + after - self._before.sums(k, k)
        return total[..., :-1] / total[..., -1:]


class BlendTree:
    """Running sums of remapped frames: those of ``2^l`` frames in a node, each made once, of two nodes of ``2^(l-1)``.

    DiffSynth's remapping table (arXiv 2308.03463, "approximate algorithm": from O(n²) to O(n log n) remaps). That
    carries means and counts; sums of values and of weights make the same tree exact where remaps see only a part.
    """

    def __init__(self, frame: Callable[[int], np.ndarray], remap: Remap) -> None:
        self._frame, self._remap = frame, remap
        self._nodes: Cache[tuple[int, int], np.ndarray] = Cache(TREE_CACHE, self._join)

    def sums(self, first: int, last: int) -> np.ndarray:
        """Return the frames ``first`` to ``last`` as frame ``last`` sees them: sums ``(H, W, C + 1)``, weights last."""
        total, end = self._leaf(last) * 0, last
        while end >= first:
            level = 0
            while (end + 1) % (2 << level) == 0 and end + 1 - (2 << level) >= first:
                level += 1
            node = self._node(end, level)
            total = total + (node if end == last else self._remap(node, end, last))
            end -= 1 << level
        return total

    def _node(self, end: int, level: int) -> np.ndarray:
        """Return the sums of the ``2^level`` frames up to ``end``, which is one less than a multiple of that."""
        return self._nodes.get((end, level)) if level else self._leaf(end)

    def _join(self, place: tuple[int, int]) -> np.ndarray:
        end, level = place
        middle = end - (1 << level - 1)
        return self._node(end, level - 1) + self._remap(self._node(middle, level - 1), middle, end)

    def _leaf(self, k: int) -> np.ndarray:
        frame = self._frame(k)
        return np.concatenate([frame, np.ones_like(frame[..., :1])], axis=-1)


def faded(weights: Sequence[np.ndarray], radius: float) -> list[np.ndarray]:
    """Return weights ``(H, W)`` that sum to 1 where any counts, each going to 0 towards the border of where it counts.

    Within ``radius`` px of its border an image yields to the others there, however little they counted before; where it
    is alone it keeps all.
    """
    total = np.maximum(np.sum(weights, axis=0), 1e-20)
    shares = [weight / total for weight in weights]
    distances = [cv2.distanceTransform((weight > 0).astype(np.uint8), cv2.DIST_L2, 5) for weight in weights]
    inside = [np.minimum(distance / np.float32(radius), 1) for distance in distances]
    yielded = np.sum([share * (1 - part) for share, part in zip(shares, inside, strict=True)], axis=0)
    taken = yielded / np.maximum(np.sum(inside, axis=0), 1e-20)
    return [part * (share + taken) for share, part in zip(shares, inside, strict=True)]


@njit(cache=True, nogil=True)
def sampling(flow: np.ndarray) -> np.ndarray:
    """Return the smaller and the larger singular value of the Jacobian of p -> p + ``flow``, ``(2, H, W)`` float32.

    They say how many pixels of the other frame a pixel covers, across and along: below 1 the surface is seen larger
    here than there, and what is gathered is stretched; above 1 it is seen smaller, and what is gathered aliases.
    """
    height, width = flow.shape[:2]
    found = np.empty((2, height, width), np.float32)
    for y in range(height):
        north, south = max(y - 1, 0), min(y + 1, height - 1)
        down = np.float32(1) / np.float32(max(south - north, 1))
        for x in range(width):
            west, east = max(x - 1, 0), min(x + 1, width - 1)
            right = np.float32(1) / np.float32(max(east - west, 1))
            a = np.float32(1) + (flow[y, east, 0] - flow[y, west, 0]) * right
            b = (flow[y, east, 1] - flow[y, west, 1]) * right
            c = (flow[south, x, 0] - flow[north, x, 0]) * down
            d = np.float32(1) + (flow[south, x, 1] - flow[north, x, 1]) * down
            # The sum and the difference of the singular values: of its turning and of its mirroring part.
            total, rest = np.sqrt((a + d) ** 2 + (b - c) ** 2), np.sqrt((a - d) ** 2 + (b + c) ** 2)
            found[0, y, x], found[1, y, x] = abs(total - rest) / 2, (total + rest) / 2
    return found


def outlines(index: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return where a pixel's neighbour shows another surface, ``(H, W)`` bool: both sides of every outline.

    ``index`` ``(H, W)`` are object numbers, ``depth`` ``(H, W)`` distances above 0. Two neighbours of one object are on
    different surfaces where the inverse of the depth, linear on a plane, jumps by more than its slope explains.
    """
    nearness = (1 / np.maximum(depth, 1e-6)).astype(np.float32)
    return _parted(index, nearness) | _parted(index.T, nearness.T).T


def _parted(index: np.ndarray, nearness: np.ndarray) -> np.ndarray:
    jump = np.abs(np.diff(nearness, axis=1))
    around = np.pad(jump, ((0, 0), (1, 1)), mode="edge")
    slope = np.maximum(around[:, :-2], around[:, 2:])
    far = np.minimum(nearness[:, 1:], nearness[:, :-1])
    apart = (np.diff(index, axis=1) != 0) | (jump > 3 * slope + STEP * far + 1e-9)
    result = np.zeros(index.shape, bool)
    result[:, 1:] |= apart
    result[:, :-1] |= apart
    return result


def in_front(edge: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Return what stands in front of each pixel behind an outline, ``(H, W)`` int32 flat indices; else its own.

    ``edge`` ``(H, W)`` bool is as :func:`outlines` returns it. The pixel in front is the nearest one on the near side
    of an outline, where that is nearer to the camera than the pixel itself.
    """
    own = np.arange(depth.size, dtype=np.int32).reshape(depth.shape)
    near = edge & (cv2.dilate(depth, np.ones((3, 3), np.uint8)) > (1 + STEP) * depth)
    if not near.any():
        return own
    elsewhere = (~near).astype(np.uint8)
    _, nearest = cv2.distanceTransformWithLabels(elsewhere, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    place = np.zeros(nearest.max() + 1, own.dtype)
    place[nearest[near]] = own[near]
    front = place[nearest]
    return np.where(depth.ravel()[front] * (1 + STEP) < depth, front, own)


def antialiased(
    image: np.ndarray, source: np.ndarray, index: np.ndarray, depth: np.ndarray, edge: np.ndarray
) -> np.ndarray:
    """Return ``image`` ``(H, W, C)`` with the pixels of its outlines mixed from both surfaces as in ``source``.

    Geometry is sampled once a pixel, so what is gathered along it has jagged outlines, and beside them colours of
    another frame's background. At every pixel of ``edge`` (see :func:`outlines`) the colour F of its own surface and
    the colour B of the surface behind the edge are looked up a step away from the edge, in the source and in the image.
    The source's pixel tells the coverage: its place between F and B, or, where those look alike, the share of the
    pixels around. Pixels with no inside near them, as on a hair, stay as they are.
    """
    y, x = np.nonzero(edge)
    shape, means, counts = _beside(y, x, source, image, index, depth.astype(np.float32, copy=False), edge)
    front, back = means[:, 0], means[:, 1]
    span = (front - back)[:, :3]
    evidence = ((source[y, x] - back[:, :3]) * span).sum(1)
    coverage = (evidence + NOISE**2 * shape) / ((span**2).sum(1) + NOISE**2)
    mixed = back[:, 3:] + np.clip(coverage, 0, 1)[:, None] * (front - back)[:, 3:]
    result = image.copy()
    result[y, x] = np.where((counts > 0).all(1, keepdims=True), mixed, image[y, x])
    return result


@njit(cache=True, nogil=True)
def _beside(
    rows: np.ndarray, columns: np.ndarray, source: np.ndarray, image: np.ndarray,
    index: np.ndarray, depth: np.ndarray, edge: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Look around every given pixel of an edge, at most ``WINDOW`` px away, for the two surfaces that meet there.

    Returns the share of the pixels around that are of its own surface ``(N,)``; the mean colours of its own and of the
    other surface ``(N, 2, 3 + C)``, in the source and in the image, away from edges; of how many pixels, ``(N, 2)``.
    """
    shape, channels = np.zeros(len(rows), np.float32), image.shape[2]
    means, counts = np.zeros((len(rows), 2, 3 + channels), np.float32), np.zeros((len(rows), 2), np.float32)
    (height, width), within = index.shape, np.exp(2 * WINDOW * STEP)
    near = np.exp(-(np.arange(WINDOW + 1.0) ** 2))
    close = near**2.5  # narrow: measured on a disc
    for n in range(len(rows)):
        y, x, every = rows[n], columns[n], 0.0
        here = max(depth[y, x], 1e-6)
        for dy in range(-WINDOW, WINDOW + 1):
            for dx in range(-WINDOW, WINDOW + 1):
                v, u = min(max(y + dy, 0), height - 1), min(max(x + dx, 0), width - 1)
                own = index[v, u] == index[y, x] and here < depth[v, u] * within and depth[v, u] < here * within
                weight = close[abs(dx)] * close[abs(dy)]
                every, shape[n] = every + weight, shape[n] + weight * own
                if not edge[v, u]:
                    side, weight = (0 if own else 1), near[abs(dx)] * near[abs(dy)]
                    counts[n, side] += weight
                    for c in range(3):
                        means[n, side, c] += weight * source[v, u, c]
                    for c in range(channels):
                        means[n, side, 3 + c] += weight * image[v, u, c]
        shape[n] /= every
        means[n] /= np.maximum(counts[n], 1e-6)[:, None]
    return shape, means, counts
