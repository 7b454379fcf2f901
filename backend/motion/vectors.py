"""Motion between neighbouring frames, from Blender's Vector pass."""

from __future__ import annotations

import numpy as np
from numba import njit

from .geometry import DataLayer


def neighbour_flow(layer: DataLayer, step: int) -> np.ndarray:
    """Compute the backward flow from a frame to the frame ``step`` (+1 or -1) away.

    The pass holds (X, Y) = previous - current and (Z, W) = current - next, y up (Cycles, camera_motion_vector).
    Returns ``(H, W, 2)`` float32 pixels, NaN where no motion is known; the sky is NaN, since Cycles writes zero or a
    wrong vector there.
    """
    return _neighbour_flow(layer.vector, layer.sky, step)


@njit(cache=True, nogil=True)
def _neighbour_flow(vector: np.ndarray, sky: np.ndarray, step: int) -> np.ndarray:
    height, width = sky.shape
    flow = np.empty((height, width, 2), np.float32)
    for y in range(height):
        for x in range(width):
            if sky[y, x]:
                flow[y, x] = np.nan, np.nan
            elif step < 0:
                flow[y, x] = vector[y, x, 0], -vector[y, x, 1]
            else:
                flow[y, x] = -vector[y, x, 2], vector[y, x, 3]
    return flow


def apart(flow: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return by how much two flows differ, ``(H, W)`` px: the larger of both components; NaN where either is."""
    difference = np.abs(flow - other)
    return np.maximum(difference[..., 0], difference[..., 1])
