"""ControlNets: what they want to see, whether they fit, and what they add to a UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

from ..bridge.errors import UserError
from .loading import load_part
from .protocol import Images

CLASSES = {"ControlNetModel": diffusers.ControlNetModel, "ControlNetUnionModel": diffusers.ControlNetUnionModel}
# the order in which union ControlNets number what they were trained on (diffusers, ControlNetUnionModel)
UNION = {"depth": 1, "softedge": 2, "lines": 3, "edges": 3, "normal": 4, "tile": 6}
SHARED = ("in_channels", "block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim")


@dataclass(frozen=True)
class Control:
    """A ControlNet on disk: which control image it wants to see ("depth", ...), and the folder of its weights."""

    kind: str
    folder: Path


class ControlNet:
    """A ControlNet beside a UNet; of a union net, the one skill that the control image is for."""

    def __init__(self, control: Control, unet: Any, shared: dict[Path, Any]) -> None:
        """Open ``control`` for ``unet``; ``shared`` keeps opened networks, for a union net is asked for by each skill.

        UserError where its inner widths are not the UNet's, or a union net has not learned what is asked of it.
        """
        if control.folder not in shared:
            shared[control.folder] = load_part(CLASSES, control.folder, unet.dtype)
        self.network = shared[control.folder]
        _refuse_misfit(self.network.config, unet.config, control.folder)
        self._skill: int | None = None
        if isinstance(self.network, diffusers.ControlNetUnionModel):
            self._skill = UNION.get(control.kind, -1)
            if not 0 <= self._skill < self.network.config.num_control_type:
                raise UserError(f"The ControlNet {control.folder} has not learned {control.kind}. Choose another.")

    def __call__(
        self, x: Tensor, t: Tensor, image: Tensor, weight: Tensor, **shared: Any
    ) -> tuple[Sequence[Tensor], Tensor]:
        """Return what it adds to the UNet's down blocks and to its middle, for pictures (R, 3, H, W) weighted (R,)."""
        image, weight = image.to(x), weight.to(x).view(-1, 1, 1, 1)
        if self._skill is None:
            return self.network(x, t, controlnet_cond=image, conditioning_scale=weight, **shared)
        kinds = torch.zeros(len(x), self.network.config.num_control_type).to(x)
        kinds[:, self._skill] = 1
        return self.network(
            x, t, controlnet_cond=[image], control_type=kinds, control_type_idx=[self._skill],
            conditioning_scale=[weight], **shared,
        )  # fmt: skip


def residuals(nets: Sequence[ControlNet], images: Images, **call: Any) -> dict[str, Any]:
    """Return the UNet's extra inputs: the sum of what all ControlNets add; nothing without any."""
    down: Sequence[Tensor] = ()
    mid: Tensor | None = None
    for net, (image, weight) in zip(nets, images, strict=True):
        more, middle = net(image=image, weight=weight, **call)
        down = [old + new for old, new in zip(down, more, strict=True)] if down else more
        mid = middle if mid is None else mid + middle
    return {} if mid is None else {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}


def _refuse_misfit(net: Any, unet: Any, folder: Path) -> None:
    for name in SHARED:
        if net[name] != unet[name]:
            raise UserError(
                f"The ControlNet {folder} does not fit the model ({name} is {net[name]}, the model's is {unet[name]}). "
                "Choose one made for this family of models."
            )
