"""Models are found, chosen and fetched from Blender; nothing is fetched without consent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy
import pytest

from tests.bridge.test_models import LORA, UNET, save


@pytest.fixture
def models(module: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    save(tmp_path / "ComfyUI" / "models" / "checkpoints" / "oil.safetensors", {UNET: (4, 768)})
    for name in ("ink", "wash"):
        save(tmp_path / "ComfyUI" / "models" / "loras" / f"{name}.safetensors", {LORA: (2, 768)})
    module("preferences").preferences().models_folder = str(tmp_path / "ComfyUI")
    return module("operators.models")


def test_models_of_another_program_are_found_and_used_in_place(models: ModuleType, tmp_path: Path) -> None:
    bpy.context.scene.tempera.method = "framewise"
    assert bpy.ops.tempera.refresh_models() == {"FINISHED"}
    paths = {each.label: each.path for each in models.current().found}
    with pytest.raises(RuntimeError, match=r"single file.*Fetch Stable Diffusion 1\.5 first"):
        bpy.ops.tempera.choose_model(choice=str(paths["oil"]))
    base = tmp_path / "ComfyUI" / "models" / "diffusers" / "base"
    save(base / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (2, 2)})
    (base / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    bpy.ops.tempera.refresh_models()
    for label in ("oil", "ink"):
        assert bpy.ops.tempera.choose_model(choice=str(paths[label])) == {"FINISHED"}
    chosen = bpy.context.scene.tempera.settings().chosen
    assert (chosen.model, chosen.base_model, chosen.lora) == (str(paths["oil"]), str(base), str(paths["ink"]))


def test_a_pickle_is_not_chosen(models: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "ComfyUI" / "models" / "checkpoints" / "old.ckpt"
    path.write_bytes(b"\x80\x02")
    bpy.context.scene.tempera.method = "framewise"
    bpy.ops.tempera.refresh_models()
    with pytest.raises(RuntimeError, match="is a pickle"):
        bpy.ops.tempera.choose_model(choice=str(path))
    assert bpy.context.scene.tempera.settings().chosen.model == ""


def test_a_recommended_model_is_offered_until_it_is_here_whole_and_brings_its_control(
    models: ModuleType, module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    entry = module("backend.bridge.models.catalogue").find_entry("sdxl-normal")
    folder = tmp_path / "cache" / "models--xinsir--controlnet-union-sdxl-1.0" / "snapshots" / "0123"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"_class_name": "ControlNetModel_Union", "cross_attention_dim": 2048}')
    bpy.ops.tempera.refresh_models()
    assert not models.current().has(entry)
    save(folder / "diffusion_pytorch_model.safetensors", {"x": (2,)})
    bpy.ops.tempera.refresh_models()
    assert models.current().has(entry)
    bpy.context.scene.tempera.method = "framewise"
    assert bpy.ops.tempera.choose_model(choice=str(folder)) == {"FINISHED"}
    chosen = bpy.context.scene.tempera.settings().chosen
    assert (chosen.controlnet, chosen.control) == (str(folder), "normal")


def test_nothing_is_fetched_where_blender_is_offline(models: ModuleType) -> None:
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="Online access is off"):
        bpy.ops.tempera.download_model("EXEC_DEFAULT", identifier="taesd")


def test_what_is_agreed_to_is_said(models: ModuleType, module: Callable[[str], ModuleType]) -> None:
    entry = module("backend.bridge.models.catalogue").find_entry("sd15")
    text = " ".join(models.terms(entry))
    assert "2.14 GB from huggingface.co/stable-diffusion-v1-5" in text
    assert "Open RAIL-M" in text
