"""The starter model's networks: the classes of Stable Diffusion 1.5, small; and the folder that holds them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
from diffusers import AutoencoderKL, ControlNetModel, DDIMScheduler, UNet2DConditionModel
from diffusers.models.resnet import ResnetBlock2D
from safetensors.torch import load_file
from transformers import CLIPTextConfig, CLIPTextModel

from .vocabulary import LENGTH, make_tokenizer

FACTOR = 4  # pixels a latent cell is wide: at 8, four channels cannot hold hatching (PSNR is in the model card)
NATIVE = 512  # pixels
LARGEST_FILE = "15MB"

# Light, red against blue, green against both: orthogonal, the two colours weighted 1.5 times.
OPPONENT = torch.tensor([[0.577, 0.577, 0.577], [1.06, 0.0, -1.06], [0.612, -1.224, 0.612]])


@dataclass(frozen=True)
class Size:
    """Widths of the networks: UNet and ControlNet, autoencoder, text encoder; UNet layers a block."""

    unet: tuple[int, ...]
    vae: tuple[int, ...]
    text: int
    layers: int = 1


SIZES = {
    "micro": Size((16, 16, 32), (8, 8, 16), 16),
    "cpu": Size((32, 64, 128), (16, 32, 64), 128),
    "gpu": Size((80, 160, 240), (40, 80, 160), 128),
}


def make_vae(size: Size) -> AutoencoderKL:
    """Return an untrained autoencoder: 4 channels for 4x4 pixels, no attention, so that a pixel always costs alike."""
    levels = len(size.vae)
    vae = AutoencoderKL(
        block_out_channels=size.vae, layers_per_block=1, latent_channels=4, norm_num_groups=1,
        down_block_types=("DownEncoderBlock2D",) * levels, up_block_types=("UpDecoderBlock2D",) * levels,
        mid_block_add_attention=False, sample_size=NATIVE, scaling_factor=1.0,
    )
    _start_as_identities(vae)
    _carry_colours(vae)
    return vae


def make_denoiser(size: Size) -> dict[str, torch.nn.Module]:
    """Return untrained ``unet``, ``controlnet`` and ``text_encoder``.

    The finest level has no attention: at 512x288 its 9216 cells would cost more than all the rest.
    """
    shared = {
        "block_out_channels": size.unet, "layers_per_block": size.layers, "cross_attention_dim": size.text,
        "attention_head_dim": 4, "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    }
    unet = UNet2DConditionModel(
        sample_size=NATIVE // FACTOR, in_channels=4, out_channels=4,
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), **shared,
    )
    controlnet = ControlNetModel(in_channels=4, conditioning_embedding_out_channels=(16, 32, 64), **shared)
    _start_as_identities(unet)
    _start_as_identities(controlnet)
    _start_heard(controlnet)
    tokenizer = make_tokenizer()
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=size.text, intermediate_size=4 * size.text, projection_dim=size.text,
        num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )
    encoder = CLIPTextModel(text)
    torch.nn.init.normal_(encoder.get_input_embeddings().weight, std=0.5)  # words differ from each other at once
    return {"unet": unet, "controlnet": controlnet, "text_encoder": encoder}


def _start_as_identities(network: torch.nn.Module) -> None:
    """Silence the last convolution of every residual block (Zhang et al., "Fixup Initialization", ICLR 2019)."""
    for block in network.modules():
        if isinstance(block, ResnetBlock2D):
            torch.nn.init.zeros_(block.conv2.weight)
            torch.nn.init.zeros_(block.conv2.bias)


def _start_heard(controlnet: ControlNetModel) -> None:
    """Let an untrained ControlNet speak from the first step.

    It is made to start silent, so as to leave a trained UNet alone, and its six plain convolutions start so small that
    one in a thousand of the control's contrast comes through. Here both are learned together, and it must be heard.
    """
    for name, weight in controlnet.named_parameters():
        if name.startswith("controlnet_cond_embedding"):
            if weight.dim() > 1:
                torch.nn.init.kaiming_normal_(weight, nonlinearity="relu")
            else:
                torch.nn.init.zeros_(weight)
        elif name.startswith(("controlnet_down_blocks", "controlnet_mid_block")) and weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.5 / weight.shape[1] ** 0.5)


@torch.no_grad()
def _carry_colours(vae: AutoencoderKL) -> None:
    """Let an untrained autoencoder carry the mean colour of every 4x4 pixels in three of its latent channels.

    From random weights it learns light first and colour only after thousands of steps, since light has most of the
    variance. Channels 0 to 2 hold light and two opponent colours, 3 to 5 their negatives, 6 and 7 two constants that
    keep the last normalisation from scaling with the picture; silu(x) - silu(-x) = x makes the way out linear.
    """
    encoder, decoder = vae.encoder, vae.decoder
    signs = torch.cat([torch.eye(3), -torch.eye(3)])
    for conv in [part for part in vae.modules() if isinstance(part, torch.nn.Conv2d)]:
        _pass(conv, torch.eye(8))
    for conv, colours in ((encoder.conv_in, signs @ OPPONENT), (decoder.conv_in, signs)):
        _pass(conv, torch.cat([colours, torch.zeros(2, 3)]))
        width = (encoder.conv_out if conv is encoder.conv_in else decoder.conv_out).in_channels
        conv.bias[6:8] = torch.tensor([1.0, -1.0]) * (width / 2) ** 0.5  # a deviation of 1 in the last normalisation
    _pass(encoder.conv_out, signs.T)
    _pass(decoder.conv_out, torch.linalg.inv(OPPONENT) @ signs.T)
    _pass(vae.quant_conv, torch.eye(8))
    _pass(vae.post_quant_conv, torch.eye(4))
    encoder.conv_out.weight[4:] = 0
    vae.quant_conv.bias[4:] = -6.0  # a narrow posterior: noise of deviation 1 would drown what is learned
    probe = torch.nn.functional.interpolate(0.5 * torch.randn(8, 3, 8, 8), scale_factor=8)
    encoder.conv_out.weight /= vae.encode(probe).latent_dist.mean[:, :1].std()
    decoded = vae.decode(vae.encode(probe).latent_dist.mean).sample
    decoder.conv_out.weight *= (decoded * probe).sum() / (decoded * decoded).sum()


def _pass(conv: torch.nn.Conv2d, matrix: torch.Tensor) -> None:
    """Make the first output channels of ``conv`` that ``matrix`` (outputs, inputs) of its first input channels."""
    outputs, inputs = min(len(matrix), conv.out_channels), min(matrix.shape[1], conv.in_channels)
    conv.weight[:outputs], conv.bias[:outputs] = 0, 0
    taps = conv.weight[:outputs, :inputs]
    if conv.stride == (2, 2):
        taps[..., :2, :2] = matrix[:outputs, :inputs, None, None] / 4  # Downsample2D pads right and below
    else:
        middle = conv.kernel_size[0] // 2
        taps[..., middle, middle] = matrix[:outputs, :inputs]


def make_scheduler() -> DDIMScheduler:
    """Return the noise schedule of Stable Diffusion, for a network that predicts velocity (Salimans and Ho 2022).

    It ends in pure noise (Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", WACV 2024): what
    little is left of a picture otherwise teaches a network to take its large colours from there.
    """
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=True,
        prediction_type="v_prediction", timestep_spacing="trailing", steps_offset=0, rescale_betas_zero_snr=True,
    )


def load_networks(folder: Path, size: Size) -> dict[str, torch.nn.Module]:
    """Return ``vae``, ``unet``, ``controlnet`` and ``text_encoder`` of ``size`` with the weights of a saved model."""
    networks = {"vae": make_vae(size), **make_denoiser(size)}
    for name, network in networks.items():
        weights = [load_file(part) for part in (folder / name).glob("*.safetensors")]
        network.load_state_dict({key: weight for part in weights for key, weight in part.items()})
    return networks


def save_model(folder: Path, networks: dict[str, torch.nn.Module]) -> None:
    """Write ``vae``, ``unet``, ``controlnet`` and ``text_encoder`` as a diffusers folder, in half precision."""
    for name, network in networks.items():
        network.half().save_pretrained(folder / name, safe_serialization=True, max_shard_size=LARGEST_FILE)
    make_tokenizer().save_pretrained(folder / "tokenizer")
    make_scheduler().save_pretrained(folder / "scheduler")
    index = {
        "_class_name": "StableDiffusionControlNetPipeline", "_diffusers_version": diffusers.__version__,
        "vae": ["diffusers", "AutoencoderKL"], "unet": ["diffusers", "UNet2DConditionModel"],
        "controlnet": ["diffusers", "ControlNetModel"], "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
        "feature_extractor": [None, None], "image_encoder": [None, None], "safety_checker": [None, None],
        "requires_safety_checker": False,
    }
    (folder / "model_index.json").write_text(json.dumps(index, indent=2), encoding="utf-8")
