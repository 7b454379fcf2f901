"""Painting what no key frame shows: by guided patch synthesis from the keys, and only once.

Patches chosen anew in every frame would boil. A few frames that show the most of what is missing are completed first,
and then serve the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from ..motion.cache import Cache
from ..motion.geometry import pixel_grid
from ..patches.patchmatch import Exemplar, Library, extended, synthesize
from .surfaces import Surfaces

WORTHWHILE = 0.01  # share of a frame that must be missing for it to be completed first


class Filler:
    """Fills gaps with patches of the key frames ``{frame: (H, W, 3) float32 sRGB}``.

    ``patch`` is a patch's side in pixels, ``band`` how far strokes stray over outlines, in pixels.
    """

    def __init__(self, surfaces: Surfaces, keys: Mapping[int, np.ndarray], patch: int, band: float, seed: int) -> None:
        self._surfaces, self._keys, self._patch, self._band, self._seed = surfaces, keys, patch, band, seed
        self._grid = pixel_grid((surfaces.shot.width, surfaces.shot.height))
        self._libraries: Cache[tuple[int, ...], Library] = Cache(0, self._library)

    def fill(self, frame: int, image: np.ndarray, gap: np.ndarray, seen: Mapping[int, np.ndarray]) -> np.ndarray:
        """Return ``image`` ``(H, W, 3)`` with the ``gap`` ``(H, W)`` bool painted from the keys that ``seen`` names.

        ``seen`` holds for each of them how well it shows each pixel of ``frame``, ``(H, W)``, 0 where it does not.
        """
        if not gap.any():
            return image
        keys = tuple(sorted(seen))
        labels = self._surfaces.labels(frame)
        start = np.full((*gap.shape, 3), -1, np.float32)
        best = np.zeros(gap.shape, np.float32)
        for number, key in enumerate(keys):
            better = seen[key] > best
            flow = self._surfaces.motion.pair(frame, key).flow
            start[better, 0], start[better, 1:] = number, (self._grid + flow)[better]
            best = np.maximum(best, seen[key])
        start = extended(start, best > 0, labels, gap)
        position = np.where(start[..., :1] < 0, self._grid, start[..., 1:])
        target = Exemplar(self._surfaces.guides(frame, position), labels, image)
        return synthesize(target, gap, self._libraries.get(keys), start, self._seed)

    def _library(self, keys: tuple[int, ...]) -> Library:
        frames = []
        for key in keys:
            labels = self._surfaces.labels(key)
            clean = self._surfaces.from_outline(key) >= self._band
            clean |= ~np.isin(labels, labels[clean])  # what is thin all over must serve as it is
            guides = self._surfaces.guides(key, self._grid)
            frames.append(Exemplar(guides, np.where(clean, labels, -1), self._keys[key]))
        return Library(frames, self._patch)


def completions(missing: Mapping[int, np.ndarray], sees: Callable[[int, int], np.ndarray], most: int) -> Iterator[int]:
    """Yield up to ``most`` frames to complete, the one that shows most of what is missing first.

    ``missing`` ``{frame: (H, W) bool}`` is what no key shows; ``sees(completed, frame)`` tells where a completed frame
    shows another.
    """
    for _ in range(most if missing else 0):
        emptiest = max(missing, key=lambda frame: (missing[frame].mean(), -frame))
        if missing[emptiest].mean() < WORTHWHILE:
            return
        yield emptiest
        missing = {frame: gap & ~sees(emptiest, frame) for frame, gap in missing.items()}
