"""Frames made to agree by one frame's strokes for every surface, so that nothing is averaged and nothing blurs.

Regions that flicker in brightness or colour are first brought to the tone that the frames around them have. Then every
surface is gathered from the nearest of a few frames, spread over the take, along the motion and under the light of
the frame that is painted. What they do not show is taken from others between them, and at last from the frame itself.
Along the outlines of things every frame, cut out so or not, is made as smooth and as soft as those few are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import cv2
import numpy as np

from ..motion.cache import Cache
from ..motion.cells import at_cells
from ..motion.warp import gather, octaves, warp
from ..patches.statistics import blend, contrast_ratio, light_change, local_mean, relit
from ..patches.tone import CELL, cells, passed_on, steadied, tone_difference, with_tone
from .ahead import ahead
from .surfaces import MIXED, Surfaces

KEPT = 512 << 20  # bytes of pictures kept
REGION = 1 / 16  # of the picture's width: the finest flicker of tone that is taken out
SHADE = 1 / 128  # the finest light and shade that is followed
FADE = 1 / 40  # over which a frame fades out at the border of what it shows
BLIND = 8  # frames over which tone is steadied where no source tells flicker from light
SUDDEN = 0.2  # change of tone from one frame to the next, as a logarithm, from which it is light and not flicker
KNOWN = 0.3  # share of a region that must show in both of two frames, or their tones are compared with less weight
STRETCH = 0.35, 0.6  # a surface that was seen this much smaller is taken from elsewhere, or in part
RELIT = 0.5  # change of light, as a logarithm, at which strokes count e times less: in other light paint is other paint
EDGE = 0.3  # change of light from one pixel to those near at which strokes count e times less: a shadow has moved
DISAGREEMENT = 0.08  # difference of light and shade at which a frame counts e times less
LEVELS = 3  # of frames that surfaces are gathered from, each between those before
ENOUGH = 0.01  # of a frame, that may be left to the frame itself without asking others
THIRDS = np.full(3, 1 / 3, np.float32)
FAR = 1e6  # beyond any change of light
DETAIL = 4.0  # px, across which strokes are told from what they cover


@dataclass(frozen=True)
class _Step:
    """From a frame to a neighbour: the ``flow`` from there, its tone relative to the neighbour's, what is kept."""

    flow: np.ndarray
    difference: np.ndarray
    kept: np.ndarray

    def pass_on(self, sums: np.ndarray) -> np.ndarray:
        """Return the frame's running sums of tone ``(h, w, 9)`` as the neighbour sees them."""
        return passed_on(warp(sums, self.flow, "linear"), self.difference, self.kept)

    def reversed(self) -> _Step:
        """Return the step from the neighbour back to the frame, to within what a region moves in one frame."""
        return _Step(-self.flow, -self.difference, self.kept)


class Strokes:
    """The pictures ``run`` of a take's ``frames`` made to agree, by how they see each other.

    A surface keeps its strokes over ``window`` frames before and after the one that they are from.
    """

    def __init__(
        self, run: Callable[[int], np.ndarray], frames: Sequence[int], sights: Sights, window: int
    ) -> None:
        self._run, self._frames, self._sights = run, tuple(frames), sights
        self._source, self._motion = sights.source, sights.surfaces.motion
        reach = window if self._source else min(window, BLIND)
        self._fading = reach / (reach + 2)  # the exponential weights whose mean distance is that of a window's
        self._shifts: dict[int, np.ndarray] = {}
        self._steady: Cache[int, np.ndarray] = Cache(KEPT // 2, self._steadied)
        self._octaves: Cache[int, np.ndarray] = Cache(KEPT // 2, lambda frame: octaves(self._steady.get(frame)))
        self._window, self._place = window, {frame: k for k, frame in enumerate(self._frames)}
        self._references, *others = (references(self._frames, window, level) for level in range(LEVELS))
        self._others = [frame for level in others for frame in level]
        self._contrast, self._outline_detail = 1.0, 0.0

    def look(self) -> Iterator[int]:
        """Find out how every frame's tone is to be moved; from the last to the first, since that is painted next."""
        steps: list[_Step] = []
        backwards = list(pairwise(self._frames))[::-1]
        for (frame, _), step in zip(backwards, ahead(self._step, backwards), strict=True):
            steps.insert(0, step)
            yield frame
        shape = cells(self._run(self._frames[0])).shape[:2]
        before, after = [np.zeros((*shape, 9), np.float32)], [np.zeros((*shape, 9), np.float32)]
        for step in steps:
            before.append(step.reversed().pass_on(before[-1]))
        for step in reversed(steps):
            after.append(step.pass_on(after[-1]))
        shifts = map(steadied, before, reversed(after))
        self._shifts = dict(zip(self._frames, shifts, strict=True))
        surfaces = self._sights.surfaces
        details = [surfaces.outline_detail(self._steady.get(k), k) for k in self._references]
        self._outline_detail = float(np.mean(details))
        if self._source:
            self._contrast = float(np.mean([self._sights.contrast(self._steady.get(k), k) for k in self._references]))

    def _step(self, neighbours: tuple[int, int]) -> _Step:
        """Return how tone is passed back from a frame to the last one."""
        last, frame = neighbours
        found = self._motion.pair(last, frame)
        self._sights.surfaces.from_outline(last)  # while its data layer is at hand
        weight, region = found.strict.astype(np.float32), self._pixels(REGION)
        now = warp(self._run(frame), found.flow, "linear")
        difference, known = tone_difference(now, self._run(last), weight, region)
        kept = self._fading * np.minimum(known / KNOWN, 1)
        if self._source:
            now = warp(self._source(frame), found.flow, "linear")
            difference = difference - tone_difference(now, self._source(last), weight, region)[0]
        else:
            kept = kept * np.exp(-((difference.mean(-1) / SUDDEN) ** 4))
        grid = at_cells(found, CELL, known.shape)
        return _Step(grid.flow, difference, kept)

    def _steadied(self, frame: int) -> np.ndarray:
        return with_tone(self._run(frame), self._shifts[frame])

    def _pixels(self, share: float) -> float:
        return max(share * self._run(self._frames[0]).shape[1], 1.5)

    def paint(self, frame: int) -> np.ndarray:
        """Return ``frame`` ``(H, W, 3)`` float32 in [0, 1], gathered from the frames that have the strokes."""
        own = self._steady.get(frame)
        image = laid_over(own, (self._layer(shares, frame) for shares in self._choices(frame)))
        return np.clip(self._sights.surfaces.outlined(image, frame, self._outline_detail), 0, 1)

    def _layer(self, shares: dict[int, float], frame: int) -> tuple[np.ndarray, np.ndarray]:
        return together([self._view(reference, frame) for reference in shares], list(shares.values()))

    def _choices(self, frame: int) -> Iterator[dict[int, float]]:
        """Yield what ``frame`` is gathered from, with shares: the nearest two references, then what fills their gaps.

        That comes in an order that is the same for all frames, and fades out where the window ends.
        """
        yield nearest(self._references, frame)
        for other in self._others:
            distance = abs(self._place[frame] - self._place[other]) / (self._window + 1)
            if distance < 1:
                yield {other: min(1.0, 3 * (1 - distance))}

    def _view(self, reference: int, frame: int) -> View:
        """Return what ``frame`` shows with the strokes of ``reference``."""
        strokes = self._steady.get(reference)
        if reference == frame:
            return strokes, np.ones(strokes.shape[:2], np.float32)
        blurred = partial(self._octaves.get, reference)
        image, weight = self._sights.carried(strokes, reference, frame, self._contrast, blurred)
        if self._source:
            return image, weight
        now = self._steady.get(frame)
        difference, _ = tone_difference(image, now, weight, self._pixels(REGION))
        image = with_tone(image, -difference)
        miss = local_mean((image - now) @ THIRDS, self._pixels(SHADE), weight)
        return image, weight * np.exp(-((miss / DISAGREEMENT) ** 2))


@dataclass(frozen=True)
class Sight:
    """How a frame sees another, whatever is painted on it: ``(H, W)`` float32 each.

    ``weight`` how far what it shows is seen there, well and in about the same light; ``scale`` how much smaller it is
    here; ``light`` how much lighter, as a logarithm, where the source tells.
    """

    weight: np.ndarray
    scale: np.ndarray
    light: np.ndarray | None


class Sights(Cache[tuple[int, int], Sight]):
    """How the frames of a shot see each other, by (other, frame): kept, since frames are deflickered more than once.

    ``source`` are the frames that the pictures were painted over, None where they are all there is; ``kept`` are bytes,
    few where frames are deflickered once.
    """

    def __init__(self, surfaces: Surfaces, source: Callable[[int], np.ndarray] | None, kept: int = KEPT) -> None:
        super().__init__(kept, self._look)
        self.surfaces, self.source = surfaces, source

    def carried(
        self,
        painting: np.ndarray,
        other: int,
        frame: int,
        contrast: float,
        blurred: Callable[[], np.ndarray] | None = None,
    ) -> View:
        """Return what ``frame`` shows with the strokes of a ``painting`` ``(H, W, 3)`` of another.

        Light is followed to the power ``contrast``, where the source tells it; ``blurred`` is as in :func:`gather`.
        """
        sight = self.get((other, frame))
        image = gather(painting, self.surfaces.motion.pair(frame, other).flow, sight.scale, blurred)
        return (image if sight.light is None else relit(image, sight.light, contrast)), sight.weight

    def contrast(self, painting: np.ndarray, frame: int) -> float:
        """Return how much stronger light and shade are in a ``painting`` of ``frame`` than in the source."""
        if self.source is None:
            return 1.0
        return contrast_ratio(painting, self.source(frame), max(SHADE * self.surfaces.shot.width, 1.5))

    def _look(self, pair: tuple[int, int]) -> Sight:
        other, frame = pair
        flow, width = self.surfaces.motion.pair(frame, other).flow, self.surfaces.shot.width
        smaller, larger = self.surfaces.sampling(other, frame)
        seen, outline = self.surfaces.sees(other, frame, MIXED), self.surfaces.from_outline(frame)
        weight = faded_in(seen, smaller, outline, FADE * width)
        scale = (np.sqrt(smaller * larger) * (weight > 0)).astype(np.float32)
        if self.source is None:
            return Sight(weight, scale, None)
        now, then = self.source(frame), warp(self.source(other), flow)
        radius = max(SHADE * width, 1.5)
        light = light_change(now, then, weight, radius).astype(np.float32)
        poor = (light / RELIT) ** 2 + (spread(light, weight > 0, radius) / EDGE) ** 2
        return Sight(weight * np.exp(-poor), scale, light)


View = tuple[np.ndarray, np.ndarray]
"""What a frame shows with another's strokes ``(H, W, 3)``, and how far that holds ``(H, W)``, float32 in [0, 1]."""


def together(views: Sequence[View], shares: Sequence[float]) -> View:
    """Return views of one frame as one: where several hold, by their ``shares``, which sum to 1 at most."""
    weights = [np.float32(share) * weight for share, (_, weight) in zip(shares, views, strict=True)]
    if len(views) == 1:
        return views[0][0], weights[0]
    held = np.max([weight for _, weight in views], axis=0) * np.float32(min(1, sum(shares)))
    return blend([image for image, _ in views], weights, DETAIL), held


def laid_over(own: np.ndarray, views: Iterable[View]) -> np.ndarray:
    """Return the picture ``own`` ``(H, W, 3)`` with ``views`` laid over it, the first uppermost.

    Where several show through, they keep the contrast of their strokes, see :func:`~..patches.statistics.blend`.
    """
    images, shares, left = [], [], np.ones(own.shape[:2], np.float32)
    for view, weight in views:
        images.append(view)
        shares.append(left * weight)
        left = left * (1 - weight)
        if left.mean() < ENOUGH:
            break
    return blend([*images, own], [*shares, left], DETAIL)


def spread(values: np.ndarray, known: np.ndarray, radius: float) -> np.ndarray:
    """Return by how much ``values`` ``(H, W)`` float32 differ within twice the ``radius`` px, where they are ``known``.

    ``known`` is ``(H, W)`` bool. The result is smooth, and 0 where they are not.
    """
    around = np.ones((2 * round(2 * radius) + 1,) * 2, np.uint8)  # a square: fast, however large
    high = cv2.dilate(np.where(known, values, -FAR).astype(np.float32), around)
    low = cv2.erode(np.where(known, values, FAR).astype(np.float32), around)
    return cv2.GaussianBlur(np.where(known, high - low, 0).astype(np.float32), (0, 0), radius)


def references(frames: Sequence[int], window: int, level: int) -> tuple[int, ...]:
    """Return the frames of a level that strokes are taken from, ascending.

    Those of level 0 have ``window`` frames at most on either side, those of level 1 lie between them and at the ends,
    those of level 2 between all of these.
    """
    count = -(-len(frames) // (2 * window + 1))
    places = (np.arange(count) + 0.5, np.arange(count + 1), (np.arange(2 * count) + 0.5) / 2)[level]
    chosen = np.minimum((places * len(frames) / count).astype(int), len(frames) - 1)
    return tuple(frames[k] for k in np.unique(chosen))


def nearest(references: Sequence[int], frame: int) -> dict[int, float]:
    """Return the references before and after ``frame`` and how much each counts: an S-curve in time; they sum to 1."""
    before = max((k for k in references if k <= frame), default=references[0])
    after = min((k for k in references if k >= frame), default=references[-1])
    if before >= after:
        return {before: 1.0}
    share = float(np.sin(np.pi / 2 * (frame - before) / (after - before)) ** 2)
    return {before: 1 - share, after: share}


def faded_in(seen: np.ndarray, smaller: np.ndarray, from_outline: np.ndarray, fade: float) -> np.ndarray:
    """Return where a surface is ``seen`` ``(H, W)`` bool and shown well, ``(H, W)`` float32 in [0, 1].

    ``smaller`` ``(H, W)`` is how much of its size there it has, at least, see :func:`~..patches.blending.sampling`. The
    result rises over ``fade`` px from what is not seen of a surface, so that no seam shows. What is not seen right at
    an outline (``from_outline`` ``(H, W)`` px) leaves none, nor do single pixels.
    """
    low, high = STRETCH
    sharp = np.clip((cv2.medianBlur(smaller.astype(np.float32), 5) - low) / (high - low), 0, 1)
    unseen = cv2.morphologyEx((~seen & (from_outline > MIXED)).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3)))
    distance = cv2.distanceTransform(1 - unseen, cv2.DIST_L2, 5)
    return seen * sharp * np.minimum(distance / np.float32(fade), 1)
