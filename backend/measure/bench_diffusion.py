"""Rows of the bench about the diffusion methods: how coherent each is beside the baseline, and what that costs.

Every method runs with the starter model on small captured shots (``tools/bench_shots.py``), with the prompt, seed,
steps and strength of the frame-by-frame run with fresh noise that all ratios are against. Cost is processor time and
network evaluations, of the whole method with all that it does beside the network.

Names of rows are "shot | run | number". A sheet of every run's frames is written beside each shot, to be looked at.
All of it takes about half an hour of one core; methods and shots can be chosen.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..bridge.files import write_file
from ..bridge.settings import from_keywords, groups, specs
from ..diffusion.model import load_model
from ..diffusion.protocol import Model
from ..methods import FrameDone
from ..methods.windows import windows
from ..motion.keyframes import takes
from ..shot.pictures import encode_png
from ..shot.shot import Shot
from .bench_keys import chained_keys, key_evaluations
from .contact_sheet import tiled
from .metrics import differences, evenly
from .rows import Rows, row
from .texture import Run
from .verdict import LIMITS, Verdict, judge

STYLE = {"prompt": "an oil painting of a forest", "steps": 12, "strength": 1.0, "guidance": 2.0, "control_scale": 1.0}
BASELINES = {f"framewise, {noise} noise": {"noise": noise} for noise in ("shared", "anchored", "fresh")}
BASELINE = "framewise, fresh noise"  # the last of them, when all is warm
METHODS = ("synchronized", "rerender", "tokenflow", "diffsynth")
ABLATED = "demo"  # the shot on which a method is also run with parts of it left out
LEAST_CONSISTENCY = 0.60
FLICKER = 5.0  # times the source's own change, that the baseline must flicker at least to be a fair one
COSTS = {
    "synchronized": 1.25, "rerender": 0.45, "tokenflow": 1.4, "tokenflow, nearest neighbours": 1.9, "diffsynth": 1.3,
    "diffsynth, frames not looking at each other": 1.3,
}
EVALUATIONS = {"rerender": 0.45}
JOIN = 1.2  # times as much may change where one window of synchronized diffusion meets the next as within one
# Runs with a part left out or changed, the runs that they are held against, and what must be no better than there.
LOSSES = {
    "synchronized, estimated flow": ("synchronized", "C"),
    "synchronized, averaging only": ("synchronized, alternation only", "detail"),
    "rerender, estimated motion": ("rerender", "C"),
    "tokenflow, features alone, estimated flow": ("tokenflow, features alone", "C"),
}
PICTURED = 4  # frames of each run on the sheet


@dataclass(frozen=True)
class Outcome:
    """A finished run: its frames, the processor time it took in seconds, and its network evaluations.

    ``baseline`` is what the baseline took about then, in seconds: machines are not always as fast.
    """

    frames: Mapping[int, np.ndarray]
    seconds: float
    evaluations: int
    baseline: float = 0.0

    def run(self, frame: int) -> np.ndarray:
        """Return a frame, as the measure asks for it."""
        return self.frames[frame]


class Counted:
    """A model that counts what it predicts, and is otherwise the model."""

    def __init__(self, model: Model) -> None:
        self._model, self.evaluations = model, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict(self, x: Any, *arguments: Any, **keywords: Any) -> Any:
        """Predict for the states ``x`` (R, C, h, w), which counts as R evaluations."""
        self.evaluations += len(x)
        return self._model.predict(x, *arguments, **keywords)


def diffusion_tables(folder: Path, only: Collection[str] = ()) -> Rows:
    """Run all methods on every shot in ``folder`` (``NAME/shot``); return their rows, write ``NAME/sheet.png``.

    ``only`` may name some of the methods, some of the shots, or both.
    """
    methods = [method for method in METHODS if method in only] or METHODS
    paths = {path.parent.name: path for path in sorted(folder.glob("*/shot"))}
    names = [name for name in paths if name in only] or list(paths)
    for method in methods if names else ():
        stylized(Shot.open(paths[names[0]]), method, {"steps": 1})  # what is compiled first is not counted
    rows: Rows = {}
    for name in names:
        shot = Shot.open(paths[name])
        rows |= {f"{name} | {label}": one for label, one in _shot_rows(shot, methods, name == ABLATED).items()}
    return rows


def _shot_rows(shot: Shot, methods: Collection[str], ablated: bool) -> Rows:
    """Return the rows of one shot, "run | number", if ``ablated`` also those of methods with parts left out."""
    outcomes = {label: stylized(shot, "framewise", settings) for label, settings in BASELINES.items()}
    before = outcomes[BASELINE].seconds
    outcomes = {label: replace(outcome, baseline=before) for label, outcome in outcomes.items()}
    for method in methods:
        every = list(variants(method).items())
        for label, given in every if ablated else every[:1]:
            outcome = stylized(shot, method, given)
            after = stylized(shot, "framewise", BASELINES[BASELINE]).seconds if label in COSTS else before
            outcomes[label], before = replace(outcome, baseline=(before + after) / 2), after
    picks = evenly(shot.frames, PICTURED)
    pictures = [shot.beauty, *(outcome.run for outcome in outcomes.values())]
    sheet = tiled([[picture(frame) for frame in picks] for picture in pictures])
    write_file(shot.folder.parent / "sheet.png", encode_png(sheet))
    rows = _rows(shot, outcomes)
    if ablated and "rerender" in methods:
        rows |= chained_keys(shot, STYLE) | key_evaluations(shot, STYLE)
    return rows


def variants(method: str) -> dict[str, dict[str, Any]]:
    """Return ``{label: settings}`` of a method: first as it should be run, then with parts of it left out."""
    return importlib.import_module(f".variants.{method}", __package__).VARIANTS


def stylized(shot: Shot, method: str, overrides: Mapping[str, Any]) -> Outcome:
    """Run ``method`` over the whole ``shot`` in the bench's style, ``overrides`` on top."""
    known = specs(groups()[method])
    style = {name: value for name, value in STYLE.items() if name in known}
    settings = from_keywords(method, **{**style, **overrides})
    model = Counted(load_model(settings.chosen))  # type: ignore[arg-type]
    function = getattr(importlib.import_module(f"..methods.{method}", __package__), method)
    started = time.process_time()
    steps = function(Shot.open(shot.folder), model, settings, shot.frames, {})
    frames = {step.frame: step.image for step in steps if isinstance(step, FrameDone)}
    return Outcome(frames, time.process_time() - started, model.evaluations)


def _rows(shot: Shot, outcomes: Mapping[str, Outcome]) -> Rows:
    """Weigh all runs of one shot against the baseline among them."""
    base = outcomes[BASELINE]
    runs: dict[str, Run] = {label: outcome.run for label, outcome in outcomes.items()}
    verdicts = judge(shot, runs, base.run)
    rows: Rows = {}
    for label, outcome in outcomes.items():
        found = _verdict_rows(verdicts[label], label in METHODS)
        found["time"] = row(outcome.seconds / outcome.baseline, "x", at_most=COSTS.get(label))
        found["evaluations"] = row(outcome.evaluations / base.evaluations, "x", at_most=EVALUATIONS.get(label))
        if label.startswith("synchronized"):
            found["join"] = row(join_ratio(shot, outcome.run), "x", at_most=JOIN if label == "synchronized" else None)
        rows |= {f"{label} | {name}": one for name, one in found.items()}
    change, source = verdicts[BASELINE].change["1"], verdicts[BASELINE].allowance["1"]
    if change is not None and source:
        rows[f"{BASELINE} | E1 of the source's"] = row(change.mean / source, "x", at_least=FLICKER)
    return rows | _losses(rows)


def _losses(rows: Rows) -> Rows:
    """Return how much worse runs are with a part left out, of those there are."""
    found: Rows = {}
    for label, (whole, number) in LOSSES.items():
        more, less = (rows.get(f"{each} | {number}") for each in (whole, label))
        if more is not None and less is not None and more.value is not None and less.value is not None:
            found[f"{label} | {number} lost"] = row(more.value - less.value, at_least=0)
    return found


def join_ratio(shot: Shot, run: Run) -> float | None:
    """Return how much a run changes from a window's frame to one of another, relative to neighbours of one window.

    Both along exact motion, the mean over all such neighbours. None for a shot of a single window.
    """
    size = from_keywords("synchronized").synchronized.window
    every = takes(shot.frames, shot.info.cuts)
    parts = [part for take in every for part in windows(take, size)]
    number = {frame: k for k, part in enumerate(parts) for frame in part.frames}
    sorted_out: dict[bool, list[tuple[int, int]]] = {True: [], False: []}
    for early, late in (pair for take in every for pair in pairwise(take)):
        sorted_out[number[early] != number[late]].append((late, early))
    joins, natural = (differences(shot, {"": run}, pairs)[""] if pairs else None for pairs in sorted_out.values())
    return joins.mean / max(natural.mean, 1e-6) if joins and natural else None


def _verdict_rows(verdict: Verdict, held: bool) -> Rows:
    rows = {
        "C": row(verdict.consistency, at_least=LEAST_CONSISTENCY if held else None),
        "admissible": row(verdict.admissible, at_least=1 if held else None),
    }
    for key, name in (("1", "1"), ("8", "8"), ("first-last", "far"), ("sigma", "sigma")):
        change = verdict.change[key]
        rows[f"E {name}"] = row(None if change is None else change.mean)
        rows[f"R {name}"] = row(verdict.ratio[key])
    for key in LIMITS:
        rows[key] = row(getattr(verdict, key))
    return rows
