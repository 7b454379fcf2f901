"""Rows of the bench about the diffusion core: what it costs beside diffusers' own pipelines on the same weights."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import diffusers
import torch
import transformers
from PIL import Image

from ..bridge.files import write_json
from ..bridge.job import Job
from ..bridge.settings import from_keywords
from ..diffusion.model import best_device, open_model, precision
from ..methods.framewise import framewise
from ..shot.shot import Shot
from ..starter.vocabulary import LENGTH, make_tokenizer
from .rows import Rows, cpu_seconds, row

SETTINGS = {"prompt": "an oil painting", "steps": 6, "strength": 0.7, "guidance": 5.0, "sampler": "ddim"}
REPEATS = 5
FAMILIES = {
    "SD1.5": (diffusers.StableDiffusionImg2ImgPipeline, "StableDiffusionPipeline"),
    "SDXL": (diffusers.StableDiffusionXLImg2ImgPipeline, "StableDiffusionXLPipeline"),
}


def core_overhead(job: Job, shot: Shot) -> Rows:  # noqa: ARG001 - all row functions are called alike
    """Time one frame of ``framewise`` against diffusers' img2img pipeline, on random weights of both families.

    The networks have the families' shapes, on a GPU their sizes and half precision, on a CPU a fifth of their widths.
    Each ratio is the median over ``REPEATS`` runs in turn; with a GPU the peak of its memory stands beside it.
    """
    rows: Rows = {}
    for family, (pipeline, name) in FAMILIES.items():
        with tempfile.TemporaryDirectory() as folder:
            save_random(Path(folder), family == "SDXL", name, full=best_device().type == "cuda")
            ours, theirs = _ours(Path(folder), shot), _theirs(pipeline, Path(folder), shot)
            ratios = [_seconds(ours) / _seconds(theirs) for _ in range(REPEATS + 1)][1:]  # the first one warms up
            rows[f"{family}, framewise / diffusers' img2img"] = row(median(ratios), "x", at_most=1.05)
            rows |= {f"{family}, peak memory of {who}": row(_peak(run), "GiB") for who, run in
                     (("framewise", ours), ("diffusers", theirs)) if torch.cuda.is_available()}
    return rows


def save_random(folder: Path, large: bool, pipeline: str, full: bool) -> None:
    """Save a diffusers folder of random weights, of SDXL's shape where ``large``, else SD1.5's; as big if ``full``."""
    torch.manual_seed(0)
    unit, text = (320, 768) if full else (64, 64)
    encoders = {"text_encoder": transformers.CLIPTextModel}
    more: dict[str, Any] = {}
    if large:
        encoders["text_encoder_2"] = transformers.CLIPTextModelWithProjection
        more = {
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
            "transformer_layers_per_block": (1, 2, 10) if full else (1, 2, 2), "use_linear_projection": True,
            "addition_embed_type": "text_time", "addition_time_embed_dim": 64,
            "projection_class_embeddings_input_dim": 6 * 64 + text,
        }
    widths = (unit, 2 * unit, 4 * unit) if large else (unit, 2 * unit, 4 * unit, 4 * unit)
    more |= {"sample_size": 64, "block_out_channels": widths, "cross_attention_dim": text * len(encoders)}
    diffusers.UNet2DConditionModel(attention_head_dim=8, **more).save_pretrained(folder / "unet")
    levels, vae = 4, (128, 256, 512, 512) if full else (32, 32, 64, 64)
    diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels,
        block_out_channels=vae, latent_channels=4,
    ).save_pretrained(folder / "vae")
    for name, kind in encoders.items():
        _text_encoder(kind, text).save_pretrained(folder / name)
        make_tokenizer().save_pretrained(folder / name.replace("text_encoder", "tokenizer"))
    diffusers.DDIMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012).save_pretrained(
        folder / "scheduler"
    )
    write_json(folder / "model_index.json", _index(pipeline, list(encoders)))


def _text_encoder(kind: type, width: int) -> torch.nn.Module:
    tokenizer = make_tokenizer()
    return kind(
        transformers.CLIPTextConfig(
            vocab_size=len(tokenizer), hidden_size=width, intermediate_size=4 * width, num_attention_heads=4,
            num_hidden_layers=4, projection_dim=width, max_position_embeddings=LENGTH,
            bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _index(pipeline: str, encoders: list[str]) -> dict[str, Any]:
    index: dict[str, Any] = {
        "_class_name": pipeline, "_diffusers_version": diffusers.__version__,
        "unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDIMScheduler"],
    }
    for name in encoders:
        kind = "CLIPTextModelWithProjection" if name.endswith("_2") else "CLIPTextModel"
        index[name] = ["transformers", kind]
        index[name.replace("text_encoder", "tokenizer")] = ["transformers", "CLIPTokenizer"]
    if len(encoders) == 1:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "image_encoder": [None, None]}
    return index


def _ours(folder: Path, shot: Shot) -> Callable[[], object]:
    """Return a call that stylizes the shot's first frame by the core."""
    model, settings = open_model(folder), from_keywords("framewise", **SETTINGS)
    return lambda: list(framewise(shot, model, settings, shot.frames[:1], {}))


def _theirs(kind: Any, folder: Path, shot: Shot) -> Callable[[], object]:
    """Return a call that stylizes the shot's first frame by diffusers' own pipeline."""
    device = best_device()
    pipeline = kind.from_pretrained(folder, torch_dtype=precision(device), local_files_only=True).to(device)
    pipeline.set_progress_bar_config(disable=True)
    picture = Image.fromarray((shot.beauty(shot.frames[0]) * 255).round().astype("uint8"))
    return lambda: pipeline(
        prompt=SETTINGS["prompt"], negative_prompt="", image=picture, strength=SETTINGS["strength"],
        num_inference_steps=SETTINGS["steps"], guidance_scale=SETTINGS["guidance"],
    )


def _seconds(work: Callable[[], object]) -> float:
    """Return the processor time of ``work`` on a CPU, where others may run beside it; the time it took on a GPU."""
    if not torch.cuda.is_available():
        return cpu_seconds(work)
    started = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - started


def _peak(work: Callable[[], object]) -> float:
    """Return the GPU memory that ``work`` takes at its peak, with its weights, in GiB."""
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() / 2**30
