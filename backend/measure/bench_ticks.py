"""How live Blender's window stays while a job runs: the main thread's work at each tick."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ..bridge.errors import UserError
from .rows import Rows, row

OFTEN, EVER = 16.0, 50.0  # milliseconds: a frame of the screen, and the least that is felt


def tick_times(path: Path) -> Rows:
    """Return the rows of the ticks in ``path``, a JSON list of milliseconds (tools/bench_ticks.py writes it)."""
    try:
        ticks = np.array(json.loads(path.read_text(encoding="utf-8")), float)
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} holds no times of ticks ({error}). Measure them again.") from error
    if ticks.ndim != 1 or not len(ticks):
        raise UserError(f"{path} holds no times of ticks. Measure them again.")
    return {
        "work per tick, median": row(float(np.median(ticks)), "ms"),
        "work per tick, 99th percentile": row(float(np.percentile(ticks, 99)), "ms", at_most=OFTEN),
        "work per tick, longest": row(float(ticks.max()), "ms", at_most=EVER),
    }
