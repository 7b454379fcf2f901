"""The settings that all methods with a diffusion model share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from .declaration import Group, setting

CONTROLS = (
    ("depth", "Depth", "Distance from the camera, one range for the whole shot"),
    ("normal", "Normal", "Surface direction seen from the camera"),
    ("lines", "Lines", "Edges of depth, normals and objects; of the picture where there is no render data"),
    ("softedge", "Soft Edges", "The same edges, drawn soft"),
    ("edges", "Picture Edges", "Edges of the picture itself, as Canny finds them"),
    ("tile", "Tile", "The picture itself"),
)


@dataclass(frozen=True)
class DiffusionSettings(Group):
    """What every method that runs a diffusion model is told."""

    prompt: str = setting(
        "", "Prompt",
        "What the picture should look like, in words. A marker 'prompt: at night' changes it from there on, "
        "a text strip named 'prompt' while it lasts", section="style", over_time=True,
    )
    negative_prompt: str = setting(
        "", "Negative Prompt", "What the picture should not look like, in words", section="style",
        over_time=True,
    )
    strength: float = setting(
        0.6, "Strength", "How far the picture may leave the render: 0 returns the render, 1 starts from noise",
        low=0.0, high=1.0, subtype="FACTOR", section="style", over_time=True,
    )
    style_adapter: str = setting(
        "", "Style Adapter", "An IP-Adapter file with its image_encoder folder beside it; empty for none",
        subtype="FILE_PATH", section="style",
    )
    style_image: str = setting(
        "", "Style Image", "The picture that the style adapter looks at", subtype="FILE_PATH",
        section="style", needs=("style_adapter",),
    )
    style_scale: float = setting(
        0.6, "Style Weight", "How much the style image counts beside the prompt", low=0.0, high=2.0, soft_high=1.0,
        section="style", needs=("style_adapter",),
    )
    model: str = setting(
        "", "Model",
        "Folder of a diffusers model or a .safetensors file, of Stable Diffusion 1.5, 2.1, XL or 3; empty for the "
        "starter that comes with Tempera",
        subtype="DIR_PATH", section="model",
    )
    base_model: str = setting(
        "", "Base", "For a model in a single file: folder of any diffusers model of the same family",
        subtype="DIR_PATH", section="model",
    )
    controlnet: str = setting(
        "", "ControlNet", "Folder of a ControlNet that fits the model; empty for none", subtype="DIR_PATH",
        section="control",
    )
    control: str = setting("depth", "Control", "What guides the ControlNet", choices=CONTROLS, section="control")
    control_scale: float = setting(
        1.0, "Control Weight", "How strictly the picture follows the control image", low=0.0, high=4.0, soft_high=2.0,
        section="control", over_time=True,
    )
    controlnet_2: str = setting(
        "", "Second ControlNet", "Folder of another ControlNet; empty for none", subtype="DIR_PATH", section="control",
    )
    control_2: str = setting(
        "lines", "Second Control", "What guides the second ControlNet", choices=CONTROLS, section="control",
        needs=("controlnet_2",),
    )
    control_scale_2: float = setting(
        1.0, "Second Weight", "How strictly the picture follows the second control image",
        low=0.0, high=4.0, soft_high=2.0, section="control", needs=("controlnet_2",), over_time=True,
    )
    lora: str = setting(
        "", "LoRA", "A LoRA file that fits the model; empty for none", subtype="FILE_PATH", section="model",
    )
    lora_scale: float = setting(
        1.0, "LoRA Weight", "How much of the LoRA is added to the model",
        low=-4.0, high=4.0, soft_low=0.0, soft_high=1.5, section="model", needs=("lora",),
    )
    lora_2: str = setting(
        "", "Second LoRA", "Another LoRA, added to the first; empty for none", subtype="FILE_PATH", section="model",
        needs=("lora",),
    )
    lora_scale_2: float = setting(
        1.0, "Second Weight", "How much of the second LoRA is added to the model",
        low=-4.0, high=4.0, soft_low=0.0, soft_high=1.5, section="model", needs=("lora_2",),
    )
    lora_3: str = setting(
        "", "Third LoRA", "Another LoRA, added to the others; empty for none", subtype="FILE_PATH", section="model",
        needs=("lora_2",),
    )
    lora_scale_3: float = setting(
        1.0, "Third Weight", "How much of the third LoRA is added to the model",
        low=-4.0, high=4.0, soft_low=0.0, soft_high=1.5, section="model", needs=("lora_3",),
    )
    sampler: str = setting(
        "auto", "Sampler", "The way from noise to the picture",
        choices=(
            ("auto", "Automatic", "The one that the model was made for"),
            ("ddim", "DDIM", "Deterministic; the papers' choice"),
            ("euler", "Euler", "Deterministic, first order"),
            ("dpm++", "DPM++ 2M", "Deterministic, second order: good at 15 to 25 steps"),
            ("unipc", "UniPC", "Deterministic, second order: good at 10 to 20 steps"),
            ("lcm", "LCM", "For models and LoRAs distilled to 4 to 8 steps"),
        ),
        section="sampling",
    )
    steps: int = setting(
        20, "Steps", "Denoising steps: more is slower and cleaner", low=1, high=1000, soft_high=50, section="sampling",
    )
    guidance: float = setting(
        7.5, "Guidance", "How strictly the picture follows the prompt (classifier-free guidance scale)",
        low=0.0, high=50.0, soft_low=1.0, soft_high=15.0, section="sampling", over_time=True,
    )
    def evaluations(self, frames: int) -> int:
        """Return how many evaluations ``frames`` take one by one: a step two, with the negative prompt's."""
        steps = math.ceil(self.steps * self.strength)
        return frames * steps * (2 if self.guidance > 1.0 else 1)

    @property
    def controls(self) -> tuple[tuple[str, str, float], ...]:
        """The ControlNets in use: what each wants to see, its folder, its weight."""
        slots = (
            (self.control, self.controlnet, self.control_scale),
            (self.control_2, self.controlnet_2, self.control_scale_2),
        )
        return tuple(slot for slot in slots if slot[1])

    @property
    def loras(self) -> tuple[tuple[str, float], ...]:
        """The LoRAs in use: the file of each and its weight."""
        slots = ((self.lora, self.lora_scale), (self.lora_2, self.lora_scale_2), (self.lora_3, self.lora_scale_3))
        return tuple(slot for slot in slots if slot[0])


@dataclass(frozen=True)
class MotionSettings(Group):
    """What methods that carry pictures along motion are told beside: name it before DiffusionSettings as a base."""

    joins: ClassVar[bool] = True
    motion: str = setting(
        "exact", "Motion", "How it is known which pixels of different frames show the same point",
        choices=(
            ("exact", "Exact", "From the scene's render data; estimated where the shot is footage"),
            ("estimated", "Estimated", "From the pictures alone: repeated or blank areas drift; to compare with"),
        ),
        section="motion",
    )
