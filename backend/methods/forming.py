"""Frames shown while they form."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from ..diffusion.pictures import crop, to_picture
from ..diffusion.protocol import Model

SHARE = 0.25  # of the time that a run takes beside, at most, is spent on showing


class Forming:
    """Watches a model and calls ``show(frame, image)`` with what its predictions promise, not more often than is cheap.

    ``size`` is (H, W) of the frames; the first prediction is always shown.
    """

    def __init__(self, model: Model, size: tuple[int, int], show: Callable[[int, np.ndarray], None]) -> None:
        self._codec, self._size, self._show = model.codec, size, show
        self._due = 0.0
        model.watch = self

    def __call__(self, frames: Sequence[int], x0: Tensor) -> None:
        """Show the clean latents ``x0`` (N, C, h, w) of ``frames``, if it is time to."""
        began = time.monotonic()
        if began < self._due:
            return
        for frame, row in zip(frames, x0.split(1), strict=True):
            self._show(frame, crop(to_picture(self._codec.preview(row)[0] / 2 + 0.5), self._size))
        now = time.monotonic()
        self._due = now + (now - began) / SHARE
