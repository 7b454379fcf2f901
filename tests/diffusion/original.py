"""Tiny models of the XL and 2.1 classes as one file, under the names of the original code (see also tiny.py)."""

from __future__ import annotations

import shutil
from pathlib import Path

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file

from tests.diffusion import tiny

OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip
WIDE = 40  # width of the second encoder: the two are told apart by their widths


def save_xl(folder: Path, seed: int = 0) -> Path:
    """Save a model of the XL class whose text encoders differ in width, as the real ones do."""
    tiny.save_xl(folder, seed)
    for part in ("unet", "text_encoder_2"):
        shutil.rmtree(folder / part)
    torch.manual_seed(seed)
    config = tiny.xl_config() | {"cross_attention_dim": 32 + WIDE}
    diffusers.UNet2DConditionModel(**config).save_pretrained(folder / "unet")
    words = transformers.CLIPTextConfig(
        vocab_size=520, hidden_size=WIDE, intermediate_size=37, num_attention_heads=4, num_hidden_layers=3,
        bos_token_id=518, eos_token_id=519, pad_token_id=519, projection_dim=32,
    )  # fmt: skip
    transformers.CLIPTextModelWithProjection(words).save_pretrained(folder / "text_encoder_2")
    return folder


def save_xl_checkpoint(path: Path, model: Path) -> Path:
    """Save the weights of ``model``, of the XL class, as one file."""
    weights = {f"model.diffusion_model.{_xl_name(key)}": value for key, value in _read(model / "unet").items()}
    weights |= {f"first_stage_model.{key}": value for key, value in tiny.original_vae(model).items()}
    for key, value in _read(model / "text_encoder").items():
        weights[f"conditioner.embedders.0.transformer.text_model.{key.removeprefix('text_model.')}"] = value
    weights |= _open_clip("conditioner.embedders.1.model.", _read(model / "text_encoder_2"))
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return path


def save_2_checkpoint(path: Path, model: Path) -> Path:
    """Save the weights of ``model``, of the 2.1 class, as one file: as that of 1.5, but for the text encoder."""
    whole = load_file(tiny.save_checkpoint(path, model))
    weights = {key: value for key, value in whole.items() if not key.startswith("cond_stage_model.")}
    weights |= _open_clip("cond_stage_model.model.", _read(model / "text_encoder"))
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return path


def _read(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next(folder.glob("*.safetensors")))


def _xl_name(key: str) -> str:
    """Return the original name of a weight of an XL UNet: three levels, attention on the last two."""
    if key.startswith("add_embedding.linear_"):
        return key.replace("add_embedding.linear_1", "label_emb.0.0").replace("add_embedding.linear_2", "label_emb.0.2")
    name = tiny.original_unet_name(key)
    return name.replace("output_blocks.2.1.conv", "output_blocks.2.2.conv")


def _open_clip(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a CLIP text encoder's weights under OpenCLIP's names, queries, keys and values in one."""
    plain = {key.removeprefix("text_model."): value for key, value in weights.items()}
    renamed = {
        "positional_embedding": plain["embeddings.position_embedding.weight"],
        "token_embedding.weight": plain["embeddings.token_embedding.weight"],
        **{f"ln_final.{kind}": plain[f"final_layer_norm.{kind}"] for kind in ("weight", "bias")},
    }
    if "text_projection.weight" in plain:
        renamed["text_projection"] = plain["text_projection.weight"].T
    count = len({key.split(".")[2] for key in plain if key.startswith("encoder.layers.")})
    for layer in range(count):
        here, there = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            for ours, theirs in OPEN_CLIP.items():
                renamed[f"{there}{theirs}.{kind}"] = plain[f"{here}{ours}.{kind}"]
            parts = [plain[f"{here}self_attn.{part}_proj.{kind}"] for part in "qkv"]
            renamed[f"{there}attn.in_proj_{kind}"] = torch.cat(parts)
    return {prefix + key: value for key, value in renamed.items()}
