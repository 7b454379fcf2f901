"""The settings of Synchronized Multi-Frame Diffusion."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from .declaration import setting
from .diffusion import DiffusionSettings, MotionSettings
from .propagation import PropagationSettings

PAPER: dict[str, Any] = {
    "motion": "estimated", "fusion": "pixels", "semantic_reconstruction": 0.5, "detail_refinement": 1.0,
    "blending": "seamless", "confidence": 0.0, "noise": "shared", "rule": "keep_noise", "keep_contrast": False,
    "final_fusion": False,
}  # fmt: skip
EXACT = ("preset", "exact")  # shown under that preset alone: under the other it does not count


@dataclass(frozen=True)
class SynchronizedSettings(PropagationSettings, MotionSettings, DiffusionSettings):
    """All frames of a window denoised in step, made one by the multi-frame fusion module."""

    preset: str = setting(
        "exact", "Preset", "Where the settings below come from",
        choices=(
            ("exact", "Exact Motion", "As set below; untouched, they are made for exact motion and small cost"),
            ("paper", "Paper", "As published: fused as pictures along estimated flow at every step; slow"),
        ),
    )
    fusion: str = setting(
        "latents", "Multi-Frame Fusion", "As what the frames are fused at each step",
        choices=(
            ("latents", "Latents", "Hardly slower than frame by frame; softer where motion is finer than a cell"),
            ("tiny", "Tiny Autoencoder", "As pictures of a small autoencoder: sharper than latents, a little slower"),
            ("pixels", "Pixels", "As pictures of the model's own autoencoder: sharpest, two to three times slower"),
        ),
        needs=EXACT,
    )
    tiny_autoencoder: str = setting(
        "", "Tiny Autoencoder", "Folder of an AutoencoderTiny that fits the model, such as TAESD", subtype="DIR_PATH",
        needs=("fusion", "tiny"),
    )
    semantic_reconstruction: float = setting(
        0.1, "Semantic Reconstruction",
        "For this share of the run all frames average what they see of a surface: longer agrees more, and looks softer",
        low=0.0, high=1.0, subtype="FACTOR", section="advanced", needs=EXACT,
    )
    detail_refinement: float = setting(
        0.35, "Detail Refinement",
        "From there up to this share one frame at a time hands its details to the others; then each is on its own",
        low=0.0, high=1.0, subtype="FACTOR", section="advanced", needs=EXACT,
    )
    blending: str = setting(
        "screened", "Poisson Blending", "How regions of different frames are joined",
        choices=(
            ("screened", "Screened", "Short seams dissolve, larger areas keep their colour"),
            ("seamless", "Seamless", "Pasted areas take the colours around them; slow (Pérez et al.)"),
            ("none", "None", "Regions meet as they are: seams may show"),
        ),
        section="advanced", needs=EXACT,
    )
    seam: float = setting(
        2.0, "Seam Width", "How far a screened seam dissolves, in pixels of what is fused",
        low=0.0, high=32.0, soft_high=8.0, section="advanced", needs=("blending", "screened"),
    )
    confidence: float = setting(
        6.0, "Confidence",
        "How much frames that see a surface closer and straighter outweigh the others by the end of the reconstruction",
        low=0.0, high=16.0, soft_high=8.0, section="advanced", needs=EXACT,
    )
    keep_contrast: bool = setting(
        True, "Keep Contrast", "Give averages back the contrast that averaging takes: more alive, less soft",
        section="advanced", needs=EXACT,
    )
    rule: str = setting(
        "carry_noise", "Edit", "How firmly a fused picture enters the denoising",
        choices=(
            ("carry_noise", "Firm, Noise Carried", "In full, and the noise goes with the details: keeps most of them"),
            ("keep_noise", "Firm", "In full, over each frame's own noise: frames agree at once, and look softer"),
            ("keep_sample", "Gentle", "By a share of it at each step: frames keep more of their own, and agree less"),
        ),
        section="advanced", needs=EXACT,
    )
    noise: str = setting(
        "shared", "Noise", "Which noise each frame starts from",
        choices=(
            ("fresh", "Fresh", "New noise for every frame: only the fusion makes them agree"),
            ("shared", "Shared", "The same noise in every frame: they begin alike"),
            ("anchored", "Anchored", "Noise that sticks to the surfaces; needs render data"),
        ),
        needs=EXACT,
    )
    window: int = setting(
        8, "Window", "Frames denoised in step: more agree over a longer time, and need more memory",
        low=3, high=64, soft_high=16, unit="frames", section="advanced",
    )
    key_every: int = setting(
        1, "Key Every", "Denoise only every so many frames, and carry them to those between: faster, less alive",
        low=1, high=100, soft_high=12, unit="frames",
    )
    final_fusion: bool = setting(
        True, "Final Fusion",
        "Fuse the finished pictures once more: strokes stay where they are on the surfaces, light and shade move on",
        needs=EXACT,
    )

    def evaluations(self, frames: int) -> int:
        """Return how many evaluations a shot of so many frames takes: those of its key frames."""
        return super().evaluations(-(-(frames - 1) // self.key_every) + 1)

    def resolved(self) -> SynchronizedSettings:
        """Return the settings that count: these, or under the preset "paper" with the published choices in them."""
        return self if self.preset == "exact" else dataclasses.replace(self, **PAPER)
