"""Rows of the bench about deflickering: what a remap costs, how long a strip takes, and what is left of its detail."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from ..bridge.allocator import give_back
from ..bridge.files import write_file
from ..bridge.job import Job
from ..bridge.settings import from_keywords
from ..bridge.settings.deflicker import DeflickerSettings
from ..methods import FrameDone
from ..methods.ahead import ahead
from ..methods.deflicker import deflicker
from ..methods.smoothing import motion_remap, patch_remap, smoother
from ..methods.strokes import Sights
from ..methods.surfaces import Surfaces
from ..motion.correspondence import Motion
from ..motion.estimate import EstimatedMotion
from ..motion.warp import warp
from ..shot.pictures import encode_png
from ..shot.shot import Shot, frame_file
from .bench_diffusion import BASELINE, BASELINES, stylized
from .metrics import MeasuredShot
from .rows import Rows, cpu_seconds, row
from .stylizers import stylizers
from .synthetic import SyntheticShot
from .texture import Run
from .there_and_back import there_and_back
from .verdict import judge

LAG = 3  # frames between the two of which one is remapped to the other
LONG = 200  # frames, for which seconds are given
WARM = 4  # frames, on which nothing is measured
AMPLITUDE = 0.04  # of the planted change of brightness
NOISE = 0.02  # deviation of the planted noise
LAMP = 0.01  # by which a lamp is dimmed from frame to frame, to be switched on again after 40


def remap_cost(job: Job, shot: Shot) -> Rows:  # noqa: ARG001
    """Hold a remap along motion against one by patch matching, for the same two frames, in the same run."""
    frames = (shot.frames[0], shot.frames[min(LAG, len(shot.frames) - 1)])
    sums = np.dstack([shot.beauty(frames[0]), np.ones((shot.height, shot.width), np.float32)])
    along, matched = motion_remap(shot.motion, frames), patch_remap(shot.beauty, shot.beauty, frames, seed=0)
    found = cpu_seconds(lambda: along(sums, 0, 1))
    exact = min(cpu_seconds(lambda: along(sums, 0, 1)) for _ in range(5))
    patches = min(cpu_seconds(lambda: matched(sums, 0, 1)) for _ in range(2))  # the first one also compiles
    return {
        "remap by patches": row(1000 * patches, "CPU ms"),
        "remap along motion": row(1000 * exact, "CPU ms"),
        "remap along motion, which is found first": row(1000 * found, "CPU ms"),
        "remap by patches / along motion": row(patches / exact, "x", at_least=100),
    }


def strip_time(job: Job, shot: Shot) -> Rows:  # noqa: ARG001
    """Deflicker strips of ``LONG`` frames alone, from the disk to the disk: footage, and a rendered shot.

    Both are the shot there and back. Seconds are those of the clock, on the cores that the run got: beside other work
    it gets less of them than there are.
    """
    rows: Rows = {}
    _deflicker_on_disk(shot.folder, WARM)  # which compiles
    size = f"{shot.width} x {shot.height}"
    for kind, data in {"footage": False, "a rendered shot": True}.items():
        if data and not shot.has_data:
            continue
        with tempfile.TemporaryDirectory() as name:
            folder = there_and_back(shot, LONG, Path(name) / "long", data)
            give_back()  # as a worker does between two jobs
            started = time.perf_counter()
            busy = cpu_seconds(partial(_deflicker_on_disk, folder))
            spent = time.perf_counter() - started
        rows[f"{LONG} frames of {kind}, {size}"] = row(spent, "s", at_most=30)
        rows[f"{LONG} frames of {kind}, {size}, processor time"] = row(busy, "CPU s")
        rows[f"{LONG} frames of {kind}, {size}, cores kept busy"] = row(busy / spent, f"of {os.cpu_count()}")
    return rows


def planted_flicker(job: Job, shot: Shot) -> Rows:  # noqa: ARG001
    """Plant a flicker and a dimming lamp in the shot's frames, taken as footage; see what is left of both.

    Brightness by ``AMPLITUDE`` and noise of deviation ``NOISE`` in each frame; the flicker is what a frame's mean
    differs from the clean one's, the change is measured along the true motion, beyond the clean frames' own.
    """
    clean = lru_cache(None)(lambda frame: shot.beauty(frame) * np.float32(1 - LAMP * ((frame - shot.frames[0]) % 40)))
    planted = lru_cache(None)(lambda frame: _planted(clean(frame), frame))
    motion = EstimatedMotion(shot.frames, planted, frozenset(shot.info.cuts))
    made = dict(zip(shot.frames, _made(planted, None, shot, motion), strict=True))
    flicker = [np.std([run(f).mean() / clean(f).mean() for f in shot.frames]) for run in (planted, made.__getitem__)]
    change = [_change(shot, run) for run in (clean, planted, made.__getitem__)]
    return {
        "planted in footage, brightness left": row(flicker[1] / flicker[0], at_most=0.5),
        "planted in footage, change left": row((change[2] - change[0]) / (change[1] - change[0]), at_most=0.5),
    }


def deflickered_alone() -> Rows:
    """Deflicker frames that were stylized one by one (independent texture) on the synthetic shot, and weigh them."""
    shot = SyntheticShot((256, 144))
    run = stylizers(shot)["independent"]
    made = dict(zip(shot.frames, _made(run, shot.beauty, shot, shot.motion), strict=True))
    return _weighed("synthetic shot", shot, made.__getitem__, run)


def deflickered_baseline(folder: Path) -> Rows:
    """Deflicker what the frame-by-frame method makes of every shot in ``folder`` (``NAME/shot``), and weigh it."""
    rows: Rows = {}
    for path in sorted(folder.glob("*/shot")):
        shot = Shot.open(path)
        run = stylized(shot, "framewise", BASELINES[BASELINE]).run
        made = dict(zip(shot.frames, _made(run, shot.beauty, shot, shot.motion), strict=True))
        rows |= _weighed(path.parent.name, shot, made.__getitem__, run)
    return rows


def _weighed(name: str, shot: MeasuredShot, made: Run, run: Run) -> Rows:
    verdict = judge(shot, {name: made}, run)[name]
    return {
        f"{name}, one by one and deflickered, R 1": row(verdict.ratio["1"], at_most=0.5),
        f"{name}, one by one and deflickered, R 8": row(verdict.ratio["8"], at_most=0.5),
        f"{name}, one by one and deflickered, detail": row(verdict.detail, at_least=0.85),
        f"{name}, one by one and deflickered, C": row(verdict.consistency),
    }


def _deflicker_on_disk(folder: Path, most: int | None = None) -> None:
    """Deflicker the shot in ``folder``, or its first ``most`` frames, and write them elsewhere, as a job does."""
    shot = Shot.open(folder)
    shot = shot.only(shot.frames[:most])
    with tempfile.TemporaryDirectory() as target:
        for step in deflicker(shot, None, from_keywords("deflicker"), shot.frames, {}):
            if isinstance(step, FrameDone):
                write_file(Path(target) / frame_file(step.frame, "png"), encode_png(step.image))


def _made(run: Run, source: Run | None, shot: Shot | SyntheticShot, motion: Motion) -> Iterator[np.ndarray]:
    """Yield the frames of a shot without cuts, deflickered as the settings' defaults say."""
    sights = Sights(Surfaces(shot, motion), source)  # type: ignore[arg-type]
    smooth = smoother(run, shot.frames, sights, DeflickerSettings(), seed=0)
    for _ in smooth.look():
        pass
    yield from ahead(smooth.paint, shot.frames)


def _planted(image: np.ndarray, frame: int) -> np.ndarray:
    rng = np.random.default_rng(frame)
    brightness = 1 + AMPLITUDE * rng.choice([-1, 1])
    return np.clip(image * brightness + NOISE * rng.standard_normal(image.shape), 0, 1).astype(np.float32)


def _change(shot: Shot, run: Callable[[int], np.ndarray]) -> float:
    """Return the mean change of a run from frame to frame along the true motion."""
    errors = []
    for after, before in zip(shot.frames[1:], shot.frames, strict=False):
        found = shot.motion.pair(after, before)
        errors.append(np.abs(run(after) - warp(run(before), found.flow))[found.strict].mean())
    return float(np.mean(errors))
