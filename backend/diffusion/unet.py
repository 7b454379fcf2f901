"""The UNet families: Stable Diffusion 1.5, 2.1 and XL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .adapters import StyleAdapter
from .attention import AttentionControl
from .conditioning import Text, encode_clip
from .controlnet import Control, ControlNet, residuals
from .latents import LatentCodec
from .memory import MemoryPlan, Residence
from .parts import Parts
from .protocol import Images, Info, Watch
from .schedulers import make_scheduler


class UNetModel:
    """A latent diffusion model around a UNet2DConditionModel (see ``protocol.Model``)."""

    def __init__(
        self, parts: Parts, controls: Sequence[Control], device: torch.device, plan: MemoryPlan, preview: Any = None
    ) -> None:
        """Put the parts together on ``device`` as ``plan`` says; UserError for a ControlNet that does not fit."""
        self.device, self._dtype, self._parts = device, parts.unet.dtype, parts
        shared: dict[Path, Any] = {}
        self._nets = [ControlNet(control, parts.unet, shared) for control in controls]
        networks = [parts.unet, parts.vae, *shared.values(), *([] if preview is None else [preview])]
        self._residence = Residence(networks, device, plan.offload)
        self.codec = LatentCodec(parts.vae, preview, plan.tile, self._residence.enter)
        self._extended = parts.unet.config.addition_embed_type == "text_time"
        native = parts.unet.config.sample_size * self.codec.factor
        kinds = tuple(control.kind for control in controls)
        inside = parts.unet.config.time_cond_proj_dim is not None
        self.info = Info("sdxl" if self._extended else "sd", native, self.codec.factor, kinds, inside)
        self.attention: AttentionControl | None = AttentionControl(parts.unet)
        self._style: StyleAdapter | None = None
        self.evaluations = 0
        self.watch: Watch | None = None

    def add_style(self, path: Path, scale: float) -> None:
        """Let pictures speak beside the words, by the IP-Adapter in ``path``; UserError where it does not fit."""
        if self.attention is not None:
            self.attention.remove()  # the adapter's loader makes new processors of whatever classes it finds
        self._style = StyleAdapter(self._parts, path, scale, self.device, self._dtype)
        self.attention = AttentionControl(self._parts.unet)

    def encode_text(self, prompts: Sequence[str]) -> list[Text]:
        """Encode prompts of any length to texts of one length."""
        layer = -2 if self._extended else -1
        spoken = []
        for tokenizer, encoder in zip(self._parts.tokenizers, self._parts.encoders, strict=True):
            self._residence.make_room()
            encoder.to(self.device)
            spoken.append(encode_clip(prompts, tokenizer, encoder, layer))
            encoder.to("cpu")  # text is encoded once in a run; its encoder need not wait in the GPU's memory
        pairs = zip(*spoken, strict=True)
        texts = [Text(torch.cat([text.tokens for text in each], dim=-1), each[-1].pooled) for each in pairs]
        if not self._parts.zero_empty:
            return texts
        return [text if prompt else _silent(text) for text, prompt in zip(texts, prompts, strict=True)]

    def encode_style(self, picture: Tensor, text: Text, negative: Text) -> tuple[Text, Text]:
        """Return ``text`` with the style of ``picture`` (3, H, W) in [0, 1] beside it, and ``negative`` with none."""
        if self._style is None:
            raise RuntimeError("the model has no style adapter")
        said, unsaid = self._style.encode(picture)
        return replace(text, style=said), replace(negative, style=unsaid)

    def scheduler(self, name: str = "auto") -> Any:
        """Return a fresh diffusers scheduler: of that name, or with "auto" the one the model was made for."""
        return make_scheduler(self._parts.scheduler, name)

    @torch.inference_mode()
    def predict(
        self, x: Tensor, t: Tensor, texts: Sequence[Text], images: Images = (), guidance: Tensor | None = None
    ) -> Tensor:
        """Return the UNet's raw output for states ``x`` (R, C, h, w); see ``protocol.Model.predict``."""
        self.evaluations += len(x)
        x, t = x.to(self.device, self._dtype), t.to(self.device)
        tokens, added = torch.stack([text.tokens for text in texts]), self._added(x, texts)
        shared: dict[str, Any] = {"encoder_hidden_states": tokens, "return_dict": False}
        extra = residuals(self._nets, images, x=x, t=t, added_cond_kwargs=added, **shared)
        if self._style is not None:
            styles = [text.style for text in texts if text.style is not None]
            added = added | {"image_embeds": [torch.stack(styles).unsqueeze(1)]}
        if self.info.guidance_inside:
            width, scales = self._parts.unet.config.time_cond_proj_dim, torch.ones(len(x))
            shared["timestep_cond"] = guidance_embedding(scales if guidance is None else guidance, width).to(x)
        return self._parts.unet(x, t, added_cond_kwargs=added, **shared, **extra)[0].float()

    def offload(self) -> None:
        """Leave the GPU's memory to others; the model runs no more until it is opened again."""
        self._residence.leave()

    def _added(self, x: Tensor, texts: Sequence[Text]) -> dict[str, Any]:
        """Return what the XL family wants to know beside the tokens: the prompts' summaries, and the picture's size."""
        if not self._extended:
            return {}
        height, width = (side * self.codec.factor for side in x.shape[-2:])
        ids = torch.tensor([height, width, 0, 0, height, width], dtype=x.dtype, device=x.device)
        pooled = torch.stack([text.pooled for text in texts if text.pooled is not None])
        return {"text_embeds": pooled, "time_ids": ids.expand(len(texts), -1)}


def guidance_embedding(guidance: Tensor, width: int) -> Tensor:
    """Return guidance scales (R,) as distilled models read them, (R, width): sines and cosines (Meng et al. 2023)."""
    half = width // 2
    turns = torch.exp(torch.arange(half) * (-math.log(10000.0) / (half - 1))) * (1000.0 * (guidance[:, None] - 1.0))
    return torch.cat([turns.sin(), turns.cos()], 1)


def _silent(text: Text) -> Text:
    return Text(torch.zeros_like(text.tokens), None if text.pooled is None else torch.zeros_like(text.pooled))
