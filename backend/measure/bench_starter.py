"""Rows of the bench about the starter model: how long it takes, and how like its painters it paints.

Only for a checkout: the painters that taught the model do not ship.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import cv2
import numpy as np

from ..bridge.job import Job
from ..shot.shot import Shot
from ..starter.samples import open_starter, sample
from ..starter.styles import STYLES, paint
from ..starter.vocabulary import CAPTIONS
from .metrics import evenly
from .rows import Rows, row

CONTENT = "a forest"
LESSONS = 2  # paintings of each style by its painter, by which it is known
FRAME_SECONDS = 25
BANDS = 4


def starter_model(job: Job, shot: Shot) -> Rows:  # noqa: ARG001 - all row functions are called alike
    """Paint a frame of a shot that the starter never saw in each of its styles, 12 steps each.

    *Likest*: how many of the paintings are, by the numbers of ``look`` in units of their spread within styles, likest
    to those of the painter that was asked for. It has no goal, since people tell styles by more (``docs/starter.png``).
    *Change by seed*: how far two seeds lie apart, of 255.
    """
    model = open_starter()
    height, width = (side // 16 * 16 for side in (shot.height, shot.width))
    source = np.ascontiguousarray(shot.beauty(evenly(shot.frames, 3)[1])[:height, :width])
    known = {style: [look(paint(style, source, seed)) for seed in range(LESSONS)] for style in STYLES}
    prompts = {style: CAPTIONS[style][0].format(CONTENT) for style in STYLES}
    started = time.perf_counter()
    painted = {style: sample(model, source, prompt, 0) for style, prompt in prompts.items()}
    seconds = (time.perf_counter() - started) / len(prompts)
    right = sum(nearest(look(picture), known) == style for style, picture in painted.items())
    other = sample(model, source, prompts["oil"], 1)
    return {
        f"starter, a 12-step frame of {width} x {height}": row(seconds, "s", at_most=FRAME_SECONDS),
        "starter, paintings likest to their own painter's": row(right, f"of {len(STYLES)}"),
        "starter, change by seed": row(255 * np.abs(painted["oil"] - other).mean(), "of 255"),
    }


def look(picture: np.ndarray) -> np.ndarray:
    """Describe how a ``picture`` ``(H, W, 3)`` in [0, 1] is painted, whatever it shows.

    Mean and deviation of CIE Lab; the energy of light and of colour in octave bands; its share along four directions.
    """
    lab = cv2.cvtColor(np.ascontiguousarray(picture, np.float32), cv2.COLOR_RGB2LAB)
    numbers = [*lab.mean((0, 1)), *lab.std((0, 1))]
    for _ in range(BANDS):
        smooth = cv2.GaussianBlur(lab, (0, 0), 1.4)
        numbers += list(4 * np.log(np.square(lab - smooth).mean((0, 1)) + 0.1))
        dx, dy = np.gradient(lab[..., 0], axis=(1, 0))
        tensor = np.array([(dx * dx - dy * dy).mean(), 2 * (dx * dy).mean()])
        numbers += list(20 * tensor / ((dx * dx + dy * dy).mean() + 0.1))
        lab = cv2.resize(smooth, (smooth.shape[1] // 2, smooth.shape[0] // 2), interpolation=cv2.INTER_AREA)
    return np.array(numbers)


def nearest(found: np.ndarray, known: Mapping[str, list[np.ndarray]]) -> str:
    """Return the style whose paintings, as ``look`` describes them, are most like ``found``."""
    spread = np.mean([np.std(looks, axis=0) for looks in known.values()], axis=0) + 2.0
    return min(known, key=lambda style: float(np.abs((found - np.mean(known[style], axis=0)) / spread).sum()))
