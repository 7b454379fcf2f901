"""The parts of a Stable Diffusion 3 model, out of a diffusers folder or a single file, opened and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.loaders.single_file_utils import (
    create_diffusers_clip_model_from_ldm,
    create_diffusers_t5_model_from_checkpoint,
)
from safetensors.torch import load_file

from ..bridge.errors import UserError
from .loading import load_part, load_tokenizer, read_index, read_json
from .parts import load_vae, opening, whole

_CLIP_CLASS = transformers.CLIPTextModelWithProjection
CLIP = {"CLIPTextModelWithProjection": _CLIP_CLASS}
LONG = {"T5EncoderModel": transformers.T5EncoderModel}
_CLIP_IN_FILE = {"": "text_encoders.clip_l.", "_2": "text_encoders.clip_g."}
_LONG_IN_FILE = "text_encoders.t5xxl."


@dataclass
class TransformerParts:
    """A model in its parts. ``long`` reads long prompts; it is the largest part of a model, which many leave out."""

    source: Path
    transformer: Any
    vae: Any
    encoders: list[Any]
    tokenizers: list[Any]
    long: Any
    long_tokenizer: Any
    scheduler: dict[str, Any]


def read_transformer_folder(folder: Path, dtype: torch.dtype) -> TransformerParts:
    """Return the parts in a diffusers folder of the Stable Diffusion 3 class; UserError for a lack."""
    kinds = {"SD3Transformer2DModel": diffusers.SD3Transformer2DModel}
    encoders = [load_part(CLIP, folder / f"text_encoder{suffix}", dtype) for suffix in _CLIP_IN_FILE]
    long = load_part(LONG, folder / "text_encoder_3", dtype) if (folder / "text_encoder_3").is_dir() else None
    transformer, vae = load_part(kinds, folder / "transformer", dtype), load_vae(folder / "vae", dtype)
    return _with_words(folder, folder, transformer, vae, encoders, long)


def read_transformer_file(path: Path, base: Path, dtype: torch.dtype) -> TransformerParts:
    """Return the parts of a single-file checkpoint, with what it lacks from ``base`` (see ``parts.read_single_file``).

    Text encoders are such a lack: many checkpoints leave them out, since they are everyone's.
    """
    with opening(path, base):
        read_index(base)
        weights = load_file(path)
        options = {"config": str(base), "torch_dtype": dtype, "local_files_only": True}
        transformer = diffusers.SD3Transformer2DModel.from_single_file(
            dict(weights), subfolder="transformer", **options
        )
        vae = diffusers.AutoencoderKL.from_single_file(dict(weights), subfolder="vae", **options)
        encoders = [
            create_diffusers_clip_model_from_ldm(_CLIP_CLASS, dict(weights), f"text_encoder{suffix}", **options)
            if any(key.startswith(start) for key in weights)
            else load_part(CLIP, base / f"text_encoder{suffix}", dtype)
            for suffix, start in _CLIP_IN_FILE.items()
        ]
        long = None
        if (base / "text_encoder_3").is_dir():
            if any(key.startswith(_LONG_IN_FILE) for key in weights):
                long = create_diffusers_t5_model_from_checkpoint(
                    transformers.T5EncoderModel, dict(weights), "text_encoder_3", **options
                )
            else:
                long = load_part(LONG, base / "text_encoder_3", dtype)
    whole([transformer, vae, *encoders, *([long] if long is not None else [])], path, base)
    return _with_words(path, base, transformer, vae, encoders, long)


def _with_words(
    source: Path, folder: Path, transformer: Any, vae: Any, encoders: list[Any], long: Any
) -> TransformerParts:
    """Return the parts with the vocabularies and the schedule in ``folder``; UserError where parts do not fit."""
    if transformer.config.in_channels != vae.config.latent_channels:
        raise UserError(f"The transformer and the autoencoder in {source} do not fit. Copy the model again.")
    return TransformerParts(
        source=source,
        transformer=transformer,
        vae=vae,
        encoders=encoders,
        tokenizers=[load_tokenizer(transformers.CLIPTokenizer, folder / f"tokenizer{part}") for part in _CLIP_IN_FILE],
        long=long,
        long_tokenizer=load_tokenizer(transformers.T5TokenizerFast, folder / "tokenizer_3") if long else None,
        scheduler=read_json(folder / "scheduler" / "scheduler_config.json", "scheduler"),
    )
