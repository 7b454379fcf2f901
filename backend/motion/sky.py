"""The sky's motion: a background at infinity moves with the camera's rotation, lens and shift alone."""

from __future__ import annotations

import numpy as np

from .geometry import Camera, pixel_grid, project


def sky_flow(camera_i: Camera, camera_j: Camera, size: tuple[int, int]) -> np.ndarray:
    """Compute the backward flow of the world background from frame i to frame j.

    The ray through each pixel centre of i is taken as a point at infinity (homogeneous w = 0) and projected by the
    camera of j, so that rotation, lens change, sensor shift and pixel aspect are exact. An orthographic camera shows
    one direction everywhere: its background stays fixed to the screen. ``size`` is (width, height).
    Returns ``(H, W, 2)`` float32 pixels, NaN where the direction is behind the camera of j.
    """
    if "ORTHO" in (camera_i.kind, camera_j.kind):
        return np.zeros((size[1], size[0], 2), np.float32)
    width, height = size
    grid = pixel_grid(size).astype(np.float64)
    x = (grid[..., 0] + 0.5) * (2 / width) - 1
    y = 1 - (grid[..., 1] + 0.5) * (2 / height)
    p = camera_i.projection
    # A view ray at z = -1: clip x = p00 vx + p02 vz and clip w = -vz, hence vx = (x + p02) / p00.
    view = np.stack([(x + p[0, 2]) / p[0, 0], (y + p[1, 2]) / p[1, 1], -np.ones_like(x)], -1)
    direction = view @ _rotation(camera_i).T
    homogeneous = np.concatenate([direction, np.zeros_like(x)[..., None]], -1)
    to_view = np.eye(4)
    to_view[:3, :3] = _rotation(camera_j).T
    return (project(camera_j.projection @ to_view, homogeneous, size)[0] - grid).astype(np.float32)


def _rotation(camera: Camera) -> np.ndarray:
    """Return the camera's axes as orthonormal columns: Blender ignores a camera's scale."""
    axes = camera.matrix_world[:3, :3]
    return axes / np.linalg.norm(axes, axis=0)
