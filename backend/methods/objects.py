"""Objects that are told something of their own: words, a strength, a seed, or to be left alone.

Mattes from the data layer say where they are. Words blend the network's predictions (see ``denoising``), a lower
strength lets an object wait as its own noised source (see ``sampling``), a seed gives it other noise, and what is left
alone is put back into the finished picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..bridge.errors import UserError
from ..bridge.settings import Settings
from ..bridge.settings.objects import ObjectSettings
from ..motion.addresses import bind
from ..motion.cache import Cache
from ..patches.blending import antialiased, outlines
from ..shot.shot import Shot
from . import FrameDone, Step

CACHE = 256 << 20  # bytes of mattes kept


class Objects:
    """Where in a shot's frames the objects are that are told something.

    Where two entries of ``told`` mean the same object, the later one counts. Raises UserError where something is told
    to objects of footage, which has none.
    """

    def __init__(self, shot: Shot, told: Sequence[ObjectSettings]) -> None:
        if told and not shot.has_data:
            raise UserError("Footage has no objects that could be told apart. Take them off the list.")
        self.told, self._shot = tuple(told), shot
        self._mattes: Cache[int, np.ndarray] = Cache(CACHE, self._matte)
        entries = shot.info.objects if told else ()
        named = [{entry.name, entry.instance.rpartition(":")[0]} for entry in entries]
        meant = [[number for number, each in enumerate(told) if each.names & names] for names in named]
        # the sky, what is not in the shot's list and what mixes several surfaces come last in ``bind``: told nothing
        self._entry = np.array([numbers[-1] if numbers else -1 for numbers in meant] + [-1, -1, -1])

    def shown(self, frame: int) -> np.ndarray:
        """Return which entry each pixel of ``frame`` shows, ``(H, W)`` int32; -1 for none."""
        layer = self._shot.layer(frame)
        if layer is None:
            return np.full((self._shot.height, self._shot.width), -1, np.int32)
        return self._entry[bind(layer, self._shot.info.objects)].astype(np.int32)

    def mattes(self, frame: int) -> np.ndarray:
        """Return how much of each pixel each entry covers, ``(entries, H, W)`` float32, anti-aliased.

        The data layer has one sample a pixel. Where two surfaces meet, the picture's own colours tell the coverage.
        """
        return self._mattes.get(frame)

    def cells(self, frame: int, shape: tuple[int, int], factor: int) -> np.ndarray:
        """Return the mattes on latents of ``shape`` (h, w), cells of ``factor`` px: ``(entries, h, w)`` float32.

        Where the latents are larger than the frame, its border goes on, as that of its picture does.
        """
        mattes, (height, width) = self.mattes(frame), shape
        more = (0, height * factor - mattes.shape[1]), (0, width * factor - mattes.shape[2])
        padded = np.pad(mattes, ((0, 0), *more), mode="edge")
        return padded.reshape(-1, height, factor, width, factor).mean((2, 4))

    def restored(self, image: np.ndarray, frame: int) -> np.ndarray:
        """Return a finished ``image`` ``(H, W, 3)`` of ``frame`` with what is left alone as it is in the source.

        Pixels within are the source's, bit for bit; those of its outline, on both sides, mix as the source does.
        """
        entries = [number for number, told in enumerate(self.told) if told.kept]
        if not entries:
            return image
        kept = np.isin(self.shown(frame), entries)
        pasted = np.where(kept[..., None], self._shot.beauty(frame), image)
        return self._smooth(pasted, frame, kept.astype(np.int32)).clip(0, 1)

    def _matte(self, frame: int) -> np.ndarray:
        shown = self.shown(frame)
        hard = np.stack([shown == number for number in range(len(self.told))], -1).astype(np.float32)
        return np.ascontiguousarray(self._smooth(hard, frame, shown).transpose(2, 0, 1))

    def _smooth(self, image: np.ndarray, frame: int, labels: np.ndarray) -> np.ndarray:
        """Return ``image`` ``(H, W, C)`` with the outlines of ``labels`` as smooth as in the source."""
        flat = np.ones(labels.shape, np.float32)
        return antialiased(image, self._shot.beauty(frame), labels, flat, outlines(labels, flat))


def left_alone(
    shot: Shot, settings: Settings, events: Iterable[Step | FrameDone]
) -> Iterator[Step | FrameDone]:
    """Pass on a method's ``events``, finished frames with all in them that is to stay as it was rendered.

    Those are objects that are left alone, and whole frames at which the strength is 0.
    """
    objects = Objects(shot, settings.objects)
    for event in events:
        if not isinstance(event, FrameDone):
            yield event
        elif settings.over_time.get(event.frame, {}).get("strength") == 0:
            yield FrameDone(event.frame, shot.beauty(event.frame))
        else:
            yield FrameDone(event.frame, objects.restored(event.image, event.frame))
