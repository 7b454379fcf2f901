"""What each frame of a shot is conditioned on, as the settings of every diffusion method say it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from ..bridge.errors import UserError
from ..bridge.settings import Settings
from ..bridge.settings.diffusion import DiffusionSettings
from ..diffusion.conditioning import Condition, Region, Text
from ..diffusion.pictures import pad, to_tensor
from ..diffusion.protocol import Model
from ..diffusion.sampling import Strength
from ..shot.controls import ControlMaps
from ..shot.pictures import read_picture
from ..shot.shot import Shot
from .objects import Objects


class Conditions:
    """The conditions of a shot's frames, made when asked for; control images are drawn by ``maps``.

    Words, weights and strengths are those that ``settings`` have at a frame, and of the objects that are told some.
    Raises UserError where the shot has no data for a control or for objects, or no style image is chosen.
    """

    def __init__(
        self, shot: Shot, model: Model, settings: Settings,
        maps: Callable[[Shot, Sequence[str]], ControlMaps] = ControlMaps,
    ) -> None:
        self._model, self._settings, self._kinds = model, settings, model.info.controls
        self._maps = maps(shot, self._kinds)
        self._objects = Objects(shot, settings.objects)
        multiple, factor = model.info.multiple, model.codec.factor
        self._shape = -(-shot.height // multiple) * multiple // factor, -(-shot.width // multiple) * multiple // factor
        self._texts, self._negatives = encoded(model, settings)
        self._guided = model.info.guidance_inside or max(self._ever("guidance")) > 1.0

    def __getitem__(self, frame: int) -> Condition:
        """Return the condition of ``frame``."""
        chosen = diffusion(self._settings.at(frame))
        controls = tuple(prepared(self._maps.image(kind, frame), self._model) for kind in self._kinds)
        weights = [weight for _, _, weight in chosen.controls]
        weights = weights or [chosen.control_scale] * len(self._kinds)  # none chosen: the model's own
        text, negative = self._texts[chosen.prompt], self._negatives[chosen.negative_prompt]
        guidance = chosen.guidance if self._guided else None
        return Condition(text, negative, controls, tuple(weights), self._regions(frame, text), guidance)

    def strengths(self, frames: Sequence[int]) -> list[Strength]:
        """Return how strongly each of ``frames``, and each object in it, is painted anew."""
        return [self._strength(frame) for frame in frames]

    @property
    def begin(self) -> float:
        """The highest strength of any frame and object: where runs begin whose steps are compared."""
        told = self._settings.objects
        factor = max([1.0, *(each.strength for each in told if not each.kept)])
        return min(1.0, factor * max(self._ever("strength")))

    def _ever(self, name: str) -> list[float]:
        """Return the values that the setting ``name`` has at any frame."""
        over = [values[name] for values in self._settings.over_time.values() if name in values]
        return [getattr(self._settings.chosen, name), *over]

    def _strength(self, frame: int) -> Strength:
        """Return the strength of a frame, and those of its objects where they have their own: multiples, at most 1."""
        whole = diffusion(self._settings.at(frame)).strength
        own = [0.0 if told.kept else min(1.0, whole * told.strength) for told in self._objects.told]
        if all(each == whole for each in own):
            return whole
        cells = self._cells(frame)
        return [(whole, 1 - cells.sum(0)), *zip(own, cells, strict=True)]

    def _regions(self, frame: int, text: Text) -> tuple[Region, ...]:
        """Return where objects have words of their own; where they have but a negative, ``text`` holds."""
        spoken = [(row, told) for row, told in enumerate(self._objects.told) if told.spoken]
        if not spoken:
            return ()
        cells = self._cells(frame)
        return tuple(
            Region(
                self._texts[told.prompt] if told.prompt else text,
                cells[row],
                self._negatives[told.negative_prompt] if told.negative_prompt else None,
            )
            for row, told in spoken
        )

    def _cells(self, frame: int) -> Tensor:
        """Return the mattes of the objects that are told something, on the latents' cells (entries, h, w)."""
        return torch.from_numpy(self._objects.cells(frame, self._shape, self._model.codec.factor))


def diffusion(settings: Settings) -> DiffusionSettings:
    """Return the settings of the chosen method, which runs a diffusion model."""
    return cast(DiffusionSettings, settings.chosen)


def encoded(model: Model, settings: Settings) -> tuple[dict[str, Text], dict[str, Text]]:
    """Return all prompts of a run, and all negative prompts, as texts by their words.

    They are encoded together, which makes them equally long. UserError where a style adapter has no picture.
    """
    chosen, words = diffusion(settings), []
    for name in ("prompt", "negative_prompt"):
        changing = [values[name] for values in settings.over_time.values() if name in values]
        words.append([getattr(chosen, name), *changing, *(getattr(told, name) for told in settings.objects)])
    every = list(dict.fromkeys(words[0] + words[1]))
    texts = dict(zip(every, model.encode_text(every), strict=True))
    positives, negatives = ({said: texts[said] for said in each} for each in words)
    if chosen.style_adapter:
        if not chosen.style_image:
            raise UserError("The style adapter has no picture to look at. Choose a style image, or no adapter.")
        picture, _ = read_picture(Path(chosen.style_image))
        styled, plain = model.encode_style(to_tensor(picture), texts[every[0]], texts[every[0]])
        positives = {said: replace(text, style=styled.style) for said, text in positives.items()}
        negatives = {said: replace(text, style=plain.style) for said, text in negatives.items()}
    return positives, negatives


def prepared(image: np.ndarray, model: Model) -> Tensor:
    """Return a picture (H, W, 3) as a tensor (3, H', W') in [0, 1] whose sides the model can take."""
    return to_tensor(pad(image, model.info.multiple))
