"""Motion between neighbouring frames, from Blender's Vector pass."""

from __future__ import annotations

import numpy as np

from .geometry import DataLayer


def neighbour_flow(layer: DataLayer, step: int) -> np.ndarray:
    """Compute the backward flow from a frame to the frame ``step`` (+1 or -1) away.

    The pass holds (X, Y) = previous - current and (Z, W) = current - next, y up (Cycles, camera_motion_vector).
    Returns ``(H, W, 2)`` float32 pixels, NaN where no motion is known; the sky is NaN, since Cycles writes zero or a
    wrong vector there.
    """
    vector = layer.vector
    flow = np.stack([vector[..., 0], -vector[..., 1]] if step < 0 else [-vector[..., 2], vector[..., 3]], -1)
    flow[layer.sky] = np.nan
    return flow


def apart(flow: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return by how much two flows differ, ``(H, W)`` px: the larger of both components; NaN where either is."""
    difference = np.abs(flow - other)
    return np.maximum(difference[..., 0], difference[..., 1])
