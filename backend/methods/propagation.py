"""Key frames of any origin carried to all frames between them (Rerender A Video, full video translation).

A frame gathers its surfaces from the key before and the key after it along the motion, one resampling each, where the
paper searches patches. What one of the two does not show comes from the other, what neither shows from further keys,
and only the rest is painted by patch synthesis. Both are blended by their distance in time; the contrast that averaging
takes, and the gradients, are restored from the better of the two, by the error of the source frames carried alike.

A frame depends on the keys around it and the shot, not on which frames are asked for before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from ..bridge.settings.propagation import PropagationSettings
from ..motion.cache import Cache
from ..motion.correspondence import Motion
from ..motion.warp import gather, warp
from ..patches.interpolation import chosen_later, interpolated
from ..shot.shot import Shot
from .filling import Filler, completions
from .surfaces import MIXED, Surfaces

PATCH = 5  # px, side of the patches of which what no key shows is made, and over which errors are averaged
BAND = 0.01  # of the width: how far strokes stray over outlines
FADE = 0.016  # of the width: over which a key fades out towards the border of what it shows
FLOOR = 0.02  # error, of values in [0, 1], below which the nearer key is the better one
UNSEEN = 1.0  # error of a surface that a key does not show
COMPLETIONS = 2  # frames between two keys that are completed first, at most
FURTHER = 2  # keys beyond the two around a frame that are asked for what those do not show


@dataclass(frozen=True)
class View:
    """What a painted frame shows of another: ``image`` ``(H, W, 3)``, right where ``seen`` ``(H, W)`` bool."""

    image: np.ndarray
    seen: np.ndarray


class Propagation:
    """The keys ``{frame: (H, W, 3) float32 sRGB}`` of a shot, carried along ``motion`` to all its frames."""

    def __init__(self, shot: Shot, motion: Motion, keys: Mapping[int, np.ndarray], chosen: PropagationSettings) -> None:
        self.shot, self.motion, self.keys, self.chosen = shot, motion, dict(sorted(keys.items())), chosen
        self.surfaces = Surfaces(shot, motion)
        self.filler = Filler(self.surfaces, self.keys, PATCH, BAND * shot.width, seed=0)
        self._seen: Cache[tuple[int, int], np.ndarray] = Cache(128 << 20, self._sees)
        self._intervals: Cache[tuple[int, ...], Interval] = Cache(0, lambda ends: Interval(self, ends))

    def frame(self, frame: int) -> np.ndarray:
        """Return ``frame`` in the style of the keys, ``(H, W, 3)`` float32 sRGB; a key itself bit for bit."""
        if frame in self.keys:
            return self.keys[frame]
        return self._intervals.get(self.around(frame)).paint(frame)

    def around(self, frame: int) -> tuple[int, ...]:
        """Return the last key before ``frame`` and the first after it; only one where there is no other."""
        before = [key for key in self.keys if key < frame][-1:]
        after = [key for key in self.keys if key > frame][:1]
        return (*before, *after)

    def view(self, painted: int, image: np.ndarray, frame: int) -> View:
        """Carry the ``image`` of a painted frame to ``frame``."""
        flow, seen = self.motion.pair(frame, painted).flow, self.sees(painted, frame)
        return View(gather(image, flow, np.sqrt(np.prod(self.surfaces.sampling(painted, frame), axis=0)) * seen), seen)

    def sees(self, painted: int, frame: int) -> np.ndarray:
        """Return where a painted frame shows ``frame``, ``(H, W)`` bool."""
        return self._seen.get((painted, frame))

    def _sees(self, pair: tuple[int, int]) -> np.ndarray:
        return self.surfaces.sees(*pair, BAND * self.shot.width if pair[0] in self.keys else MIXED)

    def error(self, key: int, frame: int) -> np.ndarray:
        """Return how wrong ``frame`` would be if ``key`` were its source frame carried there, ``(H, W)`` in [0, 1]."""
        then = warp(self.shot.beauty(key), self.motion.pair(frame, key).flow, "linear")
        difference = cv2.blur(np.abs(then - self.shot.beauty(frame)).mean(-1), (PATCH, PATCH))
        return np.where(self.sees(key, frame), difference, np.float32(UNSEEN))

    def outline_detail(self, key: int) -> float:
        """Return how much fine detail frames around a key may have at outlines."""
        return self.surfaces.outline_detail(self.keys[key], key)

    def carried(self, x: np.ndarray, frame: int, other: int) -> np.ndarray:
        """Carry ``x`` ``(H, W)``, known at frame ``other``, to ``frame``; 0 where its surface is not seen there."""
        found = self.motion.pair(frame, other)
        return warp(x, found.flow, "linear") * found.valid


class Interval:
    """The frames of a shot that have the same keys around them, ``ends``, one or two; 4 bytes a pixel are kept of each.

    What neither end shows is completed in a few of the frames first, for the others (see ``filling``).
    """

    def __init__(self, run: Propagation, ends: tuple[int, ...]) -> None:
        self._run, self._ends = run, ends
        self._frames = [frame for frame in run.shot.frames if frame not in run.keys and run.around(frame) == ends]
        self._later = dict(zip(self._frames, self._choice(), strict=True)) if len(ends) == 2 else {}
        self._completed: dict[int, np.ndarray] = {}
        missing = {frame: ~np.any([run.sees(end, frame) for end in ends], axis=0) for frame in self._frames}
        for frame in completions(missing, run.sees, COMPLETIONS):
            self._completed[frame] = self.paint(frame)

    def paint(self, frame: int) -> np.ndarray:
        """Return ``frame``, ``(H, W, 3)`` float32 sRGB in [0, 1]."""
        if frame in self._completed:
            return self._completed[frame]
        detail = np.interp(frame, self._ends, [self._run.outline_detail(end) for end in self._ends])
        return self._run.surfaces.outlined(self._joined(frame), frame, float(detail))

    def _joined(self, frame: int) -> np.ndarray:
        """Return ``frame`` as its ends and what fills their gaps make it, outlines still jagged."""
        views = [self._run.view(end, self._run.keys[end], frame) for end in self._ends]
        gap = ~np.any([view.seen for view in views], axis=0)
        if len(views) == 1:
            return self._filled(frame, views[0].image, gap)
        a, b = views
        images = [np.where(a.seen[..., None], a.image, b.image), np.where(b.seen[..., None], b.image, a.image)]
        later = self._later[frame]
        best = self._filled(frame, images[0] + later[..., None] * (images[1] - images[0]), gap)
        images = [np.where(gap[..., None], best, image) for image in images]
        fade, gradients = FADE * self._run.shot.width, self._run.chosen.gradient_blend
        return interpolated(images, [a.seen, b.seen], self._share(frame), later, fade, gradients)

    def _share(self, frame: int) -> float:
        """Return how much the later key counts at ``frame``, by time alone: linear, and the same in both directions."""
        return (frame - self._ends[0]) / (self._ends[1] - self._ends[0])

    def _choice(self) -> list[np.ndarray]:
        """Return which key is the better one in every frame, 0 to 1 ``(H, W)``."""
        run, frames = self._run, self._frames
        advantages = []
        for frame in frames:
            first, last = (run.error(end, frame) + np.float32(FLOOR) for end in self._ends)
            advantages.append(self._share(frame) * first - (1 - self._share(frame)) * last)
        return chosen_later(
            advantages,
            lambda k, x: run.carried(x, frames[k], frames[k - 1]),
            lambda k, x: run.carried(x, frames[k], frames[k + 1]),
        )

    def _filled(self, frame: int, image: np.ndarray, gap: np.ndarray) -> np.ndarray:
        """Return ``image`` with its ``gap`` taken from further keys, then from completed frames, then painted anew."""
        run = self._run

        def near(frames: Iterable[int]) -> list[int]:
            return sorted(frames, key=lambda other: (abs(other - frame), other))

        others = {key: run.keys[key] for key in near(set(run.keys) - set(self._ends))[:FURTHER]}
        image, gap = image.copy(), gap.copy()
        for other, painted in (others | {done: self._completed[done] for done in near(self._completed)}).items():
            if gap.any():
                view = run.view(other, painted, frame)
                image[gap & view.seen] = view.image[gap & view.seen]
                gap &= ~view.seen
        return run.filler.fill(frame, image, gap, {end: run.sees(end, frame) for end in self._ends})
