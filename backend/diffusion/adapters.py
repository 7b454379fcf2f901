"""Small weights that change a big model: LoRA, and IP-Adapter, which lets a picture speak beside the words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.models.embeddings import ImageProjection
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import interpolate

from ..bridge.errors import UserError
from .loading import load_part, refuse_pickle
from .memory import pass_on_out_of_memory
from .parts import Parts

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def add_lora(parts: Parts, path: Path, weight: float) -> None:
    """Add a LoRA (Hu et al. 2022) to the model's weights, ``weight`` times; it costs nothing when the model runs.

    UserError where the file is a pickle, damaged, or made for another family.
    """
    state = _read(path, "LoRA")
    holder = _holder(parts)
    try:
        holder.load_lora_weights(state, adapter_name="tempera")
        adapted = [network for network in (parts.unet, *parts.encoders) if getattr(network, "peft_config", None)]
        if not adapted:
            raise ValueError("no weight of it has a place in the model")
        holder.fuse_lora(lora_scale=weight, adapter_names=["tempera"], safe_fusing=True)
        holder.unload_lora_weights()
    except (ValueError, RuntimeError, KeyError) as error:
        pass_on_out_of_memory(error)
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"The LoRA {path} does not fit the model ({reason}). Choose one of its family.") from error


class StyleAdapter:
    """An IP-Adapter (Ye et al. 2023) in a UNet: cross-attention to a picture beside that to the words.

    ``path`` is the adapter's safetensors file; its image encoder lies in the folder ``image_encoder`` beside it.
    """

    def __init__(self, parts: Parts, path: Path, scale: float, device: torch.device, dtype: torch.dtype) -> None:
        """Put the adapter into ``parts.unet``. The UNet's self-attention must have its plain processors."""
        state: dict[str, dict[str, Tensor]] = {"image_proj": {}, "ip_adapter": {}}
        for key, weight in _read(path, "style adapter").items():
            group, _, name = key.partition(".")
            state.setdefault(group, {})[name] = weight
        kinds = {"CLIPVisionModelWithProjection": transformers.CLIPVisionModelWithProjection}
        self._encoder = load_part(kinds, path.parent / "image_encoder", dtype).to(device)
        holder = _holder(parts)
        try:
            holder.load_ip_adapter(state, subfolder="", weight_name="", image_encoder_folder=None)
        except (ValueError, RuntimeError, KeyError) as error:
            pass_on_out_of_memory(error)
            reason = " ".join(str(error).split())[:160]
            raise UserError(f"The style adapter {path} does not fit the model ({reason}). Choose another.") from error
        holder.set_ip_adapter_scale(scale)
        parts.unet.to(device, dtype)
        self._summarises = isinstance(parts.unet.encoder_hid_proj.image_projection_layers[0], ImageProjection)

    @torch.inference_mode()
    def encode(self, picture: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a picture (3, H, W) in [0, 1] says, and what no picture says, each as the UNet wants it."""
        side = self._encoder.config.image_size
        factor = side / min(picture.shape[1:])
        size = [max(side, round(length * factor)) for length in picture.shape[1:]]
        small = interpolate(picture[None], size, mode="bicubic", antialias=True).clamp(0, 1)
        top, left = (size[0] - side) // 2, (size[1] - side) // 2
        cropped = small[..., top : top + side, left : left + side]
        pixels = (cropped - torch.tensor(CLIP_MEAN).view(3, 1, 1)) / torch.tensor(CLIP_STD).view(3, 1, 1)
        pixels = pixels.to(self._encoder.device, self._encoder.dtype)
        if self._summarises:
            said = self._encoder(pixels).image_embeds
            return said[0], torch.zeros_like(said[0])
        both = self._encoder(torch.cat([pixels, torch.zeros_like(pixels)]), output_hidden_states=True).hidden_states[-2]
        return both[0], both[1]


def _read(path: Path, what: str) -> dict[str, Tensor]:
    refuse_pickle(path)
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        pass_on_out_of_memory(error)
        raise UserError(f"The {what} {path} cannot be read ({error}). Choose a .safetensors file.") from error


def _holder(parts: Parts) -> Any:
    """Return a pipeline that holds the parts, for its loaders alone; it is never called."""
    scheduler = diffusers.DDIMScheduler(steps_offset=1, clip_sample=False)
    common = {"vae": parts.vae, "unet": parts.unet, "scheduler": scheduler}
    if len(parts.encoders) == 1:
        return diffusers.StableDiffusionPipeline(
            text_encoder=parts.encoders[0], tokenizer=parts.tokenizers[0], safety_checker=None,
            feature_extractor=None, requires_safety_checker=False, **common,
        )  # fmt: skip
    return diffusers.StableDiffusionXLPipeline(
        text_encoder=parts.encoders[0], text_encoder_2=parts.encoders[1],
        tokenizer=parts.tokenizers[0], tokenizer_2=parts.tokenizers[1], **common,
    )  # fmt: skip
