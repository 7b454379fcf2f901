"""Tiny models of the XL, 2.1 and 3 classes as one file, under the names of the original code (see also tiny.py)."""

from __future__ import annotations

import re
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
    _wide_encoder().save_pretrained(folder / "text_encoder_2")
    return folder


def _wide_encoder() -> torch.nn.Module:
    words = transformers.CLIPTextConfig(
        vocab_size=520, hidden_size=WIDE, intermediate_size=37, num_attention_heads=4, num_hidden_layers=3,
        bos_token_id=518, eos_token_id=519, pad_token_id=519, projection_dim=32,
    )  # fmt: skip
    return transformers.CLIPTextModelWithProjection(words)


def save_xl_checkpoint(path: Path, model: Path) -> Path:
    """Save the weights of ``model``, of the XL class, as one file."""
    weights = {f"model.diffusion_model.{xl_name(key)}": value for key, value in _read(model / "unet").items()}
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


def save_3(folder: Path, seed: int = 0) -> Path:
    """Save a model of the Stable Diffusion 3 class whose text encoders differ in width, as the real ones do."""
    tiny.save_sd3(folder, seed, joint_attention_dim=32 + WIDE)
    shutil.rmtree(folder / "text_encoder_2")
    _wide_encoder().save_pretrained(folder / "text_encoder_2")
    first = folder / "text_encoder" / "model.safetensors"
    weights = load_file(first)
    weights["text_projection.weight"] = torch.eye(32)  # which such a file leaves out
    save_file(weights, first, {"format": "pt"})
    return folder


def save_3_checkpoint(path: Path, model: Path, encoders: bool = True) -> Path:
    """Save the weights of ``model``, of the Stable Diffusion 3 class, as one file, text encoders among them or not."""
    renamed = _joint_names(_read(model / "transformer"))
    weights = {f"model.diffusion_model.{key}": value for key, value in renamed.items()}
    weights |= {f"first_stage_model.{key}": value for key, value in tiny.original_vae(model).items()}
    parts = {"": "clip_l", "_2": "clip_g", "_3": "t5xxl"} if encoders else {}
    for suffix, name in parts.items():
        for key, value in _read(model / f"text_encoder{suffix}").items():
            if (suffix, key) != ("", "text_projection.weight"):
                weights[f"text_encoders.{name}.transformer.{key}"] = value
    if encoders:
        shared = "text_encoders.t5xxl.transformer.shared.weight"
        weights["text_encoders.t5xxl.transformer.encoder.embed_tokens.weight"] = weights[shared].clone()
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return path


def save_control_checkpoint(path: Path, folder: Path) -> Path:
    """Save the ControlNet in ``folder``, of the 1.5 class, as one file."""
    renamed = {}
    for key, value in _read(folder).items():
        if key.startswith("controlnet_cond_embedding."):
            place, kind = key.split(".", 1)[1].rsplit(".", 1)
            number = {"conv_in": 0, "conv_out": 14}.get(place) or 2 * int(place.partition("blocks.")[2] or -1) + 2
            renamed[f"input_hint_block.{number}.{kind}"] = value
        elif key.startswith("controlnet_"):
            place = key.replace("controlnet_mid_block.", "middle_block_out.0.")
            renamed[re.sub(r"controlnet_down_blocks\.(\d+)", r"zero_convs.\1.0", place)] = value
        else:
            renamed[tiny.original_unet_name(key)] = value
    save_file({f"control_model.{key}": value.contiguous() for key, value in renamed.items()}, path)
    return path


# The names of the original code for those of diffusers, outside of the joint blocks and inside of one.
_JOINT = {
    "pos_embed.pos_embed": "pos_embed", "pos_embed.proj": "x_embedder.proj", "context_embedder": "context_embedder",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "proj_out": "final_layer.linear", "norm_out.linear": "final_layer.adaLN_modulation.1",
}  # fmt: skip
_IN_BLOCK = {
    "attn.to_out.0": "x_block.attn.proj", "attn.to_add_out": "context_block.attn.proj",
    "norm1.linear": "x_block.adaLN_modulation.1", "norm1_context.linear": "context_block.adaLN_modulation.1",
    "ff.net.0.proj": "x_block.mlp.fc1", "ff.net.2": "x_block.mlp.fc2",
    "ff_context.net.0.proj": "context_block.mlp.fc1", "ff_context.net.2": "context_block.mlp.fc2",
}  # fmt: skip
_THREE = {"x_block": ("to_q", "to_k", "to_v"), "context_block": ("add_q_proj", "add_k_proj", "add_v_proj")}


def _joint_names(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return weights under the original names: queries, keys and values in one, shifts before scales."""
    blocks = {key.split(".")[1] for key in weights if key.startswith("transformer_blocks.")}
    last = max(blocks, key=int)
    renamed = {"pos_embed": weights["pos_embed.pos_embed"]}
    for kind in ("weight", "bias"):
        for theirs, ours in _JOINT.items():
            if f"{theirs}.{kind}" in weights:
                renamed[f"{ours}.{kind}"] = weights[f"{theirs}.{kind}"]
        for block in blocks:
            here, there = f"transformer_blocks.{block}.", f"joint_blocks.{block}."
            for theirs, ours in _IN_BLOCK.items():
                if f"{here}{theirs}.{kind}" in weights:
                    renamed[f"{there}{ours}.{kind}"] = weights[f"{here}{theirs}.{kind}"]
            for side, parts in _THREE.items():
                joined = torch.cat([weights[f"{here}attn.{part}.{kind}"] for part in parts])
                renamed[f"{there}{side}.attn.qkv.{kind}"] = joined
        for name in ("final_layer", f"joint_blocks.{last}.context_block"):
            scale, shift = renamed[f"{name}.adaLN_modulation.1.{kind}"].chunk(2)
            renamed[f"{name}.adaLN_modulation.1.{kind}"] = torch.cat([shift, scale])
    return renamed


def _read(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(next(folder.glob("*.safetensors")))


def xl_name(key: str) -> str:
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
