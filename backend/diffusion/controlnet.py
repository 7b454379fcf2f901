"""ControlNets: what they want to see, whether they fit, and what they add to a UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..bridge.errors import UserError
from .loading import load_part, read_json, refuse_nan, refuse_pickle
from .memory import pass_on_out_of_memory
from .protocol import Images

CLASSES = {"ControlNetModel": diffusers.ControlNetModel, "ControlNetUnionModel": diffusers.ControlNetUnionModel}
# Union nets go by several names, their author's among them; what they are is told by what they number.
UNION_CLASSES = dict.fromkeys((*CLASSES, "ControlNetModel_Union"), diffusers.ControlNetUnionModel)
# the order in which union ControlNets number what they were trained on (diffusers, ControlNetUnionModel)
UNION = {"depth": 1, "softedge": 2, "lines": 3, "edges": 3, "normal": 4, "tile": 6}
SHARED = ("in_channels", "block_out_channels", "layers_per_block", "down_block_types", "cross_attention_dim")


@dataclass(frozen=True)
class Control:
    """A ControlNet on disk: which control image it wants to see ("depth", ...), and the folder or file of its weights.

    Other programs keep it as a single .safetensors file.
    """

    kind: str
    folder: Path


class ControlNet:
    """A ControlNet beside a UNet; of a union net, the one skill that the control image is for."""

    def __init__(self, control: Control, unet: Any, shared: dict[Path, Any]) -> None:
        """Open ``control`` for ``unet``; ``shared`` keeps opened networks, for a union net is asked for by each skill.

        UserError where its inner widths are not the UNet's, or a union net has not learned what is asked of it.
        """
        if control.folder not in shared:
            read = _read_file if control.folder.is_file() else _read_folder
            shared[control.folder] = read(control.folder, unet)
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


def _read_folder(folder: Path, unet: Any) -> Any:
    """Return the ControlNet, union or not, in a diffusers folder; UserError as ``load_part`` raises it."""
    config = folder / "config.json"
    union = config.is_file() and "num_control_type" in read_json(config, "model part")
    return load_part(UNION_CLASSES if union else CLASSES, folder, unet.dtype)


def _read_file(path: Path, unet: Any) -> Any:
    """Return the ControlNet in a single file, under the names of the original code or of diffusers.

    Such a file holds weights alone; what they are of is told by the UNet that they were made for. UserError where it is
    a pickle, damaged, or made for another UNet.
    """
    refuse_pickle(path)
    try:
        weights = convert_controlnet_checkpoint(load_file(path), unet.config)
        widening = ("conv_in", "blocks.1", "blocks.3", "blocks.5")  # of what reads the control image
        network = diffusers.ControlNetModel.from_unet(
            unet, load_weights_from_unet=False,
            conditioning_embedding_out_channels=tuple(
                len(weights[f"controlnet_cond_embedding.{name}.weight"]) for name in widening
            ),
        )  # fmt: skip
        network.load_state_dict(weights)
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError, AttributeError, TypeError) as error:
        pass_on_out_of_memory(error)
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"The ControlNet {path} does not fit the model ({reason}). Choose one made for this family of models, or "
            "the folder of a union ControlNet."
        ) from error
    refuse_nan(network, path)
    return torch.nn.Module.to(network, unet.dtype).eval().requires_grad_(False)


def _refuse_misfit(net: Any, unet: Any, folder: Path) -> None:
    for name in SHARED:
        if net[name] != unet[name]:
            raise UserError(
                f"The ControlNet {folder} does not fit the model ({name} is {net[name]}, the model's is {unet[name]}). "
                "Choose one made for this family of models."
            )
