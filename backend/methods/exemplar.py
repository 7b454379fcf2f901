"""Key frames painted by the artist, carried through the shot.

Every frame gathers its surfaces from the keys along exact motion, one resampling a key, and blends the keys by
distance in time, by how well they show the surface and by how well their light agrees. What no key shows is painted by
guided patch synthesis from the keys (Jamriška et al., "Stylizing Video by Example", SIGGRAPH 2019), and only once: a
few frames that show the most of it are completed first and then serve all others, so that it does not boil.

A frame depends on the keys and the shot alone, not on which frames are made before it or with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from ..bridge.errors import UserError
from ..bridge.settings import Settings
from ..motion.cache import Cache
from ..motion.geometry import pixel_grid
from ..motion.warp import warp
from ..patches.blending import antialiased, faded, in_front, outlines, sampling, shares
from ..patches.patchmatch import Exemplar, Library, extended, synthesize
from ..patches.statistics import blend, contrast_ratio, follow_light, local_mean
from ..shot.shot import Shot
from . import FrameDone, Step

CANDIDATES = 16  # frames that may be completed first, evenly spaced
COMPLETIONS = 4  # and how many are at most
WORTHWHILE = 0.01  # share of a frame that must be missing for one more completion
MIXED = 1.5  # px beside an outline where a completed frame, which no stroke strays in, mixes two surfaces
STRETCH = 0.2  # a surface that the key shows this much smaller, across or along, is painted anew
FADE = 12.0  # px at a width of 512 over which a key fades out towards the border of what it shows
DISAGREEMENT = 0.08  # difference of the sources' luma at which a key counts e times less
OCTAVES = 3  # of shrinking that are filtered
SHADE = 4.0  # px at a width of 512, the finest light and shade that is followed
COLOUR, NORMAL, POSITION = np.sqrt(np.array([2, 1 / 3, 1], np.float32))  # roots of the weights of the guides' channels


def exemplar(
    shot: Shot, model: Any, settings: Settings, wanted: Sequence[int], keys: Mapping[int, np.ndarray]
) -> Iterator[Step | FrameDone]:
    """Yield every ``wanted`` frame of ``shot`` in the style of the ``keys``, ``{frame: (H, W, 3) float32 sRGB}``.

    A key's own frame is the key, bit for bit. No model is used. Raises UserError where there is no key, a key is of
    another size than the shot, or its frame is not in the shot.
    """
    check_keys(shot, keys)
    studio = Studio(shot, settings, keys)
    if any(frame not in keys for frame in wanted):
        for note in studio.prepare():
            yield Step(0, len(wanted), note)
    for number, frame in enumerate(wanted, 1):
        yield FrameDone(frame, studio.paint(frame))
        yield Step(number, len(wanted), f"frame {frame}")


def check_keys(shot: Shot, keys: Mapping[int, np.ndarray]) -> None:
    """Raise UserError where the keys do not fit the shot."""
    if not keys:
        raise UserError("There is no key frame. Paint at least one frame of the shot and add it as a key.")
    for frame, image in sorted(keys.items()):
        if frame not in shot.frames:
            raise UserError(
                f"The key of frame {frame} is outside the shot, which has frames {shot.frames[0]} to {shot.frames[-1]}."
                " Give it the number of the frame that it was painted over."
            )
        if image.shape != (shot.height, shot.width, 3):
            raise UserError(
                f"The key of frame {frame} is {image.shape[1]} x {image.shape[0]} pixels, the shot is {shot.width} x "
                f"{shot.height}. Scale the key to the size of the shot."
            )


def gather(image: np.ndarray, flow: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Carry ``image`` ``(H, W, 3)`` along ``flow``, blurred first where ``scale`` ``(H, W)`` of its pixels fall on one.

    Bicubic sampling alone would alias where a surface is now smaller than when it was painted.
    """
    result = warp(image, flow)
    octaves = np.clip(np.log2(np.maximum(scale, 1)), 0, OCTAVES)
    for octave in range(1, int(np.ceil(octaves.max() - 0.1)) + 1):
        blurred = warp(cv2.GaussianBlur(image, (0, 0), 0.5 * 2**octave), flow)
        result += np.clip(octaves - (octave - 1), 0, 1)[..., None] * (blurred - result)
    return np.clip(result, 0, 1)


def closed(mask: np.ndarray) -> np.ndarray:
    """Return ``mask`` ``(H, W)`` bool with its ragged border and its holes of up to 4 px filled."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0


@dataclass(frozen=True)
class View:
    """What a painted frame shows of another.

    ``flow`` ``(H, W, 2)`` leads to the painted frame, ``image`` ``(H, W, 3)`` is gathered along it; ``weight``
    ``(H, W)`` is 0 where the painted frame does not show the surface.
    """

    flow: np.ndarray
    image: np.ndarray
    weight: np.ndarray


class Studio:
    """The keys of one shot, the frames that were completed from them, and how to paint all others."""

    def __init__(self, shot: Shot, settings: Settings, keys: Mapping[int, np.ndarray]) -> None:
        self.shot, self.settings = shot, settings
        self.painted = dict(sorted(keys.items()))  # the keys, and after :meth:`prepare` the completed frames
        self.keys = tuple(self.painted)
        self.band = shot.width * settings.exemplar.overflow / 100
        self.fade, self.shade = FADE * shot.width / 512, max(SHADE * shot.width / 512, 1.5)
        ratios = [contrast_ratio(image, shot.beauty(key), self.shade) for key, image in self.painted.items()]
        self.contrast = float(np.mean(ratios))
        self._distances: Cache[int, np.ndarray] = Cache(128 << 20, self._distance)
        self._fronts: Cache[int, np.ndarray] = Cache(128 << 20, self._front)
        self._libraries: Cache[tuple[int, ...], Library] = Cache(0, self._library)

    def prepare(self) -> Iterator[str]:
        """Complete the frames that show most of what no key shows, one after the other; yield what is being done."""
        step = -(-len(self.shot.frames) // CANDIDATES)
        missing = {}
        for frame in self.shot.frames[step // 2 :: step]:
            yield f"looking for what the keys do not show in frame {frame}"
            missing[frame] = ~np.any([self.sees(key, frame) for key in self.keys], 0)
        for _ in range(COMPLETIONS):
            emptiest = max(missing, key=lambda frame: (missing[frame].mean(), -frame))
            if missing[emptiest].mean() < WORTHWHILE:
                return
            yield f"completing frame {emptiest}"
            self.painted[emptiest] = self.compose(emptiest)
            missing = {frame: gap & ~self.sees(emptiest, frame) for frame, gap in missing.items()}

    def paint(self, frame: int) -> np.ndarray:
        """Return the finished ``frame``, ``(H, W, 3)`` float32 sRGB in [0, 1]."""
        return self.painted[frame] if frame in self.painted else self.compose(frame)

    def compose(self, frame: int) -> np.ndarray:
        """Paint ``frame`` from the keys, what they do not show from the completed frames, and the rest anew."""
        share = shares(frame, self.keys)
        views = {key: self.view(key, frame, share[key]) for key in self.keys}
        weights = faded([view.weight for view in views.values()], self.fade)
        image = blend([view.image for view in views.values()], weights, self.shade)
        gap = ~np.any([view.weight > 0 for view in views.values()], 0)
        for other in sorted(set(self.painted) - set(self.keys), key=lambda other: (abs(other - frame), other)):
            if gap.any():
                view = self.view(other, frame, 1.0)
                new = gap & (view.weight > 0)
                image[new] = view.image[new]
                gap &= ~new
        if gap.any():
            image = self.fill(frame, image, gap, views)
        outline = self.from_outline(frame) == 0
        return antialiased(image, self.shot.beauty(frame), self.labels(frame), self.depth(frame), outline)

    def view(self, painted: int, frame: int, share: float) -> View:
        """Carry a painted frame to ``frame``; ``share`` scales its weight."""
        flow = self.shot.motion.pair(frame, painted).flow
        seen = self.sees(painted, frame).astype(np.float32)
        now, then = self.shot.beauty(frame), warp(self.shot.beauty(painted), flow)
        smaller, larger = (cv2.medianBlur(scale.astype(np.float32), 5) for scale in sampling(flow))
        image = gather(self.painted[painted], flow, np.sqrt(smaller * larger) * seen)
        lit = follow_light(image, now, then, seen, radius=self.shade, contrast=self.contrast)
        image += np.float32(self.settings.exemplar.light_follow) * (lit - image)
        difference = local_mean((now - then).mean(-1), self.shade, seen)
        agreement = np.exp(-((difference / DISAGREEMENT) ** 2)) + np.float32(1e-3)
        return View(flow, image, share * seen * agreement * np.clip(smaller, STRETCH, 1))

    def sees(self, painted: int, frame: int) -> np.ndarray:
        """Return where a painted frame shows what ``frame`` shows, and shows it well, ``(H, W)`` bool.

        Strokes stray over outlines. What a key shows beside one belongs to the surface on the other side as likely as
        to its own, and is trusted only where ``frame`` has an outline as near, along which the two have not slid.
        """
        found = self.shot.motion.pair(frame, painted)
        if not self.shot.has_data:
            return found.strict
        near = (found.valid > 0) & cv2.dilate(found.strict.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        then, now = warp(self.from_outline(painted), found.flow), self.from_outline(frame)
        front = self._fronts.get(frame)
        reach = self.band if painted in self.keys else min(self.band, MIXED)
        slid = np.linalg.norm(found.flow - found.flow.reshape(-1, 2)[front], axis=-1) > reach
        strayed = (then < reach) & ((now > then + 1) | slid & (now < reach))
        poor = strayed | (sampling(found.flow)[0] < STRETCH)
        behind = front != np.arange(front.size).reshape(front.shape)
        return near & ~(closed(poor & behind) & behind | closed(poor & ~behind) & ~behind)

    def fill(self, frame: int, image: np.ndarray, gap: np.ndarray, views: Mapping[int, View]) -> np.ndarray:
        """Paint the ``gap`` of ``frame`` anew from the two keys nearest in time."""
        near = sorted(sorted(self.keys, key=lambda key: (abs(key - frame), key))[:2])
        labels, grid = self.labels(frame), pixel_grid((self.shot.width, self.shot.height))
        start = np.full((*gap.shape, 3), -1, np.float32)
        best = np.zeros(gap.shape, np.float32)
        for number, key in enumerate(near):
            better = views[key].weight > best
            start[better, 0], start[better, 1:] = number, (grid + views[key].flow)[better]
            best = np.maximum(best, views[key].weight)
        start = extended(start, best > 0, labels, gap)
        position = np.where(start[..., :1] < 0, grid, start[..., 1:])
        target = Exemplar(self.guides(frame, position), labels, image)
        return synthesize(target, gap, self._libraries.get(tuple(near)), start, self.settings.seed)

    def _library(self, keys: tuple[int, ...]) -> Library:
        grid = pixel_grid((self.shot.width, self.shot.height))
        frames = []
        for key in keys:
            labels = self.labels(key)
            clean = self.from_outline(key) >= self.band
            clean |= ~np.isin(labels, labels[clean])  # what is thin all over must serve as it is
            frames.append(Exemplar(self.guides(key, grid), np.where(clean, labels, -1), self.painted[key]))
        return Library(frames, self.settings.exemplar.patch_size)

    def guides(self, frame: int, position: np.ndarray) -> np.ndarray:
        """Return the guides of ``frame``: its colour, its normals and where it is found in a key, ``(H, W, 8)``."""
        colour, layer = self.shot.beauty(frame), self.shot.layer(frame)
        normal = np.zeros_like(colour) if layer is None else layer.normal
        position = position / np.float32(self.shot.width)
        return np.dstack([COLOUR * colour, NORMAL * normal, POSITION * position]).astype(np.float32)

    def labels(self, frame: int) -> np.ndarray:
        """Return which object each pixel of ``frame`` shows, ``(H, W)`` int32; 0 on the sky and all over footage."""
        layer = self.shot.layer(frame)
        if layer is None:
            return np.zeros((self.shot.height, self.shot.width), np.int32)
        return np.where(layer.sky, 0, layer.index).astype(np.int32)

    def depth(self, frame: int) -> np.ndarray:
        """Return the depth of ``frame``, ``(H, W)`` float32; footage is as flat as its screen."""
        layer = self.shot.layer(frame)
        return np.ones((self.shot.height, self.shot.width), np.float32) if layer is None else layer.depth

    def from_outline(self, frame: int) -> np.ndarray:
        """Return how far each pixel of ``frame`` is from an outline, ``(H, W)`` float32 px; 0 on both its sides."""
        return self._distances.get(frame)

    def _distance(self, frame: int) -> np.ndarray:
        edge = outlines(self.labels(frame), self.depth(frame))
        return cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, 5)

    def _front(self, frame: int) -> np.ndarray:
        return in_front(self.from_outline(frame) == 0, self.depth(frame))
