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
from backend.diffusion.controlnet import Control
from backend.diffusion.model import Extras, open_model
from backend.diffusion.protocol import Model
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
