"""From pictures back to the noise that a model makes them of: DDIM inversion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch import Tensor

from .sampling import Sampler

Predict = Callable[[Sampler, Tensor, int], Tensor]
"""The network's output for states (N, C, h, w) at a step of a sampler."""


def invert(predict: Predict, scheduler: Any, z: Tensor, levels: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """Yield ``(timestep, state)`` of clean latents ``z`` (N, C, h, w) at every level on the way up to noise.

    DDIM's equation (Song et al. 2021, eq. 14), walked from clean to noise: at each of the ``levels``, falling
    timesteps, the predicted x0 and noise are put together again as the next level's state. ``z`` itself is the state of
    the last one. ``scheduler`` is a DDIM scheduler.
    """
    sampler, x = Sampler(scheduler, levels), z
    for step in range(len(levels) - 1, 0, -1):
        known = sampler.predict(predict(sampler, x, step), x, step)
        A, S = sampler.coefficients(step - 1)
        x = A * known.x0 + S * known.noise
        yield levels[step - 1], x


def inversion_levels(timesteps: Sequence[int], fineness: int) -> list[int]:
    """Return the timesteps that an inversion passes, falling to 0: those of sampling, ``fineness`` steps apart."""
    anchors = [0, *reversed(timesteps)]
    between = [np.linspace(low, high, fineness, endpoint=False) for low, high in pairwise(anchors)]
    rising = np.unique(np.concatenate([*between, anchors[-1:]]).round().astype(int))
    return rising[::-1].tolist()
