"""Rows of the bench about what a stylization costs."""

from __future__ import annotations

import cProfile
import pstats
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ..bridge.files import write_file
from ..bridge.job import Job
from ..methods import FrameDone
from ..methods.exemplar import exemplar
from ..motion.estimate import EstimatedMotion
from ..motion.exact import ExactMotion
from ..motion.warp import warp
from ..shot.pictures import encode_png, read_picture
from ..shot.shot import Shot
from .rows import Rows, row

# What an exemplar run does that is not synthesis. None of these calls another one of them on a rendered shot.
NOT_SYNTHESIS: dict[str, tuple[Callable, ...]] = {
    "motion": (ExactMotion.pair, EstimatedMotion.pair),
    "reading": (Shot.beauty, Shot.alpha, Shot.layer),
    "warping": (warp,),
    "writing": (encode_png, write_file),
}


def exemplar_cost(job: Job, shot: Shot) -> Rows:
    """Run the exemplar method over the whole shot once more, its frames written elsewhere, and see where the time goes.

    Nothing of the shot is in memory at the start. The shares are of the processor time in the functions that move,
    read, warp and write (``NOT_SYNTHESIS``, with all that they call); what is left is synthesis: blending keys,
    following light, filling by patches, smoothing outlines.
    """
    if job.settings.method != "exemplar" or not job.key_frames():
        return {}
    keys = {frame: read_picture(job.key_path(frame))[0] for frame in job.key_frames()}
    fresh = Shot.open(job.shot_folder)
    profile = cProfile.Profile(time.process_time)
    with tempfile.TemporaryDirectory() as folder:
        profile.enable()
        for step in exemplar(fresh, None, job.settings, fresh.frames, keys):
            if isinstance(step, FrameDone):
                write_file(Path(folder) / f"{step.frame}.png", encode_png(step.image, fresh.alpha(step.frame)))
        profile.disable()
    stats = pstats.Stats(profile)
    spent = {part: sum(_seconds_in(stats, one) for one in functions) for part, functions in NOT_SYNTHESIS.items()}
    total = stats.total_tt  # type: ignore[attr-defined]
    rows = {f"exemplar, share of {part}": row(time / total) for part, time in spent.items()}
    rows["exemplar, share that is not synthesis"] = row(sum(spent.values()) / total)
    rows["exemplar"] = row(total / len(shot.frames), "CPU s a frame")
    return rows


def _seconds_in(stats: pstats.Stats, function: Callable) -> float:
    """Return the time spent in ``function`` and all that it called."""
    code = function.__code__  # type: ignore[attr-defined]
    found = stats.stats.get((code.co_filename, code.co_firstlineno, code.co_name))  # type: ignore[attr-defined]
    return found[3] if found else 0.0
