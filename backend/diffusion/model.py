"""Opens the diffusion model that a job asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch

from ..bridge.errors import UserError
from ..bridge.models.header import classify, read_shapes
from ..bridge.settings.diffusion import DiffusionSettings
from .adapters import add_lora
from .controlnet import Control
from .loading import load_part, read_index
from .memory import MemoryPlan
from .parts import Parts, read_folder, read_single_file
from .protocol import Model
from .transformer import TransformerModel
from .transformer_parts import read_transformer_file, read_transformer_folder
from .unet import UNetModel

TRANSFORMERS = ("StableDiffusion3",)
UNETS = ("StableDiffusion", "LatentConsistencyModel")
STARTER = Path(__file__).parents[1] / "starter" / "model"  # ships with Tempera; its ControlNet sees the render itself


@dataclass(frozen=True)
class Extras:
    """What goes into a model beside its own weights and its ControlNets.

    ``base`` is the diffusers folder that a single-file model takes its layout from; ``loras`` are (file, weight);
    ``style`` is an IP-Adapter (file, weight); ``preview`` is the folder of an AutoencoderTiny that decodes previews.
    """

    base: Path = Path()
    loras: Sequence[tuple[Path, float]] = ()
    style: tuple[Path, float] | None = None
    preview: Path | None = None


def load_model(settings: DiffusionSettings, plan: MemoryPlan | None = None) -> Model:
    """Return the model that a method's settings name, the starter where they name none, fitted by ``plan``.

    UserError with one clear sentence for one that cannot work.
    """
    source = Path(settings.model) if settings.model else STARTER
    controls = [Control(kind, Path(folder)) for kind, folder, _ in settings.controls]
    if not controls and (source / "controlnet").is_dir():  # the model brings one of its own
        controls = [Control(settings.control if settings.model else "tile", source / "controlnet")]
    extras = Extras(
        base=Path(settings.base_model),
        loras=[(Path(file), weight) for file, weight in settings.loras],
        style=(Path(settings.style_adapter), settings.style_scale) if settings.style_adapter else None,
    )
    return open_model(source, controls, extras, plan=plan)


def open_model(
    source: Path,
    controls: Sequence[Control] = (),
    extras: Extras | None = None,
    device: torch.device | None = None,
    plan: MemoryPlan | None = None,
) -> Model:
    """Return the model in a diffusers folder or a single .safetensors file, on ``device``, by default the fastest here.

    Networks run in half precision on a GPU and in float32 on a CPU. UserError: no model, parts missing or damaged,
    weights pickled or not finite, a family not known here, a ControlNet or an adapter of another family.
    """
    extras, device, plan = extras or Extras(), device or best_device(), plan or MemoryPlan()
    dtype = precision(device)
    if source.is_file():
        if _family(source) == "sd3":
            _refuse_extras(source, controls, extras)
            parts = read_transformer_file(source, extras.base, dtype)
            return TransformerModel(parts, device, dtype, plan, _preview(extras, dtype))
        return _assembled(read_single_file(source, extras.base, dtype), controls, extras, device, plan)
    family = str(read_index(source).get("_class_name"))
    if family.startswith(TRANSFORMERS):
        _refuse_extras(source, controls, extras)
        return TransformerModel(read_transformer_folder(source, dtype), device, dtype, plan, _preview(extras, dtype))
    if family.startswith(UNETS):
        return _assembled(read_folder(source, dtype), controls, extras, device, plan)
    raise UserError(f"{source} holds a {family}, of a family not known here. Choose a Stable Diffusion model.")


def best_device() -> torch.device:
    """Return the fastest device that this machine has."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def precision(device: torch.device) -> torch.dtype:
    """Return the numbers that networks compute in on ``device``; a CPU is no faster at half of them."""
    return torch.float32 if device.type == "cpu" else torch.float16


def _family(path: Path) -> str:
    """Return the family of the checkpoint at ``path`` by its header alone; UserError where none runs here."""
    kind, family = classify(read_shapes(path))
    if kind != "model" or family == "flux":
        found = f"a {kind}" if kind != "model" else f"of the family {family}"
        raise UserError(
            f"{path.name} is {found if kind else 'no model known here'}. Choose a whole checkpoint of Stable Diffusion "
            "1.5, 2.1, XL or 3."
        )
    return family


def _refuse_extras(source: Path, controls: Sequence[Control], extras: Extras) -> None:
    if controls or extras.loras or extras.style:
        raise UserError(f"{source} is of a family that takes no ControlNet, LoRA or style here. Leave them empty.")


def _assembled(
    parts: Parts, controls: Sequence[Control], extras: Extras, device: torch.device, plan: MemoryPlan
) -> Model:
    for path, weight in extras.loras:
        add_lora(parts, path, weight)
    model = UNetModel(parts, controls, device, plan, _preview(extras, parts.unet.dtype))
    if extras.style is not None:
        model.add_style(*extras.style)
    return model


def _preview(extras: Extras, dtype: torch.dtype) -> Any:
    if extras.preview is None:
        return None
    return load_part({"AutoencoderTiny": diffusers.AutoencoderTiny}, extras.preview, dtype)
