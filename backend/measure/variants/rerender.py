"""Rerender A Video as it should be, with the paper's own constraints, and with each part left out."""

from __future__ import annotations

from typing import Any

VARIANTS: dict[str, dict[str, Any]] = {
    "rerender": {},
    "rerender, preset paper": {"preset": "paper"},
    "rerender, preset released": {"preset": "released"},
    "rerender, without cross-frame attention": {"cross_attention": False},
    "rerender, without pixel fusion": {"pixel_fusion": False},
    "rerender, without fidelity encoding": {"fidelity": False},
    "rerender, without gradient blending": {"gradient_blend": False},
    "rerender, estimated motion": {"motion": "estimated"},
}
