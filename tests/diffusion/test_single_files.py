"""A model is the same from a diffusers folder and from a single file, whatever its family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backend.bridge.models.library import look
from backend.diffusion.model import Extras, open_model
from tests.diffusion import original, tiny
from tests.diffusion.test_adapters import prediction


def save_2(folder: Path, seed: int = 0) -> Path:
    return tiny.save_sd(folder, seed, use_linear_projection=True)


@pytest.mark.parametrize(
    ("save", "pack"), [(original.save_xl, original.save_xl_checkpoint), (save_2, original.save_2_checkpoint)]
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
