"""The branch of the source: what the network makes of the render itself, beside each step of its edit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..diffusion.attention import AttentionControl, TokenBank
from ..diffusion.denoising import Conditions, Denoiser
from ..diffusion.injection import Features, Injection
from ..diffusion.inversion import invert
from ..diffusion.protocol import Model
from ..diffusion.sampling import Noise, Sampler

States = Callable[[int], Tensor]
"""The states of the source's frames at a step of sampling, (N, C, h, w)."""


def noised(sampler: Sampler, z: Tensor, noise: Noise) -> States:
    """Return the source's states without an inversion: its latents ``z`` under the noise that its edit started from."""
    first = cache(partial(noise, 0))

    def states(step: int) -> Tensor:
        A, S = sampler.coefficients(step)
        return A * z + S * first()

    return states


class Trajectory:
    """The source's states on their way to noise: of every timestep that sampling will pass, in a file."""

    def __init__(self, path: Path, timesteps: Sequence[int], shape: Sequence[int]) -> None:
        """Make the file, for latents of ``shape`` (N, C, h, w)."""
        self._path, self._steps = path, {t: step for step, t in enumerate(timesteps)}
        np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(len(timesteps), *shape))

    def put(self, t: int, row: int, state: Tensor) -> None:
        """Keep the ``state`` (1, C, h, w) of frame number ``row`` at timestep ``t``, if sampling passes that."""
        if t in self._steps:
            np.lib.format.open_memmap(self._path, mode="r+")[self._steps[t], row] = state[0].numpy()

    def at(self, step: int) -> Tensor:
        """Return the states of all frames at ``step``, (N, C, h, w)."""
        return torch.from_numpy(np.array(np.load(self._path, mmap_mode="r")[step]))


def trace_back(
    model: Model, conditions: Conditions, frames: Sequence[int], z: Tensor, levels: Sequence[int], kept: Trajectory
) -> Iterator[int]:
    """Invert the latents ``z`` (N, C, h, w) of ``frames`` by DDIM without guidance, over ``levels``, into ``kept``.

    Plug-and-Play, section 4. Yields the frame after every evaluation.
    """
    for row, frame in enumerate(frames):

        def predict(sampler: Sampler, x: Tensor, step: int, frame: int = frame) -> Tensor:
            return Denoiser(model, sampler, conditions)(x, step, [frame]).cpu()

        for t, state in invert(predict, model.scheduler("ddim"), z[row : row + 1], levels):
            kept.put(t, row, state)
            yield frame


class SourceBranch:
    """Passes of the source's frames through the network, each at the step that their edit is at.

    ``tokens`` are the inputs of self-attention, in stream 1, and ``features`` what Plug-and-Play's block adds, of the
    frames that were read and not let go since.
    """

    def __init__(self, control: AttentionControl, injection: Injection, denoise: Denoiser, states: States) -> None:
        self._control, self._injection, self._denoise, self._states = control, injection, denoise, states
        self.tokens, self.features = TokenBank("cpu"), Features()
        self._step, self._x = -1, torch.zeros(0)

    def read(self, step: int, rows: Sequence[int], frames: Sequence[int]) -> None:
        """Read ``frames``, which are the numbers ``rows`` of all, at ``step``; a new step forgets the one before."""
        if step != self._step:
            self._step, self._x = step, self._states(step)
            self.tokens, self.features = TokenBank("cpu"), Features()
        with self._control.record(self.tokens), self._injection.record(self.features):
            self._denoise(self._x[list(rows)], step, frames)

    def keep_only(self, frames: Collection[int]) -> None:
        """Let go of what was read of all frames but these."""
        self.tokens.keep_only(frames)
        for frame in [frame for frame in self.features if frame not in frames]:
            del self.features[frame]
