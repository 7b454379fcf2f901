"""TokenFlow as it should be run, and with parts of it left out."""

from __future__ import annotations

from typing import Any

NEIGHBOURS: dict[str, Any] = {"correspondence": "features", "weighting": "logistic", "finish": False}

VARIANTS: dict[str, dict[str, Any]] = {
    "tokenflow": {},
    "tokenflow, nearest neighbours": NEIGHBOURS,
    "tokenflow, as published": {"preset": "paper"},
    "tokenflow, estimated flow": {"motion": "estimated"},
    "tokenflow, fixed keys": {"key_draw": "fixed"},
    "tokenflow, features alone": {"finish": False},
    "tokenflow, features alone, fixed keys": {"key_draw": "fixed", "finish": False},
    "tokenflow, features alone, estimated flow": {"motion": "estimated", "finish": False},
}
