"""Sampling an image along a flow."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from .geometry import pixel_grid

Interpolation = Literal["cubic", "linear", "nearest", "lanczos"]
INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4,
}
OCTAVES = 3  # of shrinking that are filtered
REMAINDERS = ((), (1,), (1, 1), (3,))


def warp(image: np.ndarray, flow: np.ndarray, interpolation: Interpolation = "cubic") -> np.ndarray:
    """Gather ``image`` at p + flow(p), the border replicated.

    ``image`` is ``(H, W)`` or ``(H, W, C)`` of any real type (masks too), ``flow`` ``(h, w, 2)`` finite, in pixels.
    Returns ``(h, w)`` or ``(h, w, C)`` float32. Whole-pixel flows copy bit for bit. Cubic is OpenCV's (a = -0.75);
    "lanczos" (8 x 8 taps) keeps more of what is fine. Both may overshoot the range of the input.
    """
    x, y = np.moveaxis(pixel_grid((flow.shape[1], flow.shape[0])) + flow.astype(np.float32, copy=False), -1, 0)
    x, y = np.ascontiguousarray(x), np.ascontiguousarray(y)
    source = np.asarray(image, np.float32).reshape(*image.shape[:2], -1)
    warped = np.empty((*flow.shape[:2], source.shape[2]), np.float32)
    first = 0
    # OpenCV samples 1, 3 and 4 channels exactly, 2 on a grid of 1/32 px, more than 4 not at all by cubic.
    for count in (4,) * (source.shape[2] // 4) + REMAINDERS[source.shape[2] % 4]:
        part = np.ascontiguousarray(source[..., first : first + count])
        sampled = cv2.remap(part, x, y, INTERPOLATION[interpolation], borderMode=cv2.BORDER_REPLICATE)
        warped[..., first : first + count] = np.asarray(sampled).reshape(*flow.shape[:2], -1)
        first += count
    return warped.reshape(*flow.shape[:2], *image.shape[2:])


def gather(image: np.ndarray, flow: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Carry ``image`` ``(H, W, 3)`` along ``flow``, blurred first where ``scale`` ``(H, W)`` of its pixels fall on one.

    Bicubic sampling alone would alias where a surface is now smaller than when it was painted.
    """
    result = warp(image, flow)
    octaves = np.clip(np.log2(np.maximum(scale, 1)), 0, OCTAVES)
    for octave in range(1, int(np.ceil(octaves.max() - 0.1)) + 1):
        blurred = warp(cv2.GaussianBlur(image, (0, 0), 0.5 * 2**octave), flow)
        result += np.clip(octaves - (octave - 1), 0, 1)[..., None] * (blurred - result)
    return np.clip(result, 0, 1)
