"""Opens the diffusion model that a job asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from ..bridge.errors import UserError
from ..bridge.settings import FramewiseSettings
from .loading import read_index
from .protocol import Model
from .unet import Control, UNetModel

FAMILIES = ("StableDiffusion",)


def load_model(settings: FramewiseSettings) -> Model:
    """Return the model that a method's settings name; UserError with one clear sentence for one that cannot work."""
    controls = [Control(settings.control, Path(settings.controlnet))] if settings.controlnet else []
    return open_model(Path(settings.model), controls)


def open_model(folder: Path, controls: Sequence[Control] = (), device: torch.device | None = None) -> Model:
    """Return the model in a diffusers ``folder`` with ControlNets, on ``device``, by default the fastest here.

    Networks run in half precision on a GPU and in float32 on a CPU. UserError: no model, parts missing or damaged,
    weights pickled or not finite, a family not known here, a ControlNet of another family.
    """
    index = read_index(folder)
    device = device or best_device()
    family = str(index.get("_class_name"))
    if not family.startswith(FAMILIES) or "XL" in family or "3" in family:
        raise UserError(f"{folder} holds a {family}, of a family not known here. Choose a Stable Diffusion model.")
    return UNetModel(folder, controls, device, torch.float32 if device.type == "cpu" else torch.float16)


def best_device() -> torch.device:
    """Return the fastest device that this machine has."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
