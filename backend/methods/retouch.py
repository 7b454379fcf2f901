"""What an artist paints over a finished frame, carried to every frame that shows what it was painted on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ..motion.correspondence import Motion
from ..motion.warp import warp

LEVELS = 1.5 / 255  # a difference that is more than rounding
SEEN = 0.5 / 255  # of a stroke, below which nothing of it is seen
SOFT = 0.7  # pixels over which the rim of what was painted fades


@dataclass(frozen=True)
class Retouch:
    """A ``frame`` as it was and as it was painted over, both (H, W, 3) float32 sRGB in [0, 1]."""

    frame: int
    before: np.ndarray
    after: np.ndarray

    @cached_property
    def painted(self) -> np.ndarray:
        """Where the artist painted, (H, W) float32 in [0, 1], soft at its rim."""
        touched = (np.abs(self.after - self.before).max(-1) > LEVELS).astype(np.float32)
        return np.maximum(touched, cv2.GaussianBlur(touched, (0, 0), SOFT))

    def on(self, frame: int, image: np.ndarray, motion: Motion) -> np.ndarray:
        """Return ``image`` of ``frame`` with the paint on it, in whole levels of 8 bits; ``image`` where none shows.

        Paint goes along the motion of what it was painted on, and is hidden where that is. The frame that was painted
        itself is as the artist left it.
        """
        if frame == self.frame:
            return self.after
        pair = motion.pair(frame, self.frame)
        share = warp(self.painted, pair.flow, "linear") * pair.valid
        if float(share.max()) <= SEEN:
            return image
        carried = warp(self.after, pair.flow)
        return np.rint(np.clip(image + share[..., None] * (carried - image), 0, 1) * 255).astype(np.float32) / 255
