"""A k-d tree (Bentley 1975) over surface addresses, kept as one sorted array."""

from __future__ import annotations

import numpy as np
from numba import njit

LEAF = 8  # points searched one by one
DEPTH = 64  # more than log2 of any number of points


@njit(cache=True, nogil=True)
def grow(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Order ``points`` ``(N, D)`` as a tree.

    Returns ``order`` ``(N,)`` int64, so that ``points[order]`` is the tree, and ``axes`` ``(N,)`` int8: of every range
    of more than ``LEAF`` points the middle one splits the rest along ``axes[middle]``.
    """
    order = np.arange(len(points))
    axes = np.zeros(len(points), np.int8)
    stack = [(0, len(points))]
    while stack:
        low, high = stack.pop()
        if high - low <= LEAF:
            continue
        part = order[low:high]
        widest, axis = -1.0, 0
        for k in range(points.shape[1]):
            values = points[part, k]
            extent = values.max() - values.min()
            if extent > widest:
                widest, axis = extent, k
        order[low:high] = part[np.argsort(points[part, axis], kind="mergesort")]
        middle = (low + high) // 2
        axes[middle] = axis
        stack.append((low, middle))
        stack.append((middle + 1, high))
    return order, axes


@njit(cache=True, nogil=True)
def nearest(tree: np.ndarray, axes: np.ndarray, query: np.ndarray) -> int:
    """Return the row of ``tree`` (``points[order]``) nearest to ``query`` ``(D,)``; -1 if the tree is empty."""
    stack = np.empty((DEPTH, 2), np.int64)
    reach = np.empty(DEPTH)
    stack[0, 0], stack[0, 1], reach[0] = 0, len(tree), 0.0
    height, best, found = 1, np.inf, -1
    while height:
        height -= 1
        low, high = stack[height, 0], stack[height, 1]
        if reach[height] >= best:
            continue
        middle = (low + high) // 2
        leaf = high - low <= LEAF
        for row in range(low if leaf else middle, high if leaf else middle + 1):
            distance = 0.0
            for k in range(tree.shape[1]):
                distance += (tree[row, k] - query[k]) ** 2
            if distance < best:
                best, found = distance, row
        if not leaf:
            axis = axes[middle]
            offset = query[axis] - tree[middle, axis]
            near, far = ((low, middle), (middle + 1, high)) if offset < 0 else ((middle + 1, high), (low, middle))
            stack[height, 0], stack[height, 1], reach[height] = far[0], far[1], offset * offset
            stack[height + 1, 0], stack[height + 1, 1], reach[height + 1] = near[0], near[1], 0.0
            height += 2
    return found
