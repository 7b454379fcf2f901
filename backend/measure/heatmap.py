"""Where a run changes that should not: one picture a frame, to be laid over the shot as a strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from ..bridge.files import write_file
from ..motion.warp import warp
from ..shot.pictures import encode_png
from .metrics import MeasuredShot, comparable
from .texture import Run

BRIGHTEST = 0.1  # difference, of 1, that is shown at the bright end of the scale
STEPS = (1, 8)  # frames back


def heat_maps(shot: MeasuredShot, run: Run) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each frame with its heat map, ``(H, W, 3)`` float32 sRGB.

    A pixel's heat is the largest change of its surface point since one and since eight rendered frames ago (until one
    frame later, in the first frame), black to yellow for 0 to ``BRIGHTEST``. Pixels that could not be compared (newly
    in view, at borders) show the source frame, dark and grey.
    """
    for place, frame in enumerate(shot.frames):
        others = [shot.frames[place - step] for step in STEPS if place >= step] or list(shot.frames[1:2])
        picture = run(frame)
        heat = np.full(picture.shape[:2], -1.0, np.float32)
        for other in others:
            flow, mask = comparable(shot, frame, other)
            change = np.abs(picture - warp(run(other), flow)).mean(-1)
            heat = np.where(mask, np.maximum(heat, change), heat)
        yield frame, _coloured(heat, shot.beauty(frame))


def write_heat_maps(shot: MeasuredShot, run: Run, folder: Path, written: Callable[[], None]) -> None:
    """Write the heat maps as ``000001.png`` ... into ``folder``, calling ``written`` after each.

    UserError where that cannot be done.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for frame, image in heat_maps(shot, run):
        write_file(folder / f"{frame:06d}.png", encode_png(image))
        written()


def _coloured(heat: np.ndarray, source: np.ndarray) -> np.ndarray:
    levels = np.rint(np.clip(heat / BRIGHTEST, 0, 1) * 255).astype(np.uint8)
    colour = cv2.applyColorMap(levels, cv2.COLORMAP_INFERNO)[..., ::-1].astype(np.float32) / 255
    grey = cv2.cvtColor(np.ascontiguousarray(source), cv2.COLOR_RGB2GRAY)[..., None] * np.float32(0.35)
    return np.where((heat >= 0)[..., None], colour, grey)
