"""A LoRA says the same in whatever layout it was saved, and several add up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from backend.bridge.models.library import look
from backend.diffusion.model import Extras, open_model
from tests.diffusion import original, tiny
from tests.diffusion.test_adapters import prediction

Weights = dict[str, Tensor]


@pytest.fixture(scope="module")
def lora(sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_lora(tmp_path_factory.mktemp("lora") / "ink.safetensors", sd_folder)


def kohya(weights: Weights) -> Weights:
    """Return the names that kohya's trainer gives; its alpha equals the rank, so that nothing is scaled."""
    renamed = {}
    for name, value in weights.items():
        place, _, part = name.removesuffix(".weight").rpartition(".lora_")
        start, _, rest = place.partition(".")
        place = f"lora_{'unet' if start == 'unet' else 'te'}_{rest.replace('.', '_')}"
        renamed[f"{place}.lora_{'down' if part == 'A' else 'up'}.weight"] = value
        renamed[f"{place}.alpha"] = torch.tensor(2.0)
    return renamed


def old_diffusers(weights: Weights) -> Weights:
    """Return the names that diffusers gave before it used PEFT."""
    renamed = {}
    for name, value in weights.items():
        place, _, part = name.removesuffix(".weight").rpartition(".lora_")
        side = "down" if part == "A" else "up"
        if place.startswith("unet."):
            attention, _, projection = place.rpartition(".")
            renamed[f"{attention}.processor.{projection}_lora.{side}.weight"] = value
        else:
            renamed[f"{place}.lora_linear_layer.{side}.weight"] = value
    return renamed


@pytest.mark.parametrize("layout", [kohya, old_diffusers])
def test_a_lora_is_the_same_in_any_layout(
    layout: Callable[[Weights], Weights], sd_folder: Path, lora: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    save_file(layout(load_file(lora)), other)
    expected = prediction(open_model(sd_folder, extras=Extras(loras=[(lora, 0.7)])))
    assert (prediction(open_model(sd_folder, extras=Extras(loras=[(other, 0.7)]))) - expected).abs().max() <= 1e-5
    assert look(other).kind == look(lora).kind == "lora"


def kohya_xl(weights: Weights) -> Weights:
    """Return the names that kohya's trainer gives for XL: blocks as the original code numbers them, two encoders."""
    renamed = {}
    for name, value in weights.items():
        place, _, part = name.removesuffix(".weight").rpartition(".lora_")
        start, _, rest = place.partition(".")
        if start == "unet":
            rest = original.xl_name(f"{rest}.weight").removesuffix(".weight")
        prefix = {"unet": "unet", "text_encoder": "te1", "text_encoder_2": "te2"}[start]
        place = f"lora_{prefix}_{rest.replace('.', '_')}"
        renamed[f"{place}.lora_{'down' if part == 'A' else 'up'}.weight"] = value
        renamed[f"{place}.alpha"] = torch.tensor(2.0)
    return renamed


def test_a_lora_for_xl_is_the_same_as_kohya_names_it(tmp_path: Path) -> None:
    folder = original.save_xl(tmp_path / "model")
    draw, weights = torch.Generator().manual_seed(3), {}
    for part in ("unet", "text_encoder", "text_encoder_2"):
        for key, weight in load_file(next((folder / part).glob("*.safetensors"))).items():
            name = key.removesuffix(".weight")
            if name.endswith(("to_q", "to_v", "q_proj", "v_proj", "out_proj")):
                place = name if part == "unet" else f"text_model.{name.removeprefix('text_model.')}"
                for side, shape in (("A", (2, weight.shape[1])), ("B", (weight.shape[0], 2))):
                    weights[f"{part}.{place}.lora_{side}.weight"] = torch.randn(shape, generator=draw) * 0.3
    peft, other = tmp_path / "peft.safetensors", tmp_path / "kohya.safetensors"
    save_file(weights, peft)
    save_file(kohya_xl(weights), other)
    plain = prediction(open_model(folder))
    expected = prediction(open_model(folder, extras=Extras(loras=[(peft, 0.7)])))
    assert (expected - plain).abs().max() > 1e-3
    assert (prediction(open_model(folder, extras=Extras(loras=[(other, 0.7)]))) - expected).abs().max() <= 1e-5
    assert (look(other).kind, look(peft).kind) == ("lora", "lora")
    assert look(other).family == "sdxl"


def test_several_loras_add_up(sd_folder: Path, lora: Path, tmp_path: Path) -> None:
    second = tiny.save_lora(tmp_path / "wash.safetensors", sd_folder, seed=7)

    def by(*files: tuple[Path, float]) -> Tensor:
        return prediction(open_model(sd_folder, extras=Extras(loras=files)))

    both = by((lora, 0.5), (second, 0.3))
    assert (by((second, 0.3), (lora, 0.5)) - both).abs().max() <= 1e-5
    assert (by((lora, 0.5)) - both).abs().max() > 1e-3
    assert (by((lora, 0.5), (second, 0.3), (second, -0.3)) - by((lora, 0.5))).abs().max() <= 1e-5
