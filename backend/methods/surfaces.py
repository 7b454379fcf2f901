"""What the pixels of a shot's frames show, as methods that carry paintings along motion need to know it."""

from __future__ import annotations

import cv2
import numpy as np

from ..motion.cache import Cache
from ..motion.correspondence import Motion
from ..motion.warp import warp
from ..patches.blending import antialiased, in_front, outlines, sampling
from ..patches.statistics import fine_detail, softened
from ..shot.shot import Shot

MIXED = 1.5  # px beside an outline where a picture mixes two surfaces
CRISP = 1.3  # times the fine detail of paint at outlines, at most: softer, and edges of the geometry are lost
GAIN = 0.1  # of a picture's fine detail, as a variance, that crisp outlines may add to it: many of them look cut out
STRETCH = 0.2  # a surface that a painting shows this much smaller, across or along, is painted anew
COLOUR, NORMAL, POSITION = np.sqrt(np.array([2, 1 / 3, 1], np.float32))  # roots of the weights of the guides' channels


class Surfaces:
    """Objects, depth, outlines and guides of a shot's frames; footage is one flat object, seen as far as it is known.

    ``motion`` is what the paintings are carried along.
    """

    def __init__(self, shot: Shot, motion: Motion) -> None:
        self.shot, self.motion = shot, motion
        self._labels: Cache[int, np.ndarray] = Cache(128 << 20, self._label)
        self._depths: Cache[int, np.ndarray] = Cache(128 << 20, self._depth)
        self._distances: Cache[int, np.ndarray] = Cache(128 << 20, self._distance)
        self._fronts: Cache[int, np.ndarray] = Cache(128 << 20, self._front)
        self._samplings: Cache[tuple[int, int], np.ndarray] = Cache(64 << 20, self._sampling)

    def sampling(self, painted: int, frame: int) -> np.ndarray:
        """Return how much smaller ``frame`` shows things than a painted frame, across and along, ``(2, H, W)`` float32.

        See :func:`~..patches.blending.sampling`.
        """
        return self._samplings.get((painted, frame))

    def _sampling(self, pair: tuple[int, int]) -> np.ndarray:
        painted, frame = pair
        return sampling(self.motion.pair(frame, painted).flow)

    def sees(self, painted: int, frame: int, reach: float) -> np.ndarray:
        """Return where a painted frame shows what ``frame`` shows, and shows it well, ``(H, W)`` bool.

        Strokes stray over outlines, by up to ``reach`` px. What a painting shows beside one belongs to the surface on
        the other side as likely as to its own, and is trusted only where ``frame`` has an outline as near, along which
        the two have not slid.
        """
        found = self.motion.pair(frame, painted)
        if not self.shot.has_data:
            return found.strict
        near = (found.valid > 0) & cv2.dilate(found.strict.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
        then, now = warp(self.from_outline(painted), found.flow), self.from_outline(frame)
        front = self._fronts.get(frame)
        behind = front != np.arange(front.size, dtype=front.dtype).reshape(front.shape)
        strayed = (then < reach) & (now > then + 1)
        beside = np.nonzero(behind & (then < reach) & (now < reach))
        slid = np.hypot(*(found.flow[beside] - found.flow.reshape(-1, 2)[front[beside]]).T) > reach
        strayed[beside] |= slid
        poor = strayed | (self.sampling(painted, frame)[0] < STRETCH)
        return near & ~(_closed(poor & behind) & behind | _closed(poor & ~behind) & ~behind)

    def guides(self, frame: int, position: np.ndarray) -> np.ndarray:
        """Return the guides of patch synthesis: the frame's colour, its normals and ``position``, ``(H, W, 8)``.

        ``position`` ``(H, W, 2)`` px is where the frame is found in a painting.
        """
        colour, layer = self.shot.beauty(frame), self.shot.layer(frame)
        normal = np.zeros_like(colour) if layer is None else layer.normal
        position = position / np.float32(self.shot.width)
        return np.dstack([COLOUR * colour, NORMAL * normal, POSITION * position]).astype(np.float32)

    def antialiased(self, image: np.ndarray, frame: int) -> np.ndarray:
        """Return ``image`` ``(H, W, 3)``, painted of ``frame``, with outlines as smooth as in the frame itself."""
        outline = self.from_outline(frame) == 0
        return antialiased(image, self.shot.beauty(frame), self.labels(frame), self.depth(frame), outline)

    def outlined(self, image: np.ndarray, frame: int, detail: float) -> np.ndarray:
        """Return ``image`` ``(H, W, 3)``, put together for ``frame``, with outlines smooth, and as soft as paint is.

        ``detail`` is how much it may have there (see :meth:`outline_detail`): what is cut out has more.
        """
        return softened(self.antialiased(image, frame), self.from_outline(frame) < MIXED, detail)

    def outline_detail(self, painting: np.ndarray, frame: int) -> float:
        """Return how much fine detail pictures like a ``painting`` ``(H, W, 3)`` of ``frame`` may have at outlines.

        It is somewhat more than the painting has there: ``CRISP`` times as much where outlines are few.
        """
        beside = self.from_outline(frame) < MIXED
        own = fine_detail(painting, beside)
        share = float(beside.mean()) * own**2 / max(fine_detail(painting, np.ones_like(beside)) ** 2, 1e-12)
        return own * min(CRISP, (1 + GAIN / max(share, 1e-6)) ** 0.5)

    def labels(self, frame: int) -> np.ndarray:
        """Return which object each pixel of ``frame`` shows, ``(H, W)`` int32; 0 on the sky and all over footage."""
        return self._labels.get(frame)

    def _label(self, frame: int) -> np.ndarray:
        layer = self.shot.layer(frame)
        if layer is None:
            return np.zeros((self.shot.height, self.shot.width), np.int32)
        return np.where(layer.sky, 0, layer.index).astype(np.int32)

    def depth(self, frame: int) -> np.ndarray:
        """Return the depth of ``frame``, ``(H, W)`` float32; footage is as flat as its screen."""
        return self._depths.get(frame)

    def _depth(self, frame: int) -> np.ndarray:
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


def _closed(mask: np.ndarray) -> np.ndarray:
    """Return ``mask`` ``(H, W)`` bool with its ragged border and its holes of up to 4 px filled."""
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
