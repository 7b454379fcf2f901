"""The settings of DiffSynth."""

from __future__ import annotations

from dataclasses import dataclass

from .declaration import setting
from .deflicker import BlendSettings
from .diffusion import DiffusionSettings, MotionSettings


@dataclass(frozen=True)
class DiffsynthSettings(BlendSettings, MotionSettings, DiffusionSettings):
    """All frames denoised side by side, and deflickered as pictures on the way."""

    deflicker_every: int = setting(
        6, "Deflicker Every", "After every so many steps the frames are deflickered: less is slower; 0 for never",
        low=0, high=1000, soft_high=20, unit="steps",
    )
    finish: bool = setting(True, "Deflicker Result", "Deflicker the finished frames once more")
    attention: bool = setting(
        True, "Look Across Frames",
        "Let every frame look at the first and the previous one in the first half of the steps", section="advanced",
    )
    noise: str = setting(
        "shared", "Noise", "Which noise the frames start from",
        choices=(
            ("shared", "Shared", "The same noise in every frame: steadier, but it sticks to the screen"),
            ("anchored", "Anchored", "Noise that sticks to the surfaces; needs render data"),
        ),
    )
