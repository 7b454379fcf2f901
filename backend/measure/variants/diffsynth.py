"""DiffSynth as it should be run, and with parts of it left out or changed."""

from __future__ import annotations

from typing import Any

VARIANTS: dict[str, dict[str, Any]] = {
    "diffsynth": {},
    "diffsynth, frames not looking at each other": {"attention": False},
    "diffsynth, patch matching": {"blend": "patches"},
    "diffsynth, estimated flow": {"motion": "estimated"},
    "diffsynth, mean": {"blend": "mean"},
    "diffsynth, deflickered at the end only": {"deflicker_every": 0},
    "diffsynth, deflickered on the way only": {"finish": False},
    "diffsynth, deflicker off": {"deflicker_every": 0, "finish": False},
}
