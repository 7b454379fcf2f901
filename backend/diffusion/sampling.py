"""Any diffusers scheduler, opened up: its clean prediction can be read and edited at every step.

A sampler's state is ``x = A x0 + S eps``. The network predicts noise, velocity, flow or x0 from it; all four hold the
same knowledge, and :class:`Sampler` turns each into the pair (x0, eps) and back.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..bridge.errors import UserError

Noise = Callable[[int], Tensor]
"""Noise of a batch of frames, (N, C, h, w): argument 0 gives the initial noise, k + 1 what is added after step k."""

Rule = Literal["keep_noise", "keep_sample"]

Strength = float | Sequence[tuple[float, Tensor]]
"""Of a frame: one for all of it, or several, each with the share (h, w) of every cell it is for; shares sum to 1."""


@dataclass(frozen=True)
class Prediction:
    """What the network says at one step: ``x0`` and ``noise`` (N, C, h, w), and the raw ``output`` they come from."""

    x0: Tensor
    noise: Tensor
    output: Tensor


@dataclass(frozen=True)
class Window:
    """A range of progress, ``start`` to ``end``, in which a method does something."""

    start: float
    end: float

    def steps(self, sampler: Sampler) -> frozenset[int]:
        """Return the steps of ``sampler`` in the window; at least the nearest one, unless the window is empty.

        Without that, windows vanish at few steps: of four, none has a progress in (0.8, 1). An end of 1 is included.
        """
        if self.end <= self.start:
            return frozenset()
        steps = range(len(sampler))
        end = self.end if self.end < 1 else 2
        inside = frozenset(k for k in steps if self.start <= sampler.progress(k) < end)
        centre = (self.start + self.end) / 2
        return inside or frozenset(sorted(steps, key=lambda k: abs(sampler.progress(k) - centre))[:1])


class Sampler:
    """One run of a diffusers scheduler over a batch of frames, from noised pictures or pure noise to clean latents.

    ``strength`` in [0, 1], for all frames or one for each, is the share of the ``steps`` that is run (SDEdit: Meng et
    al. 2022): 1 starts from pure noise, 0 runs none; between them at least one. Frames, and parts of them, of lower
    strength than others wait, as their own noised pictures, until their turn comes. A run begins where the highest
    strength does, or ``begin`` if that is higher: runs whose steps are compared must begin alike. The scheduler is used
    up by the run. Of a DDIM scheduler ``steps`` may be the timesteps themselves, falling, to predict at; such a run is
    not advanced.
    """

    def __init__(
        self,
        scheduler: Any,
        steps: int | Sequence[int],
        strength: float | Sequence[Strength] = 1.0,
        device: torch.device | str = "cpu",
        begin: float = 0.0,
    ) -> None:
        self._scheduler = scheduler
        count = steps if isinstance(steps, int) else len(steps)
        try:
            scheduler.set_timesteps(count, device=device)
        except ValueError as error:
            raise UserError(f"The sampler cannot run {count} steps ({error}). Choose another number.") from error
        if not isinstance(steps, int):
            scheduler.timesteps = torch.tensor(steps, device=device)
        frames = [_parts(each) for each in ([strength] if isinstance(strength, int | float) else strength)]
        highest = max([begin, *(part for parts in frames for part, _ in parts)])
        first = _first(scheduler, count, highest)
        self._waits = [[(_first(scheduler, count, part) - first, share) for part, share in parts] for parts in frames]
        if hasattr(scheduler, "set_begin_index"):
            scheduler.set_begin_index(first)
        self.timesteps = scheduler.timesteps[first:]
        self._scales = [_coefficients(scheduler, first + k) for k in range(len(self))]
        self._renoise = _renoise(scheduler, len(self))
        self._kind = scheduler.config.get("prediction_type", "flow_prediction")
        self._source: Callable[[int], Tensor] | None = None
        self._noise: Noise | None = None

    def __len__(self) -> int:
        return len(self.timesteps)

    def coefficients(self, step: int) -> tuple[float, float]:
        """Return (A, S) of a step: its state is ``A x0 + S eps``."""
        return self._scales[step]

    def progress(self, step: int) -> float:
        """Return how far a step is from pure noise (0) to clean (1): ``1 - t / T``."""
        return 1.0 - float(self.timesteps[step]) / self._scheduler.config.num_train_timesteps

    def start(self, z: Tensor, noise: Noise) -> Tensor:
        """Return the state of the first step, for clean latents ``z`` (N, C, h, w); ``z`` itself where no step runs."""
        self._source, self._noise = partial(self._noised, z), noise
        return self._source(0)

    def follow(self, z: Tensor, states: Callable[[int], Tensor]) -> Tensor:
        """Return the state of the first step of ``states``, of clean latents ``z`` that were traced back to noise.

        ``states(step)`` (N, C, h, w) is known of every step: what has to wait is it, not ``z`` under noise.
        """
        self._source = lambda step: states(step) if step < len(self) else z
        return self._source(0)

    def input(self, x: Tensor, step: int) -> Tensor:
        """Return ``x`` as the network wants it (sigma schedulers scale it)."""
        if not hasattr(self._scheduler, "scale_model_input"):
            return x
        return self._scheduler.scale_model_input(x, self.timesteps[step])

    def predict(self, output: Tensor, x: Tensor, step: int) -> Prediction:
        """Return what a network's ``output`` for the state ``x`` says of the clean latents and of the noise."""
        A, S = self._scales[step]
        output, x = output.float(), x.float()
        if self._kind == "epsilon":
            return Prediction((x - S * output) / A, output, output)
        if self._kind == "sample":
            return Prediction(output, (x - A * output) / S, output)
        if self._kind == "v_prediction":
            a, s, x = _unit(A, S, x)
            return Prediction(a * x - s * output, s * x + a * output, output)
        return Prediction(x - S * output, x + A * output, output)

    def advance(
        self, x: Tensor, prediction: Prediction, step: int, x0: Tensor | None = None, rule: Rule = "keep_noise"
    ) -> Tensor:
        """Return the state of the next step; after the last, clean latents.

        ``x0`` replaces the predicted clean latents. By "keep_noise" (Rerender A Video) the predicted noise stays and
        the state is moved: the edit counts in full. By "keep_sample" (DiffSynth) the state stays and the noise is
        explained anew: a gentle push, 15 to 35 % of the edit at 20 steps.
        """
        output = prediction.output
        if x0 is not None and rule == "keep_noise":
            A, S = self._scales[step]
            x, output = A * x0 + S * prediction.noise, self._output(x0, prediction.noise, step)
        elif x0 is not None:
            A, S = self._scales[step]
            output = self._output(x0, (x - A * x0) / S, step)
        return self._hold(self._step(output, x, step), step + 1)

    def _output(self, x0: Tensor, noise: Tensor, step: int) -> Tensor:
        """Return the network output that says (x0, noise); the inverse of :meth:`predict`."""
        if self._kind == "epsilon":
            return noise
        if self._kind == "sample":
            return x0
        if self._kind == "v_prediction":
            a, s, _ = _unit(*self._scales[step], x0)
            return a * noise - s * x0
        return noise - x0

    def _step(self, output: Tensor, x: Tensor, step: int) -> Tensor:
        """Let the scheduler step; where it adds noise of its own, put the run's noise in its place."""
        t, weight = self.timesteps[step], self._renoise[step]
        if weight == 0.0:
            return self._scheduler.step(output, t, x, return_dict=False)[0]
        seeded = [torch.Generator().manual_seed(0) for _ in range(len(x))]
        following = self._scheduler.step(output, t, x, generator=seeded, return_dict=False)[0]
        drawn = torch.randn(x[:1].shape, generator=torch.Generator().manual_seed(0)).to(x)
        return following + weight * (self._noise_at(step + 1).to(x) - drawn)

    def _hold(self, x: Tensor, step: int) -> Tensor:
        """Keep what has its turn after ``step`` as its source is there, cells that are shared by their shares."""
        waiting = [[share for wait, share in parts if wait >= step] for parts in self._waits]
        if self._source is None or not any(waiting):
            return x
        nothing = torch.zeros(x.shape[-2:])
        held = torch.stack([sum(shares, nothing) for shares in waiting]).unsqueeze(1).to(x)
        return torch.lerp(x, self._source(step).to(x), held)

    def _noised(self, z: Tensor, step: int) -> Tensor:
        if step == len(self):
            return z
        A, S = self._scales[step]
        return A * z + S * self._noise_at(0).to(z)

    def _noise_at(self, stream: int) -> Tensor:
        if self._noise is None:
            raise RuntimeError("the sampler has not been started")
        return self._noise(stream)

def _parts(strength: Strength) -> Sequence[tuple[float, Tensor]]:
    return [(strength, torch.ones(()))] if isinstance(strength, int | float) else strength


def _first(scheduler: Any, steps: int, strength: float) -> int:
    """Return the schedule's entry at which a run of that strength begins; its length for strength 0."""
    if strength <= 0:
        return len(scheduler.timesteps)
    kept = max(1, min(int(steps * strength + 1e-6), steps))  # 0.29 * 100 is 28.999...
    return (steps - kept) * scheduler.order


def _unit(A: float, S: float, x: Tensor) -> tuple[float, float, Tensor]:
    """Return A, S and x scaled so that A² + S² = 1, the form in which velocity is defined (Salimans and Ho 2022)."""
    norm = (A * A + S * S) ** 0.5
    return A / norm, S / norm, x / norm


def _coefficients(scheduler: Any, index: int) -> tuple[float, float]:
    """Return (A, S) of the schedule's entry ``index``, by asking the scheduler to noise a 1 and a 0."""
    probe = copy.copy(scheduler)
    if hasattr(probe, "set_begin_index"):
        probe.set_begin_index(index)
    one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    t = scheduler.timesteps[index : index + 1].cpu()
    if hasattr(probe, "add_noise"):
        return float(probe.add_noise(one, zero, t)), float(probe.add_noise(zero, one, t))
    return float(probe.scale_noise(one, t, zero)), float(probe.scale_noise(zero, t, one))


def _renoise(scheduler: Any, count: int) -> list[float]:
    """Return the weight of the noise that the scheduler adds after each of the next ``count`` steps (0: none).

    A step is linear in the state, the output and the noise: with the first two zero, the weight is what comes out.
    """
    if "generator" not in inspect.signature(scheduler.step).parameters:
        return [0.0] * count
    probe, zero = copy.deepcopy(scheduler), torch.zeros(1, 1, 1, 1)
    probe.is_scale_input_called = True  # or sigma schedulers warn
    drawn = torch.randn(zero.shape, generator=torch.Generator().manual_seed(0))
    weights = []
    for t in probe.timesteps[len(probe.timesteps) - count :]:
        following = probe.step(zero, t, zero, generator=torch.Generator().manual_seed(0), return_dict=False)[0]
        weights.append(float(following / drawn))
    return weights


def gaussian_noise(shape: Sequence[int], seeds: Sequence[int]) -> Noise:
    """Return independent white noise: frame n of every stream is (C, h, w) numbers that ``seeds[n]`` alone decides.

    Frames of equal seeds share their noise, in every stream; that is how all frames of a shot start alike.
    """

    def noise(stream: int) -> Tensor:
        rows = [torch.randn(*shape, generator=torch.Generator().manual_seed(mixed(seed, stream))) for seed in seeds]
        return torch.stack(rows)

    return noise


def mixed(seed: int, *numbers: int) -> int:
    """Return a 63-bit seed made of ``seed`` and further whole numbers, such as a frame's, that may be negative."""
    words = [number & 0xFFFFFFFFFFFFFFFF for number in (seed, *numbers)]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def fuse_noised(x: Tensor, noise: Tensor, target: Tensor, weight: Tensor, inner: float | Tensor = 1.0) -> Tensor:
    """Blend a noised ``target`` into the state ``x`` by ``weight`` in [0, 1] and keep the noise's strength.

    ``noise`` is the part of ``x`` that is noise, S eps. A plain blend of two independent noises is weaker than either
    (0.5 of the variance in the middle), which denoises to blur: x's own noise is kept at ``inner * sqrt(1 - w²)``, at
    least at its share ``1 - w`` (Rerender A Video, section 4.2.2; the variance is 1 at inner 1).
    """
    kept = torch.maximum(1 - weight, inner * torch.sqrt(1 - weight**2))
    return weight * target + (1 - weight) * (x - noise) + kept * noise
