"""Models that cannot work are refused in one sentence, before any work, without opening a pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from backend.bridge.errors import UserError
from backend.diffusion.controlnet import Control
from backend.diffusion.model import open_model
from tests.diffusion import tiny

UNET = Path("unet", "diffusion_pytorch_model.safetensors")


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def absent(folder: Path) -> None:
    shutil.rmtree(folder)


def without(part: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        shutil.rmtree(folder / part)

    return damage


def pickled(folder: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (folder / "opened",))

    (folder / UNET).unlink()
    torch.save({"weight": Trap()}, folder / "unet" / "diffusion_pytorch_model.bin")


def no_weights(folder: Path) -> None:
    (folder / UNET).unlink()


def truncated(folder: Path) -> None:
    data = (folder / UNET).read_bytes()
    (folder / UNET).write_bytes(data[: len(data) // 2])


def not_a_number(folder: Path) -> None:
    weights = load_file(folder / UNET)
    weights["conv_in.weight"][0, 0, 0, 0] = float("nan")
    save_file(weights, folder / UNET)


def lacking_weight(folder: Path) -> None:
    weights = load_file(folder / UNET)
    del weights["conv_in.weight"]
    save_file(weights, folder / UNET)


def other_shape(folder: Path) -> None:
    weights = load_file(folder / UNET)
    weights["conv_in.weight"] = weights["conv_in.weight"][:8].clone()
    save_file(weights, folder / UNET)


def other_family(folder: Path) -> None:
    tiny.save_index(folder, "FluxPipeline")


def broken_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def other_text_encoder(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    diffusers.UNet2DConditionModel(**tiny.unet_config(cross_attention_dim=24)).save_pretrained(folder / "unet")


def inpainting(folder: Path) -> None:
    shutil.rmtree(folder / "unet")
    diffusers.UNet2DConditionModel(**tiny.unet_config(in_channels=9)).save_pretrained(folder / "unet")


def unknown_scheduler(folder: Path) -> None:
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps({"_class_name": "os"}))


def no_vocabulary(folder: Path) -> None:
    for path in (folder / "tokenizer").iterdir():
        path.unlink()


DAMAGES = [
    (empty, "no diffusers model"),
    (absent, "There is no model folder"),
    (without("vae"), "lacks its part vae"),
    (without("scheduler"), "no scheduler"),
    (pickled, "is a pickle"),
    (no_weights, "has no weights"),
    (truncated, "cannot be opened"),
    (not_a_number, "conv_in.weight in .* is not a number"),
    (lacking_weight, "lacks 1 weights .*conv_in.weight"),
    (other_shape, "conv_in.weight"),
    (other_family, "holds a FluxPipeline"),
    (broken_index, "cannot be read"),
    (other_text_encoder, "two families"),
    (inpainting, "inpainting"),
    (unknown_scheduler, "scheduler os"),
    (no_vocabulary, "tokenizer"),
]


@pytest.mark.parametrize(("damage", "sentence"), DAMAGES, ids=lambda value: getattr(value, "__name__", ""))
def test_a_model_that_cannot_work_is_refused(
    damage: Callable[[Path], None], sentence: str, sd_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sd_folder, folder)
    damage(folder)
    with pytest.raises(UserError, match=sentence) as error:
        open_model(folder).scheduler()
    assert "\n" not in str(error.value)
    assert not (folder / "opened").exists()


def test_no_model_chosen_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No diffusion model is chosen"):
        open_model(Path())


def test_a_controlnet_of_another_family_is_refused(sd_folder: Path, tmp_path: Path) -> None:
    other = tiny.save_sd(tmp_path / "other", cross_attention_dim=24)
    with pytest.raises(UserError, match=r"does not fit the model .*cross_attention_dim is 24"):
        open_model(sd_folder, [Control("depth", tiny.save_control(tmp_path / "control", other))])


def test_a_unet_in_place_of_a_controlnet_is_refused(sd_folder: Path) -> None:
    with pytest.raises(UserError, match="holds a UNet2DConditionModel"):
        open_model(sd_folder, [Control("depth", sd_folder / "unet")])


def test_half_precision_files_are_found(sd_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sd_folder, folder)
    weights = {name: weight.half() for name, weight in load_file(folder / UNET).items()}
    save_file(weights, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors", {"format": "pt"})
    (folder / UNET).unlink()
    assert open_model(folder).device.type in ("cpu", "cuda", "mps")
