"""Colour encodings against values from their standards."""

from __future__ import annotations

import numpy as np

from backend.shot.colour import lab_to_srgb, linear_to_srgb, luminance, srgb_to_lab, srgb_to_linear


def test_srgb_curve() -> None:
    encoded = np.array([0, 0.04045, 0.5, 1], np.float32)
    np.testing.assert_allclose(srgb_to_linear(encoded), [0, 0.0031308, 0.2140411, 1], atol=1e-6)
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    np.testing.assert_allclose(linear_to_srgb(srgb_to_linear(levels)), levels, atol=1e-6)
    assert linear_to_srgb(np.float32(4.0)) > 1.5
    np.testing.assert_allclose(srgb_to_linear(np.float32(-0.1)), -0.1 / 12.92, rtol=1e-6)


def test_luminance() -> None:
    np.testing.assert_allclose(luminance(np.eye(3, dtype=np.float32)), [0.2126, 0.7152, 0.0722], atol=1e-6)


def test_lab() -> None:
    colours = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    primaries = [[53.2408, 80.0925, 67.2032], [87.7347, -86.1827, 83.1793], [32.2970, 79.1875, -107.8602]]
    known = [[100, 0, 0], [0, 0, 0], *primaries]
    np.testing.assert_allclose(srgb_to_lab(colours), known, atol=0.01)
    random = np.random.default_rng(0).random((40, 40, 3), np.float32)
    np.testing.assert_allclose(lab_to_srgb(srgb_to_lab(random)), random, atol=2e-5)
