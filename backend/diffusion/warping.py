"""Sampling latents, tokens and pictures along a flow, as tensors."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def warp(x: Tensor, flow: Tensor, mode: Literal["bilinear", "nearest", "bicubic"] = "bilinear") -> Tensor:
    """Gather ``x`` (N, C, h, w) at p + flow(p), the border replicated; ``flow`` (N, h', w', 2) is in cells of ``x``.

    Whole-cell flows copy, to rounding. Warp clean predictions, never noised states: between cells, interpolation takes
    variance from noise.
    """
    height, width = x.shape[-2:]
    rows = torch.arange(flow.shape[1], device=x.device, dtype=torch.float32)
    columns = torch.arange(flow.shape[2], device=x.device, dtype=torch.float32)
    y = rows[:, None] + flow[..., 1].to(x.device)
    x_ = columns[None, :] + flow[..., 0].to(x.device)
    grid = torch.stack([_normalised(x_, width), _normalised(y, height)], dim=-1)
    return grid_sample(x.float(), grid, mode=mode, padding_mode="border", align_corners=True).to(x.dtype)


def _normalised(position: Tensor, count: int) -> Tensor:
    """Return positions in cells as grid_sample's: -1 is the first cell's centre, 1 the last one's."""
    return 2 * position / max(count - 1, 1) - 1
