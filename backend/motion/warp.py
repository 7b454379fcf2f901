"""Sampling an image along a flow."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from .geometry import pixel_grid

INTERPOLATION = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}


def warp(
    image: np.ndarray, flow: np.ndarray, interpolation: Literal["cubic", "linear", "nearest"] = "cubic"
) -> np.ndarray:
    """Gather ``image`` at p + flow(p), the border replicated.

    ``image`` is ``(H, W)`` or ``(H, W, C)`` of any real type (masks too), ``flow`` ``(h, w, 2)`` finite, in pixels.
    Returns ``(h, w)`` or ``(h, w, C)`` float32. Whole-pixel flows copy bit for bit. Cubic is OpenCV's (a = -0.75, on a
    grid of 1/32 px); it may overshoot the range of the input.
    """
    positions = pixel_grid((flow.shape[1], flow.shape[0])) + flow.astype(np.float32, copy=False)
    source = np.ascontiguousarray(image, np.float32)
    taps = INTERPOLATION[interpolation]
    warped = cv2.remap(source, positions, np.empty(0, np.float32), taps, borderMode=cv2.BORDER_REPLICATE)
    return warped.reshape(*flow.shape[:2], *image.shape[2:])
