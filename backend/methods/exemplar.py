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
from ..motion.warp import gather, warp
from ..patches.blending import faded, shares
from ..patches.statistics import blend, contrast_ratio, follow_light, local_mean
from ..shot.shot import Shot
from . import FrameDone, Step
from .filling import Filler, completions
from .surfaces import STRETCH, Surfaces

CANDIDATES = 16  # frames that may be completed first, evenly spaced
COMPLETIONS = 4  # and how many are at most
MIXED = 1.5  # px beside an outline where a completed frame, which no stroke strays in, mixes two surfaces
FADE = 12.0  # px at a width of 512 over which a key fades out towards the border of what it shows
DISAGREEMENT = 0.08  # difference of the sources' luma at which a key counts e times less
SHADE = 4.0  # px at a width of 512, the finest light and shade that is followed


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


@dataclass(frozen=True)
class View:
    """What a painted frame shows of another.

    ``image`` ``(H, W, 3)`` is gathered from it; ``weight`` ``(H, W)`` is 0 where it does not show the surface.
    """

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
        self.surfaces = Surfaces(shot, shot.motion)
        self.filler = Filler(self.surfaces, keys, settings.exemplar.patch_size, self.band, settings.seed)

    def prepare(self) -> Iterator[str]:
        """Complete the frames that show most of what no key shows, one after the other; yield what is being done."""
        step = -(-len(self.shot.frames) // CANDIDATES)
        missing = {}
        for frame in self.shot.frames[step // 2 :: step]:
            yield f"looking for what the keys do not show in frame {frame}"
            missing[frame] = ~np.any([self.sees(key, frame) for key in self.keys], 0)
        for emptiest in completions(missing, self.sees, COMPLETIONS):
            yield f"completing frame {emptiest}"
            self.painted[emptiest] = self.compose(emptiest)

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
            near = sorted(self.keys, key=lambda key: (abs(key - frame), key))[:2]
            image = self.filler.fill(frame, image, gap, {key: views[key].weight for key in near})
        return self.surfaces.antialiased(image, frame)

    def view(self, painted: int, frame: int, share: float) -> View:
        """Carry a painted frame to ``frame``; ``share`` scales its weight."""
        flow = self.shot.motion.pair(frame, painted).flow
        seen = self.sees(painted, frame).astype(np.float32)
        now, then = self.shot.beauty(frame), warp(self.shot.beauty(painted), flow)
        smaller, larger = (cv2.medianBlur(scale, 5) for scale in self.surfaces.sampling(painted, frame))
        image = gather(self.painted[painted], flow, np.sqrt(smaller * larger) * seen)
        lit = follow_light(image, now, then, seen, radius=self.shade, contrast=self.contrast)
        image += np.float32(self.settings.exemplar.light_follow) * (lit - image)
        difference = local_mean((now - then).mean(-1), self.shade, seen)
        agreement = np.exp(-((difference / DISAGREEMENT) ** 2)) + np.float32(1e-3)
        return View(image, share * seen * agreement * np.clip(smaller, STRETCH, 1))

    def sees(self, painted: int, frame: int) -> np.ndarray:
        """Return where a painted frame shows ``frame``, ``(H, W)`` bool; no stroke strays in a completed frame."""
        return self.surfaces.sees(painted, frame, self.band if painted in self.keys else min(self.band, MIXED))
