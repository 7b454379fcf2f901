"""Synchronized Multi-Frame Diffusion as it should be run, and with parts of it left out or changed."""

from __future__ import annotations

from typing import Any

AVERAGED = {"blending": "none", "semantic_reconstruction": 1.0, "final_fusion": False}

VARIANTS: dict[str, dict[str, Any]] = {
    "synchronized": {},
    "synchronized, pixels": {"fusion": "pixels"},
    "synchronized, estimated flow": {"motion": "estimated"},
    "synchronized, no final fusion": {"final_fusion": False},
    "synchronized, averaging only": AVERAGED,
    "synchronized, as published": {"preset": "paper"},
}
