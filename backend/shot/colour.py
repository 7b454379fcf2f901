"""Colour encodings: the sRGB transfer curve (IEC 61966-2-1), luminance and CIE Lab under D65."""

from __future__ import annotations

import numpy as np

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)  # of linear Rec. 709 primaries
RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]],
    np.float32,
)
WHITE = np.array([0.95047, 1.0, 1.08883], np.float32)  # D65


def srgb_to_linear(image: np.ndarray) -> np.ndarray:
    """Decode display-referred sRGB ``(..., 3)`` in [0, 1] to linear Rec. 709, float32."""
    image = np.asarray(image, np.float32)
    curve = ((np.maximum(image, 0) + np.float32(0.055)) / np.float32(1.055)) ** np.float32(2.4)
    return np.where(image <= 0.04045, image / np.float32(12.92), curve)


def linear_to_srgb(image: np.ndarray) -> np.ndarray:
    """Encode linear Rec. 709 ``(..., 3)`` to display-referred sRGB, float32; values above 1 stay above 1."""
    image = np.asarray(image, np.float32)
    curve = np.float32(1.055) * np.maximum(image, 0) ** np.float32(1 / 2.4) - np.float32(0.055)
    return np.where(image <= 0.0031308, image * np.float32(12.92), curve)


def luminance(image: np.ndarray) -> np.ndarray:
    """Compute the relative luminance ``(...)`` in [0, 1] of display-referred sRGB ``(..., 3)`` in [0, 1]."""
    return srgb_to_linear(image) @ LUMINANCE


def srgb_to_lab(image: np.ndarray) -> np.ndarray:
    """Compute CIE Lab (L in [0, 100]) ``(..., 3)`` of display-referred sRGB ``(..., 3)`` in [0, 1]."""
    ratio = srgb_to_linear(image) @ RGB_TO_XYZ.T / WHITE
    f = np.where(ratio > 0.008856452, np.cbrt(ratio), ratio * np.float32(7.787037) + np.float32(16 / 116))
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1).astype(np.float32)


def lab_to_srgb(lab: np.ndarray) -> np.ndarray:
    """Compute display-referred sRGB ``(..., 3)``, clipped to [0, 1], of CIE Lab ``(..., 3)``."""
    lightness, a, b = np.moveaxis(np.asarray(lab, np.float32), -1, 0)
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], -1)
    ratio = np.where(f > 0.20689655, f**3, (f - np.float32(16 / 116)) / np.float32(7.787037))
    return np.clip(linear_to_srgb((ratio * WHITE) @ np.linalg.inv(RGB_TO_XYZ).T), 0, 1).astype(np.float32)
