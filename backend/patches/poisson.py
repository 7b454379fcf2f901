"""Gradient-domain compositing: gradients that avoid seams, and the image that fits them best."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np


def masked_gradients(images: Sequence[np.ndarray], weights: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weighted mean of the images' gradients, counting no gradient that crosses a weight's edge to zero.

    ``images`` are ``(H, W, C)``, ``weights`` ``(H, W)`` not negative, one for each image. Gradients are forward
    differences in units a pixel, ``(H, W, C)`` each, x right and y down, zero in the last column and row. An image
    counts between two pixels with the smaller of its two weights; where none counts the gradient is zero.
    """
    return _mean_difference(images, weights, axis=1), _mean_difference(images, weights, axis=0)


def screened(
    image: np.ndarray, gradient_x: np.ndarray, gradient_y: np.ndarray, weight: float | Sequence[float]
) -> np.ndarray:
    """Return the ``(H, W, C)`` u that minimises ``weight² ‖∇u − g‖² + ‖u − image‖²``, with free borders.

    Seams shorter than about ``weight`` pixels dissolve; what is longer keeps the image's own level. ``weight`` is one
    number or one a channel. The normal equations ``(1 + w² DᵀD) u = image + w² Dᵀg`` are diagonal under the DCT-II, so
    one pair of transforms solves them exactly (Bhat et al., "Fourier Analysis of the 2D Screened Poisson Equation for
    Gradient Domain Problems", ECCV 2008, section 3). Computed in float64 if the image is, else in float32.
    """
    dtype = np.float64 if image.dtype == np.float64 else np.float32
    height, width, channels = image.shape
    stiffness = np.broadcast_to(np.square(np.asarray(weight, dtype)), (channels,))
    eigenvalues = _eigenvalues(height, dtype)[:, None] + _eigenvalues(width, dtype)[None, :]
    divergence = _transposed_difference(gradient_x, axis=1) + _transposed_difference(gradient_y, axis=0)
    solution = np.empty(image.shape, dtype)
    for channel, k in enumerate(stiffness):
        right_side = np.ascontiguousarray(image[..., channel] + k * divergence[..., channel], dtype)
        solution[..., channel] = _dct(_dct(right_side) / (1 + k * eigenvalues), inverse=True)
    return solution


def _mean_difference(images: Sequence[np.ndarray], weights: Sequence[np.ndarray], axis: int) -> np.ndarray:
    total = np.zeros_like(images[0])
    count = np.zeros_like(weights[0])
    inner = (slice(None),) * axis + (slice(None, -1),)
    after = (slice(None),) * axis + (slice(1, None),)
    for image, weight in zip(images, weights, strict=True):
        both = np.minimum(weight[inner], weight[after])
        total[inner] += both[..., None] * (image[after] - image[inner])
        count[inner] += both
    return np.divide(total, count[..., None], out=total, where=count[..., None] > 0)


def _transposed_difference(gradient: np.ndarray, axis: int) -> np.ndarray:
    """Dᵀ of the forward difference D that has no row for the last pixel."""
    inner = (slice(None),) * axis + (slice(None, -1),)
    after = (slice(None),) * axis + (slice(1, None),)
    result = np.zeros_like(gradient)
    result[inner] -= gradient[inner]
    result[after] += gradient[inner]
    return result


def _eigenvalues(size: int, dtype: type) -> np.ndarray:
    """Eigenvalues of DᵀD along one axis: 2 − 2 cos(πk/n)."""
    return (2 - 2 * np.cos(np.pi * np.arange(size) / size)).astype(dtype)


def _dct(plane: np.ndarray, inverse: bool = False) -> np.ndarray:
    """Orthonormal DCT-II of a plane. OpenCV promises even sides only, so odd ones take the product of matrices."""
    if plane.shape[0] % 2 == 0 and plane.shape[1] % 2 == 0:
        return cv2.idct(plane) if inverse else cv2.dct(plane)
    rows, columns = (_cosines(size, plane.dtype) for size in plane.shape)
    return rows.T @ plane @ columns if inverse else rows @ plane @ columns.T


def _cosines(size: int, dtype: np.dtype) -> np.ndarray:
    """Return the orthonormal DCT-II as a matrix, one basis vector a row."""
    k, x = np.arange(size)[:, None], np.arange(size)[None, :]
    basis = np.sqrt(2 / size) * np.cos(np.pi * k * (x + 0.5) / size)
    basis[0] /= np.sqrt(2)
    return basis.astype(dtype)
