"""Tiny random models of the real classes, made here and saved as diffusers folders; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import torch
import transformers
from tokenizers.pre_tokenizers import ByteLevel

WIDTHS = (16, 32, 32, 32)


def save_sd(folder: Path, seed: int = 0, **unet: object) -> Path:
    """Save a model of the Stable Diffusion 1.5 class; ``unet`` overrides parts of the UNet's configuration."""
    torch.manual_seed(seed)
    diffusers.UNet2DConditionModel(**unet_config(**unet)).save_pretrained(folder / "unet")
    make_vae().save_pretrained(folder / "vae")
    make_text_encoder(transformers.CLIPTextModel).save_pretrained(folder / "text_encoder")
    make_tokenizer().save_pretrained(folder / "tokenizer")
    make_scheduler().save_pretrained(folder / "scheduler")
    return save_index(folder, "StableDiffusionPipeline")


def save_index(folder: Path, pipeline: str, **more: object) -> Path:
    """Write the folder's ``model_index.json``."""
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline, **more}))
    return folder


def save_control(folder: Path, model: Path, seed: int = 1) -> Path:
    """Save a ControlNet that fits the UNet of ``model``; its output layers, zero in a fresh one, are made to speak."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
    torch.manual_seed(seed)
    net = diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 8, 8, 8))
    wake(net)
    net.save_pretrained(folder)
    return folder


def wake(net: torch.nn.Module) -> None:
    """Give the zero-initialised layers of a ControlNet small random weights."""
    for name, weight in net.named_parameters():
        if name.startswith(("controlnet_down_blocks", "controlnet_mid_block", "controlnet_cond_embedding.conv_out")):
            torch.nn.init.normal_(weight, std=0.1)


def unet_config(**changes: object) -> dict[str, object]:
    """Return the configuration of a UNet of SD1.5's shape: four levels, attention on the first three."""
    return {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "block_out_channels": WIDTHS,
        "layers_per_block": 2,
        "norm_num_groups": 8,
        "cross_attention_dim": 32,
        "attention_head_dim": 4,
        **changes,
    }


def make_vae(**changes: object) -> diffusers.AutoencoderKL:
    """Return an autoencoder with SD's factor of 8 and 4 channels."""
    return diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=(8, 8, 8, 8),
        norm_num_groups=4,
        **{"latent_channels": 4, "scaling_factor": 0.18215, "sample_size": 64, **changes},
    )


def make_text_encoder(kind: type, **changes: object) -> torch.nn.Module:
    """Return a CLIP text encoder, 32 wide."""
    return kind(
        transformers.CLIPTextConfig(
            vocab_size=520,
            hidden_size=32,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=3,
            bos_token_id=518,
            eos_token_id=519,
            pad_token_id=519,
            projection_dim=32,
            **changes,
        )
    )


def make_tokenizer() -> transformers.CLIPTokenizer:
    """Return a CLIP tokenizer that knows single bytes, the word "oil" and no other."""
    letters = sorted(ByteLevel.alphabet())
    pieces = [*letters, *(letter + "</w>" for letter in letters), "oi", "oil</w>"]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    vocabulary |= {f"<|spare{index}|>": index for index in range(len(vocabulary), 518)}
    vocabulary |= {"<|startoftext|>": 518, "<|endoftext|>": 519}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=[("o", "i"), ("oi", "l</w>")], model_max_length=77)


def make_scheduler(**changes: object) -> diffusers.PNDMScheduler:
    """Return the scheduler that SD1.5 folders come with."""
    return diffusers.PNDMScheduler(
        **{
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "steps_offset": 1,
            "skip_prk_steps": True,
            **changes,
        }
    )
