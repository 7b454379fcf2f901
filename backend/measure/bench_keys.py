"""Rows of the bench about key frames that are made one after the other: what one costs, and how far they drift.

Ten key frames are spread over a shot, each held to those before it. The last is compared with the first along exact
motion: as a run leaves them, and, without a goal, where no strokes are carried and the network alone holds them. The
goals are what ten passes through an autoencoder lose under the paper's fidelity-oriented encoding (Rerender A Video,
section 4.2.1; measured on natural images).
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from ..bridge.settings import from_keywords
from ..diffusion.model import load_model
from ..methods.rerender import KeyPainter
from ..motion.warp import warp
from ..patches.statistics import fine_detail
from ..shot.shot import Shot
from .metrics import comparable, evenly
from .rows import Rows, row

KEYS = 10
DRIFT, COLOUR = 2.7e-3, 6.1e-3  # mean square, and the mean of a channel, of values in [0, 1]
CHAINS: dict[str, dict[str, Any]] = {
    "preset exact": {}, "preset exact, strokes not carried": {"finish": False}, "preset paper": {"preset": "paper"},
}  # fmt: skip
PRESETS, STRENGTHS = ("exact", "paper", "released"), (1.0, 0.6)
EVALUATIONS = 1.6


def chained_keys(shot: Shot, style: Mapping[str, Any]) -> Rows:
    """Make ``KEYS`` key frames in the ``style``; return the drift of the last, its colours' and its detail.

    Colours that follow those of the source in full or in part, as the light changes, do not drift.
    """
    rows: Rows = {}
    for label, given in CHAINS.items():
        painter, held = _painter(shot, {**style, **given}), not given
        frames = evenly(shot.frames, KEYS)
        for frame in frames:
            list(painter.translate(frame))
        first, last = frames[0], frames[-1]
        flow, seen = comparable(shot, last, first)
        change = (painter.finished[last] - warp(painter.finished[first], flow))[seen]
        light = (shot.beauty(last) - warp(shot.beauty(first), flow))[seen].mean(0)
        tint = change.mean(0) - np.clip(change.mean(0), np.minimum(light, 0), np.maximum(light, 0))
        detail = [fine_detail(painter.finished[frame], np.ones_like(seen)) for frame in (last, first)]
        name = f"rerender, {label}, {KEYS} chained keys"
        rows[f"{name} | drift"] = row(np.square(change).mean(), at_most=DRIFT if held else None)
        rows[f"{name} | colour"] = row(np.abs(tint).max(), at_most=COLOUR if held else None)
        rows[f"{name} | detail"] = row(detail[0] / detail[1])
    return rows


def key_evaluations(shot: Shot, style: Mapping[str, Any]) -> Rows:
    """Return how many evaluations a key frame takes that is held to another one, relative to one that is not."""
    rows: Rows = {}
    for preset, strength in product(PRESETS, STRENGTHS):
        painter = _painter(shot, {**style, "preset": preset, "strength": strength})
        first, second = (sum(1 for _ in painter.translate(frame)) for frame in (shot.frames[0], shot.frames[-1]))
        name = f"rerender, preset {preset}, strength {strength:g} | a key"
        rows[name] = row(second / first, "x", at_most=EVALUATIONS)
    return rows


def _painter(shot: Shot, given: Mapping[str, Any]) -> KeyPainter:
    settings = from_keywords("rerender", **given)
    return KeyPainter(shot, shot.motion, load_model(settings.rerender), settings)
