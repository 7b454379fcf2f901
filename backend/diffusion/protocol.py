"""What a method may ask of a model, whatever its family: the boundary at which families stop to differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from .attention import AttentionControl
from .conditioning import Text
from .latents import LatentCodec


@dataclass(frozen=True)
class Info:
    """What is known of a model before it runs.

    ``family`` is "sd", "sdxl" or "sd3". Pictures must have sides that are multiples of ``multiple`` px; the family was
    trained at about ``native`` px. ``controls`` names what each of its ControlNets wants to see, in order. A model
    with ``guidance_inside`` is distilled: it takes the guidance scale as an input and needs no negative prompt.
    """

    family: str
    native: int
    multiple: int
    controls: tuple[str, ...] = ()
    guidance_inside: bool = False


Images = Sequence[tuple[Tensor, Tensor]]
Watch = Callable[[Sequence[int], Tensor], None]


class Model(Protocol):
    """A latent diffusion model: words and pictures in, predictions out.

    ``codec`` is the way between pictures and latents, ``device`` where the network runs; ``attention`` takes its
    self-attention in hand, None in families that have no layers of it alone. ``evaluations`` counts the rows that it
    predicted. ``watch``, where it is set, is shown the clean latents (N, C, h, w) that every guided prediction promises
    of its frames. Scalings, parametrisations, and extra inputs of a family stay behind this line.
    """

    info: Info
    codec: LatentCodec
    device: torch.device
    attention: AttentionControl | None
    evaluations: int
    watch: Watch | None

    def encode_text(self, prompts: Sequence[str]) -> list[Text]:
        """Encode prompts of any length to texts of one length."""
        ...

    def encode_style(self, picture: Tensor, text: Text, negative: Text) -> tuple[Text, Text]:
        """Return ``text`` with the style of ``picture`` (3, H, W) in [0, 1] beside it, and ``negative`` with none."""
        ...

    def scheduler(self, name: str = "auto") -> Any:
        """Return a fresh diffusers scheduler: of that name, or with "auto" the one the model was made for."""
        ...

    def offload(self) -> None:
        """Leave the GPU's memory to others; the model runs no more until it is opened again."""
        ...

    def predict(
        self, x: Tensor, t: Tensor, texts: Sequence[Text], images: Images = (), guidance: Tensor | None = None
    ) -> Tensor:
        """Return the network's raw output for states ``x`` (R, C, h, w) at timestep ``t``, one text for each row.

        ``images`` holds for each ControlNet its pictures (R, 3, H, W) in [0, 1] and their weights (R,).
        ``guidance`` (R,) is for models that have it inside.
        """
        ...
