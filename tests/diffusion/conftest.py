"""Tiny models, made once for all tests of the diffusion core."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from backend.diffusion.controlnet import Control
from backend.diffusion.model import open_model
from backend.diffusion.protocol import Model
from tests.diffusion import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_sd(tmp_path_factory.mktemp("sd"))


@pytest.fixture(scope="session")
def control_folders(sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return [tiny.save_control(tmp_path_factory.mktemp("control"), sd_folder, seed) for seed in (1, 2)]


@pytest.fixture(scope="session")
def sd(sd_folder: Path, control_folders: list[Path]) -> Model:
    return open_model(sd_folder, [Control("depth", control_folders[0])])
