"""The noise that a run starts from and, under stochastic samplers, goes on with: as the artist chose it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..bridge.errors import UserError
from ..bridge.settings import Settings
from ..diffusion.sampling import Noise, gaussian_noise, mixed
from ..motion.addresses import Page
from ..motion.exact import ExactMotion
from ..motion.noise import AnchoredNoise
from ..shot.shot import Shot
from .objects import Objects


class RunNoise:
    """Noise of a shot's frames: "fresh" for every frame, "shared" by all, or "anchored" to the surfaces they show.

    ``seed`` is the run's, ``factor`` the side of a latent cell in pixels. A frame's noise depends on no other frame.
    Raises UserError where noise is to be anchored in footage, which has no surfaces to anchor it to.
    """

    def __init__(self, kind: str, shot: Shot, seed: int, factor: int) -> None:
        self._kind, self._seed = kind, seed
        self._anchored: AnchoredNoise | None = None
        if kind == "anchored":
            if not isinstance(shot.motion, ExactMotion):
                raise UserError("Footage has no surfaces to anchor noise to. Choose shared noise.")
            motion, frames = shot.motion, shot.info.data_frames

            def page(frame: int) -> Page:
                return motion.book.page(frame, motion.stability.systems(frame, frame))

            self._anchored = AnchoredNoise(page, frames, seed, factor, motion.memory)

    def of(self, frames: Sequence[int], shape: Sequence[int]) -> Noise:
        """Return the noise of ``frames`` together, each of ``shape`` (C, h, w)."""
        if self._anchored is None:
            if self._kind == "shared":
                return untinted(gaussian_noise(shape, [self._seed] * len(frames)))
            return gaussian_noise(shape, [mixed(self._seed, frame) for frame in frames])
        anchored, (channels, height, width) = self._anchored, shape

        def noise(stream: int) -> Tensor:
            return torch.stack([torch.from_numpy(anchored(f, (channels, height, width), stream)) for f in frames])

        return noise


def untinted(noise: Noise) -> Noise:
    """Return ``noise`` with mean 0 and deviation 1 in each channel: chance in it would tint all that share it."""

    def even(stream: int) -> Tensor:
        drawn = noise(stream)
        return (drawn - drawn.mean((2, 3), keepdim=True)) / drawn.std((2, 3), keepdim=True)

    return even


class ShotNoise:
    """The noise of a run, and of objects that have a seed of their own, theirs (see :class:`RunNoise`)."""

    def __init__(self, kind: str, shot: Shot, settings: Settings, factor: int) -> None:
        self._factor, self._objects = factor, Objects(shot, settings.objects)
        self._run = RunNoise(kind, shot, settings.seed, factor)
        told = enumerate(settings.objects)
        self._others = {row: RunNoise(kind, shot, each.seed, factor) for row, each in told if each.seed}

    def of(self, frames: Sequence[int], shape: Sequence[int]) -> Noise:
        """Return the noise of ``frames`` together, each of ``shape`` (C, h, w); a cell is all one noise or another."""
        own, others = self._run.of(frames, shape), {row: each.of(frames, shape) for row, each in self._others.items()}
        if not others:
            return own
        cells = np.stack([self._objects.cells(frame, (shape[1], shape[2]), self._factor) for frame in frames])

        def noise(stream: int) -> Tensor:
            whole = own(stream)
            for row, other in others.items():
                whole = torch.where(torch.from_numpy(cells[:, row, None] > 0.5), other(stream), whole)
            return whole

        return noise
