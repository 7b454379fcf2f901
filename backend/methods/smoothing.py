"""What makes the frames of a take, or their control images, agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from ..bridge.settings.deflicker import BlendSettings
from ..motion.correspondence import Motion
from ..motion.estimate import EstimatedMotion
from ..motion.warp import warp
from ..patches.blending import Remap, WindowBlend
from ..patches.patchmatch import GUIDES, Exemplar, matched, vote
from ..shot.controls import ControlMaps
from ..shot.shot import Shot
from .strokes import Sights, Strokes

GUIDE_WEIGHT = 100.0  # of the source's colours beside the style's coherence, when patches are matched: the paper's
DRIFTED = 12  # frames, beyond which estimated motion is not followed
CONTROL_WINDOW = 2  # frames before and after, over which control images are steadied

Run = Callable[[int], np.ndarray]
"""A picture ``(H, W, 3)`` float32 sRGB in [0, 1] for every frame; asked for any frame, any number of times."""


class Smoother(Protocol):
    """Frames of one take that are made to agree."""

    def look(self) -> Iterator[int]:
        """Look at all frames once, yielding each; before the first is painted."""

    def paint(self, frame: int) -> np.ndarray:
        """Return ``frame`` as it agrees with the others, ``(H, W, 3)`` float32 in [0, 1]."""


def smoother(run: Run, frames: Sequence[int], sights: Sights, chosen: BlendSettings, seed: int) -> Smoother:
    """Return what makes the pictures ``run`` of the ``frames`` of a take agree, as the settings say.

    ``sights`` tell how the shot's frames see each other; ``seed`` is for the search of patches.
    """
    motion, source = sights.surfaces.motion, sights.source
    if chosen.blend == "strokes":
        # What is estimated over many frames has drifted: a stroke would slide off what it was painted on.
        most = DRIFTED if isinstance(motion, EstimatedMotion) else chosen.window
        return Strokes(run, frames, sights, min(chosen.window, most))
    patches = chosen.blend == "patches"
    remap = patch_remap(run, source or run, frames, seed) if patches else motion_remap(motion, frames)
    return Mean(run, frames, remap, chosen.window)


class Mean:
    """DiffSynth's patch blending of a take (arXiv 2308.03463): every frame the mean of its window, remapped to it."""

    def __init__(self, run: Run, frames: Sequence[int], remap: Remap, window: int) -> None:
        self._place = {frame: k for k, frame in enumerate(frames)}
        self._blend = WindowBlend(lambda k: run(frames[k]), len(frames), remap, window)

    def look(self) -> Iterator[int]:
        """Nothing is to be looked at."""
        return iter(())

    def paint(self, frame: int) -> np.ndarray:
        """Return the mean of the window of ``frame``."""
        return np.clip(self._blend(self._place[frame]), 0, 1)


def motion_remap(motion: Motion, frames: Sequence[int]) -> Remap:
    """Return the remap along ``motion``: one gather, and nothing where it does not hold."""

    def remap(sums: np.ndarray, source: int, target: int) -> np.ndarray:
        found = motion.pair(frames[target], frames[source])
        return warp(sums, found.flow) * found.valid[..., None]

    return remap


def patch_remap(run: Run, source: Run, frames: Sequence[int], seed: int) -> Remap:
    """Return the paper's remap: patches matched by the ``source`` frames and the coherence of the style, and votes.

    Everything is found somewhere, right or wrong: patches know nothing of what is hidden.
    """

    def exemplar(frame: int) -> Exemplar:
        colour = source(frame)
        guides = np.zeros((*colour.shape[:2], GUIDES), np.float32)
        guides[..., :3] = colour * np.sqrt(GUIDE_WEIGHT / 3)
        return Exemplar(guides, np.zeros(colour.shape[:2], np.int32), run(frame))

    def remap(sums: np.ndarray, origin: int, target: int) -> np.ndarray:
        return vote(sums, matched(exemplar(frames[target]), exemplar(frames[origin]), seed=seed))

    return remap


class SteadyControls(ControlMaps):
    """Control images of which those that are drawn from pictures are steady: the mean of a few frames along motion.

    Edges found in pictures come and go. (The paper smooths what its annotators find by Savitzky and Golay's filter.)
    """

    def __init__(self, shot: Shot, kinds: Sequence[str], motion: Motion) -> None:
        super().__init__(shot, kinds)
        self._frames, self._remap = shot.frames, motion_remap(motion, shot.frames)

    def image(self, kind: str, frame: int) -> np.ndarray:
        """Return the control image of one of KINDS for ``frame``, see :class:`ControlMaps`."""
        draw = super().image
        if kind == "tile" or (kind != "edges" and self._shot.has_data):
            return draw(kind, frame)
        blend = WindowBlend(lambda k: draw(kind, self._frames[k]), len(self._frames), self._remap, CONTROL_WINDOW)
        return np.clip(blend(self._frames.index(frame)), 0, 1)
