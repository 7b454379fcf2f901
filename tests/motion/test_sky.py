"""The sky against what a camera does to directions, by formulas of its own."""

from __future__ import annotations

import numpy as np
import pytest

from backend.motion.geometry import Camera, pixel_grid
from backend.motion.kernels import push
from backend.motion.sky import sky_address, sky_matrix

SIZE = 96, 54


def camera(
    yaw: float = 0.0, focal: float = 1.5, shift: tuple[float, float] = (0, 0), kind: str = "PERSP", scale: float = 1.0
) -> Camera:
    """A camera at the origin that looks along -z, turned by ``yaw`` about y, with Blender's projection matrix."""
    c, s = np.cos(yaw), np.sin(yaw)
    world = np.array([[c, 0, s, 5], [0, 1, 0, -2], [-s, 0, c, 3], [0, 0, 0, 1]]) @ np.diag([scale, scale, scale, 1])
    aspect = SIZE[0] / SIZE[1]
    projection = np.array([
        [focal, 0, 2 * shift[0], 0], [0, focal * aspect, 2 * shift[1] * aspect, 0], [0, 0, -1.002, -0.2], [0, 0, -1, 0],
    ])  # fmt: skip
    return Camera("Camera", kind, world, projection)


def flow(i: Camera, j: Camera) -> np.ndarray:
    owner = np.zeros((SIZE[1], SIZE[0]), np.int32)
    return push(sky_address(i, SIZE), owner, sky_matrix(j, SIZE)[None])


def test_yaw_is_the_tangent_of_the_angle() -> None:
    found = flow(camera(), camera(yaw=0.1))
    x = (pixel_grid(SIZE)[..., 0] + 0.5) * 2 / SIZE[0] - 1
    angle = np.arctan(x / 1.5) + 0.1  # turning left by yaw moves the sky right
    np.testing.assert_allclose(found[..., 0], (1.5 * np.tan(angle) - x) * SIZE[0] / 2, atol=2e-4)
    y = (pixel_grid(SIZE)[..., 1] - 26.5) * np.cos(np.arctan(x / 1.5)) / np.cos(angle)
    np.testing.assert_allclose(found[..., 1], y - (pixel_grid(SIZE)[..., 1] - 26.5), atol=2e-4)


def test_lens_shift_and_translation() -> None:
    grid, middle = pixel_grid(SIZE), np.array([47.5, 26.5])
    np.testing.assert_allclose(flow(camera(), camera(focal=1.8)), (grid - middle) * (1.8 / 1.5 - 1), atol=1e-4)
    shifted = flow(camera(), camera(shift=(0.1, -0.05)))
    np.testing.assert_allclose(shifted, np.broadcast_to([-9.6, -4.8], grid.shape), atol=1e-4)
    moved = camera()
    moved.matrix_world[:3, 3] += 100
    np.testing.assert_allclose(flow(camera(), moved), 0, atol=1e-4)
    np.testing.assert_allclose(flow(camera(), camera(scale=3.0)), 0, atol=1e-4)


def test_there_and_back() -> None:
    i, j = camera(yaw=0.3, shift=(0.02, 0.1)), camera(yaw=0.1, focal=2.2)
    there = pixel_grid(SIZE) + flow(i, j)
    owner = np.zeros((SIZE[1], SIZE[0]), np.int32)
    again = push(sky_address(i, SIZE), owner, sky_matrix(i, SIZE)[None])
    np.testing.assert_allclose(again, 0, atol=1e-4)
    assert np.abs(there - pixel_grid(SIZE)).max() > 5


def test_behind_the_camera_is_unknown() -> None:
    assert np.isnan(flow(camera(), camera(yaw=np.pi))).all()


def test_orthographic_sky_is_fixed_to_the_screen() -> None:
    np.testing.assert_allclose(flow(camera(kind="ORTHO"), camera(yaw=0.4, kind="ORTHO")), 0, atol=1e-4)


@pytest.mark.parametrize("kind", ["PANO"])
def test_other_cameras_know_no_sky(kind: str) -> None:
    assert np.isnan(sky_address(camera(kind=kind), SIZE)).all() and np.isnan(sky_matrix(camera(kind=kind), SIZE)).all()
