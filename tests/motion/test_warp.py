"""Warping: exact where it can be."""

from __future__ import annotations

import numpy as np
import pytest

from backend.motion.geometry import pixel_grid
from backend.motion.warp import warp

KINDS = ("nearest", "linear", "cubic")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).random((33, 47, 3), np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_identity_is_exact_to_the_bit(image: np.ndarray, kind: str) -> None:
    np.testing.assert_array_equal(warp(image, np.zeros((33, 47, 2), np.float32), kind), image)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_pixels_are_exact_and_point_the_right_way(image: np.ndarray, kind: str) -> None:
    flow = np.full((33, 47, 2), (5, -3), np.float32)
    warped = warp(image, flow, kind)
    np.testing.assert_array_equal(warped[8:28, 2:37], image[5:25, 7:42])


@pytest.mark.parametrize("channels", [None, 1, 2, 4, 5, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_any_number_of_channels(channels: int | None, kind: str) -> None:
    values = np.random.default_rng(1).random((9, 11, channels or 1), np.float32)
    flow = np.random.default_rng(2).uniform(-2, 2, (9, 11, 2)).astype(np.float32)
    warped = warp(values if channels else values[..., 0], flow, kind)
    assert warped.dtype == np.float32 and warped.shape == ((9, 11, channels) if channels else (9, 11))
    first = warp(np.ascontiguousarray(values[..., 0]), flow, kind)
    np.testing.assert_allclose(warped[..., 0] if channels else warped, first, atol=1e-6)


def test_linear_samples_a_plane_exactly() -> None:
    grid = pixel_grid((40, 30))
    flow = np.random.default_rng(3).uniform(-4, 4, grid.shape).astype(np.float32)
    inner = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(warp(grid, flow, "linear")[inner], (grid + flow)[inner], atol=1e-5)


def test_border_is_replicated_and_masks_become_numbers() -> None:
    mask = np.zeros((4, 5), bool)
    mask[:, -1] = True
    warped = warp(mask, np.full((4, 5, 2), (100, 0), np.float32), "linear")
    np.testing.assert_array_equal(warped, np.ones((4, 5), np.float32))


def test_a_flow_of_another_size_crops(image: np.ndarray) -> None:
    np.testing.assert_array_equal(warp(image, np.full((5, 6, 2), 2, np.float32)), image[2:7, 2:8])
