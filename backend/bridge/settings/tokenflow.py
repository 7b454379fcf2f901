"""The settings of TokenFlow."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .declaration import setting
from .diffusion import DiffusionSettings, MotionSettings

PAPER: dict[str, Any] = {
    "editor": "pnp", "correspondence": "features", "key_draw": "random", "weighting": "logistic", "finish": False,
    "inversion_fineness": 10, "feature_share": 0.8, "attention_share": 0.5,
}  # fmt: skip


@dataclass(frozen=True)
class TokenFlowSettings(MotionSettings, DiffusionSettings):
    """Key frames edited together, their inner features carried to all other frames (arXiv 2307.10373)."""

    preset: str = setting(
        "exact", "Preset", "Where the settings below come from",
        choices=(
            ("exact", "Exact Motion", "As set below; untouched, they are made for exact motion and small cost"),
            ("paper", "Paper", "As published: Plug-and-Play, and correspondence by the render's features; slow"),
        ),
    )
    editor: str = setting(
        "sdedit", "Editor", "What makes a single picture new, before frames are made to agree",
        choices=(
            ("sdedit", "SDEdit", "The render is noised as far as Strength says and painted anew"),
            ("controlnet", "ControlNet", "From noise alone: only the ControlNets say what is where"),
            ("pnp", "Plug-and-Play", "The render is traced back to its noise, and its features are held while it is "
             "painted anew: the layout stays, slow; always samples with DDIM"),
        ),
    )
    correspondence: str = setting(
        "auto", "Correspondence", "How it is known which features of different frames belong together",
        choices=(
            ("auto", "Automatic", "Motion for rendered scenes, features for footage"),
            ("motion", "Motion", "Along the motion between the frames"),
            ("features", "Features", "By the most similar features of the render, as in the paper; needs half as much "
             "work again, and errs where the picture is blank or repeats itself"),
        ),
        section="motion",
    )
    key_spacing: int = setting(
        8, "Key Spacing", "Frames for each key frame: more is faster, and carries features farther",
        low=1, high=1000, soft_high=32,
    )
    key_draw: str = setting(
        "random", "Key Frames", "Which frames are keys",
        choices=(
            ("random", "Random", "Others at every step, so that all frames take part in the whole"),
            ("fixed", "Fixed", "The same at every step: what lies between keys agrees less; to compare with"),
        ),
    )
    joint_keys: int = setting(
        5, "Keys Together", "Key frames that look at each other at once, and other frames worked on at once; "
        "more agree better over a long shot and need more memory", low=1, high=1000, soft_high=16,
    )
    weighting: str = setting(
        "linear", "Weighting", "How a frame passes over from one key frame to the next",
        choices=(
            ("linear", "Linear", "Evenly, and without a jump at the keys"),
            ("logistic", "Logistic", "As in the paper: both keys always count, and the weights jump at the keys"),
        ),
    )
    finish: bool = setting(
        True, "Carry Result",
        "Carry the finished strokes along the motion too, which are finer than what the network's features make agree",
    )
    noise: str = setting(
        "shared", "Noise", "Which noise each frame starts from",
        choices=(
            ("fresh", "Fresh", "New noise for every frame: only the features make them agree"),
            ("shared", "Shared", "The same noise in every frame: steadier, but it sticks to the screen"),
            ("anchored", "Anchored", "Noise that sticks to the surfaces; needs render data"),
        ),
    )
    source_prompt: str = setting(
        "", "Source Prompt", "What the render shows, in words; for features and Plug-and-Play", section="advanced",
    )
    inversion_fineness: int = setting(
        5, "Inversion Steps", "For Plug-and-Play: steps of tracing the render back to noise, for each denoising step",
        low=1, high=100, soft_high=20, section="advanced", needs=("editor", "pnp"),
    )
    feature_share: float = setting(
        0.8, "Hold Features", "For Plug-and-Play: share of the run in which the render's features are held",
        low=0.0, high=1.0, subtype="FACTOR", section="advanced", needs=("editor", "pnp"),
    )
    attention_share: float = setting(
        0.5, "Hold Attention", "For Plug-and-Play: share of the run in which the render's self-attention is held",
        low=0.0, high=1.0, subtype="FACTOR", section="advanced", needs=("editor", "pnp"),
    )

    def resolved(self) -> TokenFlowSettings:
        """Return the settings that count: these, or under the preset "paper" with the published choices in them."""
        return self if self.preset == "exact" else dataclasses.replace(self, preset="exact", **PAPER)

    def evaluations(self, frames: int) -> int:
        """Return how many evaluations ``frames`` take: as many as one by one, and the source's where it is asked."""
        chosen, streams = self.resolved(), 2 if self.guidance > 1.0 else 1
        edits = DiffusionSettings.evaluations(chosen, frames)
        asked = chosen.editor == "pnp" or chosen.correspondence == "features"
        inversion = chosen.inversion_fineness if chosen.editor == "pnp" else 0
        return edits + edits // streams * (asked + inversion)
