"""Gradient-domain compositing: gradients that avoid seams, and the image that fits them best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np

ITERATIONS = 100  # of conjugate gradients, at most; some ten do, whatever the size of the picture
COARSEST = 8  # pixels of the shorter side at which going coarser ends
SWEEPS, LAST_SWEEPS = 2, 40  # of relaxation before and after going coarser, and where it ends
RELAXED = 0.2  # of the residual is corrected by a sweep: 0.8 of what Jacobi's would, whose diagonal is 4


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


def seamless(
    image: np.ndarray, gradient_x: np.ndarray, gradient_y: np.ndarray, inside: np.ndarray, tolerance: float = 1e-4
) -> np.ndarray:
    """Return ``image`` with the pixels ``inside`` ``(H, W)`` bool replaced by what fits the gradients there best.

    The u that minimises ``‖∇u − g‖²`` and equals the image outside (Pérez, Gangnet and Blake, "Poisson Image Editing",
    SIGGRAPH 2003, equations 3 and 4). A part of ``inside`` that nothing outside touches keeps its mean. Solved by
    conjugate gradients, each preconditioned by a multigrid cycle (McAdams, Sifakis and Teran, SCA 2010), until no
    residual is over ``tolerance`` times the largest curvature.
    Computed in float64 if the image is, else in float32.
    """
    start = image if image.dtype == np.float64 else image.astype(np.float32)
    wanted = _transposed_difference(gradient_x, axis=1) + _transposed_difference(gradient_y, axis=0)
    found, within = _curvature(start), inside[..., None].astype(start.dtype)
    goal = tolerance * max(np.abs(wanted).max(), np.abs(found).max())
    correction = _correction(within * (wanted.astype(start.dtype) - found), within, goal)
    for part in _untouched(inside):
        correction[part] -= correction[part].mean(0)
    return start + correction


def _correction(residual: np.ndarray, within: np.ndarray, goal: float) -> np.ndarray:
    """Return d, zero where ``within`` ``(H, W, 1)`` is, that meets ``DᵀD d = residual`` elsewhere to ``goal``."""
    levels = [within]
    while min(levels[-1].shape[:2]) > COARSEST:
        levels.append(_coarser(levels[-1]))
    tiny = np.finfo(residual.dtype).tiny
    solution, direction, before = np.zeros_like(residual), np.zeros_like(residual), np.inf
    for _ in range(ITERATIONS):
        if np.abs(residual).max() <= goal:
            break
        guess = _cycle(residual, levels)
        now = (residual * guess).sum((0, 1))
        direction = guess + now / before * direction
        product = within * _curvature(direction)
        length = now / np.maximum((direction * product).sum((0, 1)), tiny)
        solution += length * direction
        residual = residual - length * product
        before = np.maximum(now, tiny)
    return solution


def _cycle(residual: np.ndarray, levels: Sequence[np.ndarray]) -> np.ndarray:
    """Return about what ``_correction`` does: short waves relaxed, long ones looked for on pixels twice as wide.

    ``levels`` are what is inside, ``(h, w, 1)``, from these pixels to the widest. The result is linear in the residual
    and symmetric, as conjugate gradients need it: what goes to wider pixels is the transpose of what comes back.
    """
    within, *wider = levels

    def relaxed(found: np.ndarray, sweeps: int) -> np.ndarray:
        for _ in range(sweeps):
            found = found + RELAXED * within * (residual - _curvature(found))
        return found

    if not wider:
        return relaxed(RELAXED * residual, LAST_SWEEPS - 1)
    found = relaxed(RELAXED * residual, SWEEPS - 1)
    left = _gathered(within * (residual - _curvature(found)))
    found = found + within * _spread(_cycle(wider[0] * left, wider), residual.shape)
    return relaxed(found, SWEEPS)


def _untouched(inside: np.ndarray) -> list[np.ndarray]:
    """Return the connected parts of ``inside`` that no pixel outside is next to, as masks."""
    count, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    touched = np.unique(labels[cv2.dilate((~inside).astype(np.uint8), cross) > 0])
    return [labels == label for label in set(range(1, count)) - set(touched.tolist())]


def _coarser(within: np.ndarray) -> np.ndarray:
    """Return a mask ``(H, W, 1)`` on pixels twice as wide, a wide one being inside where all of its pixels are."""
    even = _even(within, "edge")
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 1).min((1, 3))


def _spread(image: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return ``image`` on pixels half as wide, interpolated, cut to ``shape``."""
    height, width, channels = image.shape
    planes = [cv2.resize(image[..., c], (2 * width, 2 * height)) for c in range(channels)]
    return np.stack(planes, axis=-1)[: shape[0], : shape[1]]


def _gathered(image: np.ndarray) -> np.ndarray:
    """Return ``image`` on pixels twice as wide, summed: the transpose of ``_spread``."""
    even, kernel = _even(image, "constant"), np.array([1, 3, 3, 1]) / 4
    summed = cv2.sepFilter2D(even, -1, kernel, kernel, anchor=(1, 1), borderType=cv2.BORDER_REPLICATE)
    return summed.reshape(even.shape)[::2, ::2]


def _even(image: np.ndarray, mode: Literal["constant", "edge"]) -> np.ndarray:
    """Return ``image`` with a row and a column more where it has an odd number of them: zeros, or the last again."""
    return np.pad(image, [(0, image.shape[0] % 2), (0, image.shape[1] % 2), (0, 0)], mode)


def _curvature(image: np.ndarray) -> np.ndarray:
    """DᵀD of an image ``(H, W, C)``: the negative Laplacian, borders free."""
    return -cv2.Laplacian(image, -1, borderType=cv2.BORDER_REPLICATE).reshape(image.shape)


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
