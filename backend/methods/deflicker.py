"""Deflickering alone: the frames of any strip made to agree, wherever they come from, without a model.

Where the shot is the source that they were painted over, its light is followed and its motion is exact; where the
strip is all there is, motion is estimated from it, and light that changes steadily is told from flicker by time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..bridge.errors import UserError
from ..bridge.settings import Settings
from ..motion.cache import Cache
from ..motion.keyframes import takes
from ..shot.pictures import read_picture
from ..shot.shot import Shot, frame_file
from . import FrameDone, Step
from .ahead import ahead
from .motion import motion_of
from .smoothing import Run, smoother
from .strokes import Sights
from .surfaces import Surfaces

KEPT = 512 << 20  # bytes of pictures kept
SIGHTS = 32 << 20  # and of sights, of which each is used once


def deflicker(
    shot: Shot, model: Any, settings: Settings, wanted: Sequence[int], keys: Mapping[int, np.ndarray]
) -> Iterator[Step | FrameDone]:
    """Yield every ``wanted`` frame of ``shot``, or of the stylized frames that the settings name, without flicker.

    A frame depends on the frames of its take within the window, not on which are wanted. ``model`` and ``keys`` are not
    used. Raises UserError where a stylized frame is missing or of another size than the shot.
    """
    chosen = settings.deflicker
    run: Run = stylized(Path(chosen.stylized), shot) if chosen.stylized else shot.beauty
    surfaces = Surfaces(shot, motion_of(shot, chosen.motion))
    sights = Sights(surfaces, shot.beauty if chosen.stylized else None, SIGHTS)
    todo = [take for take in takes(shot.frames, shot.info.cuts) if set(take) & set(wanted)]
    done, total = 0, 2 * sum(map(len, todo))
    for take in todo:
        smooth = smoother(run, take, sights, chosen, settings.seed)
        for number, frame in enumerate(smooth.look(), done + 1):
            yield Step(number, total, f"looking at frame {frame}")
        done += len(take)
        painted = ahead(smooth.paint, [frame for frame in take if frame in wanted])
        for frame in take:
            if frame in wanted:
                yield FrameDone(frame, next(painted))
            done += 1
            yield Step(done, total, f"frame {frame}")


def stylized(folder: Path, shot: Shot) -> Run:
    """Return the stylized frames in ``folder``; UserError where one is missing, now, or of another size, when read."""
    missing = [frame for frame in shot.frames if not (folder / frame_file(frame, "png")).is_file()]
    if missing:
        name = frame_file(missing[0], "png")
        raise UserError(f"{folder} has no {name}. Choose a folder that has a stylized picture of every frame.")

    def read(frame: int) -> np.ndarray:
        picture, _ = read_picture(folder / frame_file(frame, "png"))
        if picture.shape != (shot.height, shot.width, 3):
            size = f"{picture.shape[1]} x {picture.shape[0]}"
            raise UserError(
                f"The stylized frame {frame} is {size} pixels, the shot {shot.width} x {shot.height}. Scale it."
            )
        return picture

    return Cache(KEPT, read).get
