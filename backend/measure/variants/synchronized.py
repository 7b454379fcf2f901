"""Synchronized Multi-Frame Diffusion as it should be run, and with parts of it left out or changed."""

from __future__ import annotations

from typing import Any

PLAIN = {"final_fusion": False, "keep_contrast": False, "detail_refinement": 1.0}  # one stage, over the whole run

VARIANTS: dict[str, dict[str, Any]] = {
    "synchronized": {},
    "synchronized, pixels": {"fusion": "pixels"},
    "synchronized, estimated flow": {"motion": "estimated"},
    "synchronized, no final fusion": {"final_fusion": False},
    "synchronized, averaging only": {**PLAIN, "blending": "none", "semantic_reconstruction": 1.0},
    "synchronized, alternation only": {**PLAIN, "semantic_reconstruction": 0.0},
    "synchronized, noise not carried": {"rule": "keep_noise"},
    "synchronized, contrast not kept": {"keep_contrast": False},
    "synchronized, as published": {"preset": "paper"},
}
