"""What each frame of a shot is conditioned on, as the settings of every diffusion method say it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from ..bridge.errors import UserError
from ..bridge.settings.diffusion import DiffusionSettings
from ..diffusion.conditioning import Condition
from ..diffusion.pictures import pad, to_tensor
from ..diffusion.protocol import Model
from ..shot.controls import ControlMaps
from ..shot.pictures import read_picture
from ..shot.shot import Shot


class Conditions:
    """The conditions of a shot's frames, made when asked for; control images are drawn by ``maps``.

    Raises UserError where the shot has no data for a control that the settings ask for, or no style image is chosen.
    """

    def __init__(
        self, shot: Shot, model: Model, settings: DiffusionSettings,
        maps: Callable[[Shot, Sequence[str]], ControlMaps] = ControlMaps,
    ) -> None:
        self._model, self._kinds = model, model.info.controls
        self._maps = maps(shot, self._kinds)
        weights = [weight for _, _, weight in settings.controls]
        self._weights = tuple(weights or [settings.control_scale] * len(self._kinds))  # none chosen: the model's own
        self._text, self._negative = model.encode_text([settings.prompt, settings.negative_prompt])
        if settings.style_adapter:
            if not settings.style_image:
                raise UserError("The style adapter has no picture to look at. Choose a style image, or no adapter.")
            picture, _ = read_picture(Path(settings.style_image))
            self._text, self._negative = model.encode_style(to_tensor(picture), self._text, self._negative)

    def __getitem__(self, frame: int) -> Condition:
        """Return the condition of ``frame``."""
        controls = tuple(prepared(self._maps.image(kind, frame), self._model) for kind in self._kinds)
        return Condition(self._text, self._negative, controls, self._weights)


def prepared(image: np.ndarray, model: Model) -> Tensor:
    """Return a picture (H, W, 3) as a tensor (3, H', W') in [0, 1] whose sides the model can take."""
    return to_tensor(pad(image, model.info.multiple))
