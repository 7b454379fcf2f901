"""The UNet families: Stable Diffusion 1.5 and 2.1, with any number of ControlNets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from torch import Tensor

from ..bridge.errors import UserError
from .attention import AttentionControl
from .conditioning import Text, encode_clip
from .latents import LatentCodec
from .loading import load_part, load_tokenizer, read_json
from .protocol import Info
from .schedulers import make_scheduler


@dataclass(frozen=True)
class Control:
    """A ControlNet on disk: the folder of its weights, and which control image it wants to see ("depth", ...)."""

    kind: str
    folder: Path


class UNetModel:
    """A latent diffusion model around a UNet2DConditionModel (see ``protocol.Model``)."""

    def __init__(self, folder: Path, controls: Sequence[Control], device: torch.device, dtype: torch.dtype) -> None:
        """Open a diffusers folder; UserError for whatever does not fit together."""
        self.device, self._dtype = device, dtype
        self._tokenizer = load_tokenizer(transformers.CLIPTokenizer, folder / "tokenizer")
        self._encoder = load_part({"CLIPTextModel": transformers.CLIPTextModel}, folder / "text_encoder", dtype)
        self._unet = load_part({"UNet2DConditionModel": diffusers.UNet2DConditionModel}, folder / "unet", dtype)
        self._scheduler_config = read_json(folder / "scheduler" / "scheduler_config.json", "scheduler")
        self._nets = [_load_control(control, self._unet, dtype) for control in controls]
        self.codec = LatentCodec(load_vae(folder / "vae", dtype).to(device))
        for network in (self._encoder, self._unet, *self._nets):
            network.to(device)
        native = self._unet.config.sample_size * self.codec.factor
        self.info = Info("sd", native, self.codec.factor, tuple(control.kind for control in controls))
        self._refuse_misfits(folder)
        self.attention: AttentionControl | None = AttentionControl(self._unet)

    def encode_text(self, prompts: Sequence[str]) -> list[Text]:
        """Encode prompts of any length to texts of one length."""
        return encode_clip(prompts, self._tokenizer, self._encoder, layer=-1)

    def scheduler(self, name: str = "auto") -> Any:
        """Return a fresh diffusers scheduler: of that name, or with "auto" the one the model was made for."""
        return make_scheduler(self._scheduler_config, name)

    @torch.inference_mode()
    def predict(
        self, x: Tensor, t: Tensor, texts: Sequence[Text], controls: Sequence[Tensor], weights: Sequence[Tensor]
    ) -> Tensor:
        """Return the UNet's raw output for states ``x`` (R, C, h, w); see ``protocol.Model.predict``."""
        x = x.to(self.device, self._dtype)
        shared = {"encoder_hidden_states": torch.stack([text.tokens for text in texts]), "return_dict": False}
        residuals: dict[str, Any] = {}
        for net, image, weight in zip(self._nets, controls, weights, strict=True):
            down, mid = net(
                x, t, controlnet_cond=image.to(self.device, self._dtype),
                conditioning_scale=weight.to(self.device, self._dtype).view(-1, 1, 1, 1), **shared,
            )
            residuals = _added(residuals, down, mid)
        return self._unet(x, t, **shared, **residuals)[0].float()

    def _refuse_misfits(self, folder: Path) -> None:
        unet, width = self._unet.config, self._encoder.config.hidden_size
        if unet.cross_attention_dim != width:
            raise UserError(f"The text encoder and the UNet in {folder} are of two families. Copy the model again.")
        if unet.in_channels != self.codec.channels:
            raise UserError(
                f"The UNet in {folder} wants {unet.in_channels} channels, where an image model has "
                f"{self.codec.channels}: it is made for inpainting or depth. Choose a plain image model."
            )


def load_vae(folder: Path, dtype: torch.dtype) -> Any:
    """Return the autoencoder in ``folder``, in float32 where it overflows in half precision."""
    kinds = {"AutoencoderKL": diffusers.AutoencoderKL, "AutoencoderTiny": diffusers.AutoencoderTiny}
    vae = load_part(kinds, folder, dtype)
    return vae.float() if vae.config.get("force_upcast") else vae


def _load_control(control: Control, unet: Any, dtype: torch.dtype) -> Any:
    """Return a ControlNet; UserError where its inner widths are not the UNet's."""
    net = load_part({"ControlNetModel": diffusers.ControlNetModel}, control.folder, dtype)
    for name in ("in_channels", "block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim"):
        if net.config[name] != unet.config[name]:
            raise UserError(
                f"The ControlNet {control.folder} does not fit the model ({name} is {net.config[name]}, the model's is "
                f"{unet.config[name]}). Choose one made for this family of models."
            )
    return net


def _added(residuals: dict[str, Any], down: Sequence[Tensor], mid: Tensor) -> dict[str, Any]:
    """Return the UNet's extra inputs with one more ControlNet's residuals added to them."""
    if residuals:
        down = [old + new for old, new in zip(residuals["down_block_additional_residuals"], down, strict=True)]
        mid = residuals["mid_block_additional_residual"] + mid
    return {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
