"""Two steps of a tiny random model: whether an environment works, before anyone waits for it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import diffusers
import torch

from ..bridge.errors import UserError
from .model import best_device, precision


@dataclass(frozen=True)
class Trial:
    """What the two steps ran on, in which numbers, and how long they took in seconds."""

    device: str
    numbers: str
    seconds: float


def run_trial(device: torch.device | None = None) -> Trial:
    """Denoise an 8x8 latent in two DDIM steps; UserError where the device cannot, or makes no numbers of it."""
    device = device or best_device()
    dtype = precision(device)
    started = time.monotonic()
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(8, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4,
        attention_head_dim=4, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )  # fmt: skip
    scheduler = diffusers.DDIMScheduler()
    scheduler.set_timesteps(2)
    try:
        with torch.inference_mode():
            unet.to(device, dtype)
            x = torch.randn(1, 4, 8, 8).to(device, dtype)
            words = torch.zeros(1, 2, 8, device=device, dtype=dtype)
            for t in scheduler.timesteps:
                x = scheduler.step(unet(x, t.to(device), words).sample, t, x).prev_sample
            finite = bool(torch.isfinite(x).all())
    except RuntimeError as error:
        why = " ".join(str(error).split())[:160]
        raise UserError(f"{device} cannot compute ({why}). Update its driver, or install for another.") from error
    if not finite:
        raise UserError(f"{device} computes wrongly: not a number. Update its driver, or choose another accelerator.")
    return Trial(str(device), str(dtype).removeprefix("torch."), time.monotonic() - started)
