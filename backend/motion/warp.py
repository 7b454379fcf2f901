"""Sampling an image along a flow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import cv2
import numpy as np

from .geometry import pixel_grid

Interpolation = Literal["cubic", "linear", "nearest", "lanczos"]
INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4,
}
OCTAVES = 3  # of shrinking that are filtered
LEAST = 0.1  # of an octave: less aliases nothing that can be seen
ROW = 1024  # positions
REMAINDERS = ((), (1,), (1, 1), (3,))


def warp(image: np.ndarray, flow: np.ndarray, interpolation: Interpolation = "cubic") -> np.ndarray:
    """Gather ``image`` at p + flow(p), the border replicated.

    ``image`` is ``(H, W)`` or ``(H, W, C)`` of any real type (masks too), ``flow`` ``(h, w, 2)`` finite, in pixels.
    Returns ``(h, w)`` or ``(h, w, C)`` float32. Whole-pixel flows copy bit for bit. Cubic is OpenCV's (a = -0.75);
    "lanczos" (8 x 8 taps) keeps more of what is fine. Both may overshoot the range of the input.
    """
    position = pixel_grid((flow.shape[1], flow.shape[0])) + flow.astype(np.float32, copy=False)
    return _sampled(image, position, interpolation)


def _sampled(image: np.ndarray, position: np.ndarray, interpolation: Interpolation = "cubic") -> np.ndarray:
    """Sample ``image`` ``(H, W)`` or ``(H, W, C)`` at ``position`` ``(h, w, 2)`` float32, (x, y) in pixels."""
    source = np.asarray(image, np.float32).reshape(*image.shape[:2], -1)
    warped = np.empty((*position.shape[:2], source.shape[2]), np.float32)
    first = 0
    # OpenCV samples 1, 3 and 4 channels exactly, 2 on a grid of 1/32 px, more than 4 not at all by cubic.
    for count in (4,) * (source.shape[2] // 4) + REMAINDERS[source.shape[2] % 4]:
        part = np.ascontiguousarray(source[..., first : first + count])
        sampled = cv2.remap(part, position, None, INTERPOLATION[interpolation], borderMode=cv2.BORDER_REPLICATE)
        warped[..., first : first + count] = np.asarray(sampled).reshape(*position.shape[:2], -1)
        first += count
    return warped.reshape(*position.shape[:2], *image.shape[2:])


def octaves(image: np.ndarray) -> np.ndarray:
    """Return ``image`` ``(H, W, 3)`` blurred as it would alias 2, 4 and 8 times smaller, ``(OCTAVES, H, W, 3)``."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), 2.0**octave) for octave in range(OCTAVES)])


def gather(
    image: np.ndarray, flow: np.ndarray, scale: np.ndarray, blurred: Callable[[], np.ndarray] | None = None
) -> np.ndarray:
    """Carry ``image`` ``(H, W, 3)`` along ``flow``, blurred first where ``scale`` ``(H, W)`` of its pixels fall on one.

    Bicubic sampling alone would alias where a surface is now smaller than when it was painted. Those are few pixels,
    and only they are sampled again. ``blurred`` returns the :func:`octaves` of an image that is carried to many frames.
    """
    position = pixel_grid((flow.shape[1], flow.shape[0])) + flow.astype(np.float32, copy=False)
    result = _sampled(image, position).reshape(-1, 3)
    few = np.flatnonzero(scale > 2**LEAST)
    smaller = np.minimum(np.log2(scale.ravel()[few]), OCTAVES)
    for octave in range(1, int(np.ceil(smaller.max(initial=0))) + 1):
        few, smaller = few[smaller > octave - 1], smaller[smaller > octave - 1]
        places = position.reshape(-1, 2)[few]
        rows = np.resize(places, (-(-len(places) // ROW), ROW, 2))  # OpenCV's limit is 32767 in a row
        soft = cv2.GaussianBlur(image, (0, 0), 2.0 ** (octave - 1)) if blurred is None else blurred()[octave - 1]
        share = np.minimum(smaller - (octave - 1), 1)[:, None]
        result[few] += share * (_sampled(soft, rows).reshape(-1, 3)[: len(places)] - result[few])
    return np.clip(result, 0, 1).reshape(*flow.shape[:2], 3)
