"""The parts of a UNet model, out of a diffusers folder or a single file, opened and checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from safetensors import SafetensorError
from safetensors.torch import load_file

from ..bridge.errors import UserError
from .loading import load_part, load_tokenizer, read_index, read_json, refuse_nan, refuse_pickle
from .memory import pass_on_out_of_memory

ENCODERS = {
    "CLIPTextModel": transformers.CLIPTextModel,
    "CLIPTextModelWithProjection": transformers.CLIPTextModelWithProjection,
}
AUTOENCODERS = {"AutoencoderKL": diffusers.AutoencoderKL, "AutoencoderTiny": diffusers.AutoencoderTiny}


@dataclass
class Parts:
    """A model in its parts. ``zero_empty``: an empty prompt stands for zeros, not for its encoding (XL)."""

    source: Path
    unet: Any
    vae: Any
    encoders: list[Any]
    tokenizers: list[Any]
    scheduler: dict[str, Any]
    zero_empty: bool


def read_folder(folder: Path, dtype: torch.dtype) -> Parts:
    """Return the parts in a diffusers folder of the Stable Diffusion 1.5, 2.1 or XL class; UserError for a lack."""
    suffixes = _suffixes(folder)
    return _checked(
        Parts(
            source=folder,
            unet=load_part({"UNet2DConditionModel": diffusers.UNet2DConditionModel}, folder / "unet", dtype),
            vae=load_vae(folder / "vae", dtype),
            encoders=[load_part(ENCODERS, folder / f"text_encoder{suffix}", dtype) for suffix in suffixes],
            **_beside_weights(folder),
        )
    )


def read_single_file(path: Path, base: Path, dtype: torch.dtype) -> Parts:
    """Return the parts of a single-file checkpoint in safetensors, such as other programs use.

    Such a file holds weights only: the layout, the vocabulary and the schedule are taken from ``base``, a diffusers
    folder of the same family. UserError where the file is a pickle, damaged, or of another family than ``base``.
    """
    with opening(path, base):
        read_index(base)
        weights = load_file(path)
        options = {"config": str(base), "torch_dtype": dtype, "local_files_only": True}
        parts = Parts(
            source=path,
            unet=diffusers.UNet2DConditionModel.from_single_file(dict(weights), subfolder="unet", **options),
            vae=diffusers.AutoencoderKL.from_single_file(dict(weights), subfolder="vae", **options),
            encoders=[
                create_diffusers_clip_model_from_ldm(
                    _encoder_class(base / f"text_encoder{suffix}"), dict(weights), f"text_encoder{suffix}", **options
                )
                for suffix in _suffixes(base)
            ],
            **_beside_weights(base),
        )
    whole([parts.unet, parts.vae, *parts.encoders], path, base)
    return _checked(parts)


@contextmanager
def opening(path: Path, base: Path) -> Iterator[None]:
    """Turn what goes wrong while a single file is opened into UserError; also where it is a pickle, or has no base."""
    refuse_pickle(path)
    if base == Path():
        raise UserError("A single-file model needs a diffusers folder of its family beside it. Choose one as its base.")
    try:
        yield
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        pass_on_out_of_memory(error)
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"The model {path} cannot be opened with the base {base} ({reason}). Choose a base of its family."
        ) from error


def whole(networks: Sequence[Any], path: Path, base: Path) -> None:
    """Make the networks out of the single file at ``path`` ready; UserError where it lacks weights or numbers."""
    for network in networks:
        if any(weight.is_meta for weight in network.parameters()):
            raise UserError(f"The model {path} lacks weights that its base {base} has. Choose a base of its family.")
        refuse_nan(network.eval().requires_grad_(False), path)


def load_vae(folder: Path, dtype: torch.dtype) -> Any:
    """Return the autoencoder in ``folder``, in float32 where half precision overflows in it."""
    vae = load_part(AUTOENCODERS, folder, dtype)
    return vae.float() if vae.config.get("force_upcast") else vae


def _suffixes(folder: Path) -> list[str]:
    """Return what tells the folder's text encoders apart: one of them, or two in the XL family."""
    return ["", "_2"] if (folder / "text_encoder_2").is_dir() else [""]


def _encoder_class(folder: Path) -> Any:
    name = (read_json(folder / "config.json", "text encoder").get("architectures") or [""])[0]
    if name not in ENCODERS:
        raise UserError(f"{folder} holds a {name}, which is no text encoder known here. Choose another base.")
    return ENCODERS[name]


def _beside_weights(folder: Path) -> dict[str, Any]:
    """Return what a diffusers folder says beside its weights: vocabularies, schedule, and how to read no prompt."""
    vocabularies = [folder / f"tokenizer{suffix}" for suffix in _suffixes(folder)]
    return {
        "tokenizers": [load_tokenizer(transformers.CLIPTokenizer, vocabulary) for vocabulary in vocabularies],
        "scheduler": read_json(folder / "scheduler" / "scheduler_config.json", "scheduler"),
        "zero_empty": bool(read_index(folder).get("force_zeros_for_empty_prompt")),
    }


def _checked(parts: Parts) -> Parts:
    """Return ``parts`` if they fit each other, else raise UserError."""
    config = parts.unet.config
    if config.cross_attention_dim != sum(encoder.config.hidden_size for encoder in parts.encoders):
        raise UserError(f"The text encoder and the UNet in {parts.source} are of two families. Copy the model again.")
    if config.in_channels != parts.vae.config.latent_channels:
        raise UserError(
            f"The UNet in {parts.source} wants {config.in_channels} channels, where an image model has "
            f"{parts.vae.config.latent_channels}: it is made for inpainting or depth. Choose a plain image model."
        )
    return parts
