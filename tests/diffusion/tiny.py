"""Tiny random models of the real classes, made here and saved as diffusers folders; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import torch
import transformers
from safetensors.torch import load_file, save_file
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


def save_xl(folder: Path, seed: int = 0) -> Path:
    """Save a model of the Stable Diffusion XL class: three levels, two text encoders, sizes as extra input."""
    torch.manual_seed(seed)
    diffusers.UNet2DConditionModel(**xl_config()).save_pretrained(folder / "unet")
    make_vae(scaling_factor=0.13025, force_upcast=True).save_pretrained(folder / "vae")
    make_text_encoder(transformers.CLIPTextModel).save_pretrained(folder / "text_encoder")
    make_text_encoder(transformers.CLIPTextModelWithProjection).save_pretrained(folder / "text_encoder_2")
    for suffix in ("", "_2"):
        make_tokenizer().save_pretrained(folder / f"tokenizer{suffix}")
    euler = {"timestep_spacing": "leading", "steps_offset": 1, "beta_schedule": "scaled_linear"}
    diffusers.EulerDiscreteScheduler(**euler).save_pretrained(folder / "scheduler")
    return save_index(folder, "StableDiffusionXLPipeline", force_zeros_for_empty_prompt=True)


def xl_config() -> dict[str, object]:
    """Return the configuration of a UNet of SDXL's shape."""
    return unet_config(
        block_out_channels=(16, 32, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 2),
        cross_attention_dim=64,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
    )


def save_union(folder: Path, model: Path, kinds: int = 6, seed: int = 1) -> Path:
    """Save a union ControlNet that fits the XL-shaped UNet of ``model``."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
    torch.manual_seed(seed)
    names = ("in_channels", "down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups",
             "cross_attention_dim", "transformer_layers_per_block", "attention_head_dim", "use_linear_projection",
             "addition_embed_type", "addition_time_embed_dim", "projection_class_embeddings_input_dim")  # fmt: skip
    net = diffusers.ControlNetUnionModel(
        **{name: unet.config[name] for name in names}, conditioning_embedding_out_channels=(4, 8, 8, 8),
        num_control_type=kinds, num_trans_channel=16, num_trans_head=2, num_proj_channel=16,
    )  # fmt: skip
    wake(net)
    net.save_pretrained(folder)
    return folder


def save_sd3(folder: Path, seed: int = 0, long: bool = True, joint_attention_dim: int = 64) -> Path:
    """Save a model of the Stable Diffusion 3 class: a transformer that predicts a flow, three text encoders."""
    torch.manual_seed(seed)
    diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=4,
        joint_attention_dim=joint_attention_dim, caption_projection_dim=32, pooled_projection_dim=64, out_channels=16,
        pos_embed_max_size=32,
    ).save_pretrained(folder / "transformer")  # fmt: skip
    make_vae(latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609).save_pretrained(folder / "vae")
    for suffix in ("", "_2"):
        make_text_encoder(transformers.CLIPTextModelWithProjection).save_pretrained(folder / f"text_encoder{suffix}")
        make_tokenizer().save_pretrained(folder / f"tokenizer{suffix}")
    if long:
        sizes = {"d_model": joint_attention_dim, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
        config = transformers.T5Config(vocab_size=300, **sizes)
        transformers.T5EncoderModel(config).save_pretrained(folder / "text_encoder_3")
        pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((chr(c), -3.0) for c in range(33, 300))]
        transformers.T5TokenizerFast(vocab=pieces, extra_ids=0).save_pretrained(folder / "tokenizer_3")
    diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
    return save_index(folder, "StableDiffusion3Pipeline")


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


def save_lora(path: Path, model: Path, seed: int = 3) -> Path:
    """Save a LoRA for the attention projections of the UNet and the text encoder of ``model``."""
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
    encoder = transformers.CLIPTextModel.from_pretrained(model / "text_encoder")
    draw = torch.Generator().manual_seed(seed)
    weights = {}
    for prefix, network in (("unet", unet), ("text_encoder", encoder)):
        for name, layer in network.named_modules():
            if name.endswith(("to_q", "to_v", "q_proj", "v_proj", "out_proj")):
                place = f"unet.{name}" if prefix == "unet" else f"text_encoder.text_model.{name}"
                for part, shape in (("A", (2, layer.in_features)), ("B", (layer.out_features, 2))):
                    weights[f"{place}.lora_{part}.weight"] = torch.randn(shape, generator=draw) * 0.3
    save_file(weights, path)
    return path


def save_style(path: Path, model: Path, seed: int = 4) -> Path:
    """Save an IP-Adapter for the UNet of ``model``, its image encoder in a folder beside the file."""
    torch.manual_seed(seed)
    unet = diffusers.UNet2DConditionModel.from_pretrained(model / "unet")
    width = unet.config.cross_attention_dim
    config = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=3, image_size=32, patch_size=8,
        projection_dim=24,
    )  # fmt: skip
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(path.parent / "image_encoder")
    weights = {
        "image_proj.proj.weight": torch.randn(4 * width, 24) * 0.3, "image_proj.proj.bias": torch.zeros(4 * width),
        "image_proj.norm.weight": torch.ones(width), "image_proj.norm.bias": torch.zeros(width),
    }  # fmt: skip
    layers = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    order = [*(n for n in layers if n.startswith("down")), *(n for n in layers if n.startswith("up"))]
    order += [n for n in layers if n.startswith("mid")]
    for number, name in enumerate(order):
        inner = unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{2 * number + 1}.{part}.weight"] = torch.randn(inner, width) * 0.3
    save_file(weights, path)
    return path


def save_checkpoint(path: Path, model: Path) -> Path:
    """Save the weights of ``model``, of SD1.5's class, as one file under the names of the original code."""
    weights = {f"model.diffusion_model.{key}": value for key, value in _original_unet(model).items()}
    weights |= {f"first_stage_model.{key}": value for key, value in original_vae(model).items()}
    for key, value in load_file(model / "text_encoder" / "model.safetensors").items():
        weights[f"cond_stage_model.transformer.text_model.{key}"] = value
    save_file({key: value.contiguous() for key, value in weights.items()}, path)
    return path


def _original_unet(model: Path) -> dict[str, torch.Tensor]:
    """Return a UNet's weights under the original names, for the layout of SD1.5: four levels of two layers."""
    renamed = {}
    for key, value in load_file(model / "unet" / "diffusion_pytorch_model.safetensors").items():
        renamed[original_unet_name(key)] = value
    return renamed


def original_unet_name(key: str) -> str:
    plain = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    }  # fmt: skip
    module, _, kind = key.rpartition(".")
    if module in plain:
        return f"{plain[module]}.{kind}"
    side, *rest = key.split(".")
    if side == "mid_block":
        block, number, *rest = rest
        place = f"middle_block.{2 * int(number) if block == 'resnets' else 1}"
    else:
        level, block, number, *rest = rest
        level, number = int(level), int(number)
        if side == "down_blocks" and block == "downsamplers":
            return f"input_blocks.{3 * (level + 1)}.0.op.{kind}"
        first = 1 + 3 * level if side == "down_blocks" else 3 * level
        blocks = "input_blocks" if side == "down_blocks" else "output_blocks"
        place = f"{blocks}.{first + number}.{0 if block == 'resnets' else 1}"
        if block == "upsamplers":
            return f"output_blocks.{3 * level + 2}.{1 if level == 0 else 2}.conv.{kind}"
    inner = ".".join(rest)
    if block == "resnets":
        names = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
                 "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}  # fmt: skip
        inner = f"{names[rest[0]]}.{kind}"
    return f"{place}.{inner}"


def original_vae(model: Path) -> dict[str, torch.Tensor]:
    """Return an autoencoder's weights under the original names, for four levels."""
    renamed = {}
    for key, value in load_file(model / "vae" / "diffusion_pytorch_model.safetensors").items():
        name, tensor = key, value
        parts = key.split(".")
        if "down_blocks" in key:
            level, block, number, *rest = parts[2:]
            place = f"block.{number}.{'.'.join(rest)}" if block == "resnets" else f"downsample.{'.'.join(rest)}"
            name = f"encoder.down.{level}.{place}"
        elif "up_blocks" in key:
            level, block, number, *rest = parts[2:]
            place = f"block.{number}.{'.'.join(rest)}" if block == "resnets" else f"upsample.{'.'.join(rest)}"
            name = f"decoder.up.{3 - int(level)}.{place}"
        elif "mid_block.resnets" in key:
            name = f"{parts[0]}.mid.block_{int(parts[3]) + 1}.{'.'.join(parts[4:])}"
        elif "mid_block.attentions" in key:
            names = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out": "proj_out"}
            name = f"{parts[0]}.mid.attn_1.{names[parts[4]]}.{parts[-1]}"
            tensor = value[..., None, None] if parts[-1] == "weight" and parts[4] != "group_norm" else value
        renamed[name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")] = tensor
    return renamed
