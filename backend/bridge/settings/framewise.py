"""The settings of the baseline."""

from __future__ import annotations

from dataclasses import dataclass

from .declaration import setting
from .diffusion import DiffusionSettings


@dataclass(frozen=True)
class FramewiseSettings(DiffusionSettings):
    """Each frame alone through a diffusion model: the flickering baseline."""

    noise: str = setting(
        "fresh", "Noise", "Which noise each frame starts from",
        choices=(
            ("fresh", "Fresh", "New noise for every frame: every frame differs"),
            ("shared", "Shared", "The same noise in every frame: steadier, but it sticks to the screen"),
            ("anchored", "Anchored", "Noise that sticks to the surfaces; needs render data"),
        ),
    )
