"""The settings of deflickering, alone and inside DiffSynth."""

from __future__ import annotations

from dataclasses import dataclass

from .declaration import Group, setting
from .diffusion import MotionSettings


@dataclass(frozen=True)
class BlendSettings(Group):
    """How frames are made to agree, for every method that deflickers."""

    blend: str = setting(
        "strokes", "Blend", "What becomes of strokes that differ from frame to frame",
        choices=(
            ("strokes", "Keep Strokes", "Every surface keeps the strokes of one frame of the window: stays sharp"),
            ("mean", "Mean", "The mean of the window along the motion: takes noise away, and blurs what differs"),
            ("patches", "Patch Blending", "The mean of the window along matching patches, as DiffSynth does; slow"),
        ),
    )
    window: int = setting(
        30, "Window", "Frames before and after that a frame is made to agree with", low=1, high=10000, soft_high=120,
        unit="frames",
    )


@dataclass(frozen=True)
class DeflickerSettings(BlendSettings, MotionSettings):
    """Takes the flicker out of frames that are stylized already."""

    stylized: str = setting(
        "", "Stylized Frames",
        "Folder of stylized frames of this shot, named 000001.png and so on; empty to deflicker the shot's own",
        subtype="DIR_PATH",
    )
