"""What a machine can compute on is found out and said in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backend.bridge.install.__main__ import offer
from backend.bridge.install.lock import LOCKS, accelerators, pinned_uv, read_lock
from backend.bridge.install.machine import (
    Gpu,
    Machine,
    accelerator_problem,
    folder_problem,
    machine_problem,
    nvidia_gpus,
    reason,
    recommend,
)

TAGS = {"linux": "x86_64", "windows": "win_amd64", "macos": "macosx"}
LINUX = Machine("Linux", "x86_64", glibc=(2, 36))
ADA, PASCAL, BLACKWELL = ((8, 9), (6, 1), (12, 0))


def with_card(driver: tuple[int, int], capability: tuple[int, int]) -> Machine:
    return replace(LINUX, gpus=(Gpu("Card", driver, capability),))


@pytest.mark.parametrize(
    ("machine", "chosen", "why"),
    [
        (with_card((580, 65), ADA), "cuda", "Card computes with driver 580.65"),
        (with_card((580, 65), PASCAL), "cuda126", "Card computes"),
        (with_card((550, 54), ADA), "cuda126", "Card computes"),
        (with_card((470, 82), ADA), "cpu", "driver of Card is 470.82, and 580 or newer is needed. Update it"),
        (with_card((570, 10), BLACKWELL), "cpu", "580 or newer"),
        (with_card((390, 10), (3, 5)), "cpu", "580 or newer"),
        (replace(LINUX, rocm=True), "rocm", "AMD card"),
        (LINUX, "cpu", "No card of NVIDIA or AMD was found"),
        (Machine("Darwin", "arm64", release=(15, 1)), "mps", "M series"),
        (Machine("Windows", "x86_64"), "cpu", "No card"),
    ],
)
def test_the_choice_is_made_and_given_a_reason(machine: Machine, chosen: str, why: str) -> None:
    assert recommend(machine) == chosen
    assert why in reason(machine)
    assert not machine_problem(machine)
    assert accelerator_problem(machine, chosen) == ""


def test_a_choice_that_does_not_fit_the_card_is_refused() -> None:
    assert "Choose an older CUDA" in accelerator_problem(with_card((580, 65), PASCAL), "cuda")
    assert "Choose the current CUDA" in accelerator_problem(with_card((580, 65), BLACKWELL), "cuda126")
    assert "No AMD card" in accelerator_problem(LINUX, "rocm")


def test_windows_paths_end_early() -> None:
    windows = Machine("Windows", "x86_64")
    assert "Windows allows 110" in folder_problem(windows, Path("C:/" + "x" * 110))
    assert folder_problem(windows, Path("C:/Users/Künstlerin/AppData/Roaming/Blender")) == ""
    assert folder_problem(LINUX, Path("/" + "x" * 250)) == ""


@pytest.mark.parametrize(
    ("says", "found"),
    [
        ("echo 'NVIDIA GeForce RTX 4090, 580.65.06, 8.9'", (Gpu("NVIDIA GeForce RTX 4090", (580, 65), (8, 9)),)),
        ("echo 'NVIDIA-SMI has failed because it could not talk to the driver'; exit 9", ()),
        ("echo '[Not Supported]'", ()),
    ],
)
def test_the_driver_is_asked_and_may_fail(
    says: str, found: tuple[Gpu, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert nvidia_gpus() == found


@pytest.mark.parametrize("path", sorted(LOCKS.glob("*-*.json")), ids=lambda path: path.stem)
def test_a_lock_has_a_wheel_of_everything_for_every_python(path: Path) -> None:
    platform, _, accelerator = path.stem.partition("-")
    lock = read_lock(platform, accelerator)
    for python in lock.pythons:
        chosen = lock.chosen(python)
        names = [wheel.name for wheel in chosen]
        assert len(names) == len(set(names))
        assert {"diffusers", "transformers", "safetensors", "numpy", "OpenEXR".lower()} <= {n.lower() for n in names}
        assert ("torch" in names) != bool(lock.open), "PyTorch is locked, or named for its own index"
        for wheel in chosen:
            assert len(wheel.sha256) == 64
            assert wheel.size > 0
            assert wheel.file.endswith(".whl")
            assert not wheel.url, "no package index is written down: it is the one that pip is set up for"
            tags = wheel.file.removesuffix(".whl").split("-")
            assert tags[-3].startswith(("py", "cp"))
            assert tags[-1] == "any" or TAGS[platform] in tags[-1]
    assert lock.size("3.12") > 100e6


def test_what_is_offered_names_whose_checksums_are_trusted() -> None:
    sources = {choice["name"]: choice["source"] for choice in offer(LINUX)["choices"]}  # type: ignore[attr-defined]
    assert sources["cuda"] == ""
    assert sources["cuda126"] == "download.pytorch.org"


def test_every_platform_has_a_lock_for_what_is_recommended_on_it() -> None:
    assert accelerators("linux") == ["cpu", "cuda", "cuda126", "rocm", "xpu"]
    assert accelerators("windows") == ["cpu", "cuda", "cuda126", "xpu"]
    assert accelerators("macos") == ["mps"]
    for platform in ("linux", "windows", "macos"):
        uv = pinned_uv(platform)
        assert uv is not None
        assert uv.file.startswith("uv-")
