"""One prediction for many frames: classifier-free guidance, control images, objects with words of their own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from .attention import Call
from .conditioning import Condition, Text
from .protocol import Model
from .sampling import Sampler


class Conditions(Protocol):
    """The conditions of frames, by their numbers: a dictionary, or what makes them when asked for."""

    def __getitem__(self, frame: int, /) -> Condition:
        """Return the condition of ``frame``."""
        ...


class Denoiser:
    """Asks a model for its guided output at a step, for any of the frames in ``conditions``.

    Without guidance a prediction costs half. ``batch`` frames go through the network at once: 1 makes
    every frame's result independent of its neighbours to the last bit, more is faster on a GPU.
    """

    def __init__(self, model: Model, sampler: Sampler, conditions: Conditions, batch: int = 1) -> None:
        self._model, self._sampler, self._conditions, self._batch = model, sampler, conditions, batch
        self.evaluations = 0

    def __call__(self, x: Tensor, step: int, frames: Sequence[int]) -> Tensor:
        """Return the guided outputs (N, C, h, w) for the states ``x`` (N, C, h, w) of ``frames`` at ``step``."""
        state, x = x, self._sampler.input(x, step)
        parts = [slice(start, start + self._batch) for start in range(0, len(frames), self._batch)]
        output = torch.cat([self._predict(x[part], step, frames[part]) for part in parts])
        if self._model.watch is not None:
            self._model.watch(frames, self._sampler.predict(output, state, step).x0)
        return output

    def _predict(self, x: Tensor, step: int, frames: Sequence[int]) -> Tensor:
        """Predict some frames in one evaluation: streams of all the frames, in the order of :meth:`_texts`."""
        conditions = [self._conditions[frame] for frame in frames]
        scales = torch.tensor([1.0 if each.guidance is None else each.guidance for each in conditions])
        guided = conditions[0].guidance is not None and not self._model.info.guidance_inside
        texts = _texts(conditions, guided)
        streams = len(texts) // len(conditions)
        controls = zip(*(condition.controls for condition in conditions), strict=True)
        weights = zip(*(condition.weights for condition in conditions), strict=True)
        images = [
            (torch.stack(some).repeat(streams, 1, 1, 1), torch.tensor(numbers).repeat(streams))
            for some, numbers in zip(controls, weights, strict=True)
        ]
        t = self._sampler.timesteps[step]
        if self._model.attention is not None:
            first = 0 if guided else 1
            labels = tuple(range(first, first + streams))
            self._model.attention.call = Call(float(t), tuple(frames), labels, (x.shape[2], x.shape[3]))
        self.evaluations += len(texts)
        predicted = self._model.predict(x.repeat(streams, 1, 1, 1), t, texts, images, scales.repeat(streams))
        outputs: Sequence[Tensor] = predicted.chunk(streams)
        if guided:
            outputs = _guide(outputs, conditions[0], scales.clamp_min(1.0))
        return _blend(outputs, conditions)


def _texts(conditions: Sequence[Condition], guided: bool) -> list[Text]:
    """Return the texts of all streams: [negative] positive [regions] [negatives that regions have of their own]."""
    if len({tuple(region.negative is None for region in condition.regions) for condition in conditions}) > 1:
        raise ValueError("frames that are predicted together must have the same regions; a matte may be empty")
    texts = [condition.negative for condition in conditions] if guided else []
    texts += [condition.text for condition in conditions]
    regions = list(zip(*(condition.regions for condition in conditions), strict=True))
    texts += [region.text for each in regions for region in each]
    if guided:
        texts += [region.negative for each in regions for region in each if region.negative is not None]
    return texts


def _guide(outputs: Sequence[Tensor], like: Condition, scales: Tensor) -> list[Tensor]:
    """Return the guided outputs of whole frames and of their regions, from those of all streams.

    ``scales`` (N,) is how far each frame is guided, and ``like`` the condition of one of them.
    """
    count = 2 + len(like.regions)
    base, own = outputs[0], iter(outputs[count:])
    bases = [base, *(base if region.negative is None else next(own) for region in like.regions)]
    scale, positive = scales.to(base).view(-1, 1, 1, 1), outputs[1:count]
    return [down + scale * (up - down) for down, up in zip(bases, positive, strict=True)]


def _blend(outputs: Sequence[Tensor], conditions: Sequence[Condition]) -> Tensor:
    """Lay the predictions of the regions over the first, the whole frame's, by their mattes, in order."""
    blended = outputs[0]
    for region, output in enumerate(outputs[1:]):
        matte = torch.stack([condition.regions[region].matte for condition in conditions]).unsqueeze(1).to(output)
        blended = blended + matte * (output - blended)
    return blended
