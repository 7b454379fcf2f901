"""Rerender A Video as it should be, with the paper's own constraints, and with each part left out."""

from __future__ import annotations

from typing import Any

LOOSE: dict[str, Any] = {"finish": False}  # or what is left out before would hardly be seen

VARIANTS: dict[str, dict[str, Any]] = {
    "rerender": {},
    "rerender, preset paper": {"preset": "paper"},
    "rerender, preset released": {"preset": "released"},
    "rerender, estimated motion": {"motion": "estimated"},
    "rerender, without gradient blending": {"gradient_blend": False},
    "rerender, strokes not carried": LOOSE,
    "rerender, strokes not carried, without cross-frame attention": {**LOOSE, "cross_attention": False},
    "rerender, strokes not carried, without pixel fusion": {**LOOSE, "pixel_fusion": False},
    "rerender, strokes not carried, without fidelity encoding": {**LOOSE, "fidelity": False},
}
