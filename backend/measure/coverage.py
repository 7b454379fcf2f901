"""Which frames of a job's shot to paint: how much of the shot each choice of key frames shows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..bridge.errors import UserError
from ..bridge.files import write_json
from ..bridge.job import Job
from ..methods import Step
from ..motion.keyframes import KeyChoice, choose_keys, shown_by
from ..shot.shot import Shot

CANDIDATES = 24  # evenly spaced frames from which keys are chosen
ACROSS = 128  # samples across the picture on which coverage is counted


def suggest_keys(
    folder: Path, most: int, tell: Callable[[Step], None] = lambda _step: None
) -> KeyChoice:
    """Choose at most ``most`` frames to paint in the job in ``folder``; write ``keys.json`` into it and return them.

    The job's own keys come first and always count. ``tell`` hears of every step and may raise to stop. UserError where
    the shot is not captured, or no key is asked for.
    """
    if most < 1:
        raise UserError("No key frame is asked for. Ask for at least one.")
    job = Job.open(folder)
    shot = Shot.open(job.shot_folder)
    own = [frame for frame in job.key_frames() if frame in shot.frames]
    candidates = shot.frames[:: -(-len(shot.frames) // CANDIDATES)]
    shows = shown_by(shot.motion, max(1, shot.width // ACROSS))
    looked: set[tuple[int, int]] = set()
    total = len({*own, *candidates}) * len(shot.frames)

    def watched(frame: int, key: int) -> np.ndarray:
        if (frame, key) not in looked:
            looked.add((frame, key))
            tell(Step(len(looked), total, f"Looking for frame {key} in the others"))
        return shows(frame, key)

    choice = choose_keys(shot.frames, watched, most, own, candidates)
    plain = {"keys": list(choice.keys), "coverage": list(choice.coverage), "sentence": str(choice)}
    write_json(job.suggestion_path, plain)
    return choice
