"""The settings of Rerender A Video."""

from __future__ import annotations

from dataclasses import dataclass

from .declaration import setting
from .diffusion import DiffusionSettings, MotionSettings
from .propagation import PropagationSettings

FUSED = 0.5, 0.8  # from which progress to which the published presets fuse pixels, for which they run twice


@dataclass(frozen=True)
class RerenderSettings(PropagationSettings, MotionSettings, DiffusionSettings):
    """A few key frames through a diffusion model, each held to those before it, and carried to all other frames."""

    key_choice: str = setting(
        "uniform", "Key Frames", "Which frames go through the model",
        choices=(
            ("uniform", "Uniform", "Evenly spaced ones, and those that you painted"),
            ("coverage", "By Coverage", "The same number, but those that together show most of the shot"),
            ("own", "Only Mine", "None: the key frames that you painted are carried to all others"),
        ),
    )  # fmt: skip
    key_distance: int = setting(
        10, "Key Distance", "Most frames from one key frame to the next: less is slower and follows changes better",
        low=1, high=1000, soft_low=5, soft_high=20, unit="frames",
    )  # fmt: skip
    preset: str = setting(
        "exact", "Constraints", "When and how strictly a key frame is held to those before it",
        choices=(
            ("exact", "Exact Motion", "As in the paper, with masks and colours as tight as exact motion allows"),
            ("paper", "Paper", "As in the paper, with masks wide enough for the errors of estimated motion"),
            ("released", "Released", "As in the authors' own configuration: like the paper, colours not matched"),
        ),
    )  # fmt: skip
    cross_attention: bool = setting(
        True, "Look at Keys", "Key frames look at those before them, which keeps the style the same", section="advanced"
    )
    pixel_fusion: bool = setting(
        True,
        "Fuse Pixels",
        "Key frames take over what those before them show, moved along the motion",
        section="advanced",
    )
    fidelity: bool = setting(
        True, "Keep Detail", "Make up for what the model's autoencoder loses of what is taken over", section="advanced"
    )
    finish: bool = setting(
        True, "Carry Strokes",
        "Key frames take over the finished strokes of those before them too: they change less from one to the next",
        section="advanced", needs=("preset", "exact"),
    )  # fmt: skip

    def evaluations(self, frames: int) -> int:
        """Return about how many evaluations ``frames`` take: of key frames, and of their rough pictures."""
        if self.key_choice == "own":
            return 0
        whole = super().evaluations(-(-(frames - 1) // self.key_distance) + 1)
        if not self.pixel_fusion or self.preset == "exact" or not self.strength:
            return whole
        first, last = FUSED  # a run begins at a progress of 1 - strength
        return whole + round(whole * max(0.0, last - max(first, 1 - self.strength)) / self.strength)
