"""The sky's addresses: a background at infinity is told apart by direction, and moves with the camera's turn and lens.

The Vector pass is never used here: Cycles writes zero for the sky up to Blender 5.1 and a wrong vector in 5.2.
"""

from __future__ import annotations

import numpy as np

from .geometry import Camera, pixel_grid


def sky_address(camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """Return what point of the sky each pixel centre shows, ``(H, W, 3)`` float32.

    Under perspective it is the unit world direction of the pixel's ray, so that rotation, lens change, sensor shift
    and pixel aspect are exact. An orthographic camera sees one direction everywhere, which Blender spreads over
    the screen: there it is the image position (x, y, 0). For other cameras it is NaN. ``size`` is (width, height).
    """
    width, height = size
    if camera.kind == "ORTHO":
        return np.dstack([pixel_grid(size), np.zeros((height, width), np.float32)])
    if camera.kind != "PERSP":
        return np.full((height, width, 3), np.nan, np.float32)
    x, y = (np.arange(width) + 0.5) * (2 / width) - 1, 1 - (np.arange(height) + 0.5) * (2 / height)
    p, axes = camera.projection, _rotation(camera)
    # A view ray at z = -1: clip x = p00 vx - p02 and clip w = 1, hence vx = (x + p02) / p00.
    across, up = (x + p[0, 2]) / p[0, 0], (y + p[1, 2]) / p[1, 1]
    length = np.sqrt(np.add.outer(up * up, across * across) + 1)
    address = np.empty((height, width, 3), np.float32)
    for k in range(3):
        address[..., k] = np.add.outer(up * axes[k, 1] - axes[k, 2], across * axes[k, 0]) / length
    return address


def sky_matrix(camera: Camera, size: tuple[int, int]) -> np.ndarray:
    """Return the ``(4, 4)`` matrix from sky addresses to the camera's clip space; NaN where there is none."""
    if camera.kind == "ORTHO":
        width, height = size
        return np.array([[2 / width, 0, 0, 1 / width - 1], [0, -2 / height, 0, 1 - 1 / height], [0] * 4, [0, 0, 0, 1]])
    if camera.kind != "PERSP":
        return np.full((4, 4), np.nan)
    to_view = np.zeros((4, 4))  # a direction is a point with w = 0: the last column does not count
    to_view[:3, :3] = _rotation(camera).T
    return camera.projection @ to_view


def _rotation(camera: Camera) -> np.ndarray:
    """Return the camera's axes as orthonormal columns: Blender ignores a camera's scale."""
    axes = camera.matrix_world[:3, :3]
    return axes / np.linalg.norm(axes, axis=0)
