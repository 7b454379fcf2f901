"""A model is the same from a diffusers folder and from a single file, whatever its family."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from backend.bridge.errors import UserError
from backend.bridge.models.library import look
from backend.diffusion.conditioning import Condition
from backend.diffusion.controlnet import Control
from backend.diffusion.denoising import Denoiser
from backend.diffusion.model import Extras, open_model
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler
from tests.diffusion import original, tiny
from tests.diffusion.test_adapters import prediction as of_a_unet


def save_2(folder: Path, seed: int = 0) -> Path:
    return tiny.save_sd(folder, seed, use_linear_projection=True)


def prediction(model: Model) -> Tensor:
    """Return one prediction of a model, of whatever family."""
    if model.attention is not None:
        return of_a_unet(model)
    text, _ = model.encode_text(["oil paint", "blur"])
    z = torch.randn(1, 16, 8, 10, generator=torch.Generator().manual_seed(0))
    return model.predict(z, torch.tensor([500.0]), [text])


@pytest.mark.parametrize(
    ("save", "pack"),
    [
        (original.save_xl, original.save_xl_checkpoint),
        (save_2, original.save_2_checkpoint),
        (original.save_3, original.save_3_checkpoint),
    ],
)
def test_a_single_file_of_every_family_is_the_model_it_was_made_from(
    save: Callable[..., Path], pack: Callable[[Path, Path], Path], tmp_path: Path
) -> None:
    folder, base = save(tmp_path / "model", seed=1), save(tmp_path / "base", seed=2)
    file = pack(tmp_path / "model.safetensors", folder)
    expected = prediction(open_model(folder))
    assert (prediction(open_model(file, extras=Extras(base=base))) - expected).abs().max() <= 1e-5
    assert (prediction(open_model(base)) - expected).abs().max() > 1e-3
    assert look(file).kind == look(folder).kind == "model"


def test_what_a_file_leaves_out_is_its_bases(tmp_path: Path) -> None:
    folder, base = original.save_3(tmp_path / "model", seed=1), original.save_3(tmp_path / "base", seed=2)
    bare = original.save_3_checkpoint(tmp_path / "bare.safetensors", folder, encoders=False)
    for suffix in ("", "_2", "_3"):
        shutil.rmtree(folder / f"text_encoder{suffix}")
        shutil.copytree(base / f"text_encoder{suffix}", folder / f"text_encoder{suffix}")
    difference = prediction(open_model(bare, extras=Extras(base=base))) - prediction(open_model(folder))
    assert difference.abs().max() <= 1e-5


def test_a_single_file_of_the_third_class_is_refused_as_its_folder_is(tmp_path: Path) -> None:
    base = original.save_3(tmp_path / "base")
    file = original.save_3_checkpoint(tmp_path / "model.safetensors", base)
    with pytest.raises(UserError, match="needs a diffusers folder of its family"):
        open_model(file)
    with pytest.raises(UserError, match="takes no ControlNet, LoRA or style"):
        open_model(file, [Control("depth", tmp_path)], Extras(base=base))
    with pytest.raises(UserError, match="Choose a base of its family"):
        open_model(file, extras=Extras(base=original.save_xl(tmp_path / "other")))
    weights = load_file(file)
    weights["model.diffusion_model.x_embedder.proj.bias"][0] = float("nan")
    save_file(weights, tmp_path / "nan.safetensors")
    with pytest.raises(UserError, match="is not a number everywhere"):
        open_model(tmp_path / "nan.safetensors", extras=Extras(base=base))


def controlled(folder: Path, control: Path) -> Tensor:
    """Return one prediction of a model with a ControlNet."""
    model = open_model(folder, [Control("depth", control)])
    text, negative = model.encode_text(["oil paint", "blur"])
    picture = torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(4))
    sampler = Sampler(model.scheduler("ddim"), 4)
    condition = Condition(text, negative, (picture,), (1.0,))
    return Denoiser(model, sampler, {0: condition})(torch.zeros(1, 4, 8, 10), 1, [0])


@pytest.mark.parametrize("original_names", [True, False])
def test_a_controlnet_is_the_same_from_a_single_file(original_names: bool, sd_folder: Path, tmp_path: Path) -> None:
    folder = tiny.save_control(tmp_path / "control", sd_folder)
    file = tmp_path / "control.safetensors"
    if original_names:
        original.save_control_checkpoint(file, folder)
    else:
        shutil.copy(folder / "diffusion_pytorch_model.safetensors", file)
    expected = controlled(sd_folder, folder)
    assert (controlled(sd_folder, file) - expected).abs().max() <= 1e-5
    other = tiny.save_control(tmp_path / "other", sd_folder, seed=5)
    assert (controlled(sd_folder, other) - expected).abs().max() > 1e-4
    assert (look(file).kind, look(file).problem) == ("controlnet", "")


def test_a_controlnet_file_that_does_not_fit_is_refused(sd_folder: Path, tmp_path: Path) -> None:
    wide = tiny.save_control(tmp_path / "wide", tiny.save_sd(tmp_path / "sd", cross_attention_dim=24))
    pickled, cut = tmp_path / "control.pth", tmp_path / "cut.safetensors"
    pickled.write_bytes(b"\x80\x04.")
    cut.write_bytes((wide / "diffusion_pytorch_model.safetensors").read_bytes()[:5000])
    for file, sentence in (
        (wide / "diffusion_pytorch_model.safetensors", "does not fit the model"),
        (cut, "does not fit the model"),
        (pickled, "is a pickle"),
    ):
        with pytest.raises(UserError, match=sentence):
            open_model(sd_folder, [Control("depth", file)])
