"""TokenFlow as it should be run, and with parts of it left out."""

from __future__ import annotations

from typing import Any

PAPER: dict[str, Any] = {"correspondence": "features", "carry": 0.0}

VARIANTS: dict[str, dict[str, Any]] = {
    "tokenflow": {},
    "tokenflow, nearest neighbours": PAPER,
    "tokenflow, estimated flow": {"motion": "estimated"},
    "tokenflow, fixed keys": {"key_draw": "fixed"},
    "tokenflow, features alone": {"carry": 0.0},
}
