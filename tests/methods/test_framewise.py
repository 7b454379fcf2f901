"""The frame by frame method on a real shot of footage, with a tiny model of the real classes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.bridge.errors import UserError
from backend.bridge.job import Job
from backend.bridge.settings import from_keywords
from backend.diffusion.model import load_model, open_model
from backend.diffusion.protocol import Model
from backend.methods import FrameDone, Step
from backend.methods.framewise import framewise
from backend.shot.pictures import encode_png
from backend.shot.shot import Shot
from backend.worker import run_job
from tests.diffusion import tiny
from tests.footage import write_shot

SIZE = (61, 43)  # no multiple of anything


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_sd(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def control(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_control(tmp_path_factory.mktemp("control"), folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    torch.set_num_threads(1)
    return open_model(folder)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    path = tmp_path_factory.mktemp("shot")
    write_shot(path, [1, 2, 3], SIZE)
    return Shot.open(path)


def frames(shot: Shot, model: Model, wanted: list[int], **settings: object) -> dict[int, np.ndarray]:
    chosen = from_keywords("framewise", **{"steps": 3, "prompt": "oil", **settings})
    events = list(framewise(shot, model, chosen, wanted, {}))
    steps = [event for event in events if isinstance(event, Step)]
    assert all(step.done <= step.total for step in steps)
    return {event.frame: event.image for event in events if isinstance(event, FrameDone)}


def test_every_frame_comes_back_at_its_size(shot: Shot, model: Model) -> None:
    made = frames(shot, model, [1, 2, 3])
    assert list(made) == [1, 2, 3]
    for image in made.values():
        assert image.shape == (43, 61, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1


@pytest.mark.parametrize("noise", ["fresh", "shared"])
def test_a_frame_does_not_depend_on_which_others_are_wanted(noise: str, shot: Shot, model: Model) -> None:
    whole = frames(shot, model, [1, 2, 3], noise=noise, seed=5)
    assert np.array_equal(whole[2], frames(shot, model, [2], noise=noise, seed=5)[2])
    assert np.array_equal(whole[3], frames(shot, model, [3, 1], noise=noise, seed=5)[3])


def test_noise_is_fresh_or_shared_as_chosen(shot: Shot, model: Model, tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2], SIZE)
    (tmp_path / "beauty" / "000002.png").write_bytes((tmp_path / "beauty" / "000001.png").read_bytes())
    still = Shot.open(tmp_path)
    shared = frames(still, model, [1, 2], noise="shared")
    fresh = frames(still, model, [1, 2], noise="fresh")
    assert np.array_equal(shared[1], shared[2])
    assert np.abs(fresh[1] - fresh[2]).mean() > 1e-3
    assert np.abs(fresh[1] - frames(still, model, [1], noise="fresh", seed=1)[1]).mean() > 1e-3


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("strength", [0.0, 0.01, 1.0])
def test_extreme_steps_and_strengths_work(strength: float, steps: int, shot: Shot, model: Model) -> None:
    image = frames(shot, model, [2], strength=strength, steps=steps)[2]
    assert np.isfinite(image).all()
    assert np.array_equal(image, shot.beauty(2)) == (strength == 0.0)


def test_the_prompt_the_guidance_and_the_control_count(shot: Shot, folder: Path, control: Path) -> None:
    def run(**changes: object) -> np.ndarray:
        given = {"model": str(folder), "controlnet": str(control), "control": "lines", **changes}
        chosen = from_keywords("framewise", steps=2, **given)
        return list(framewise(shot, load_model(chosen.framewise), chosen, [1], {}))[-1].image

    plain = run()
    for change in ({"prompt": "ink"}, {"guidance": 2.0, "prompt": "ink"}, {"control_scale": 0.0}, {"strength": 1.0}):
        assert np.abs(run(**change) - plain).max() > 1e-4, change
    assert np.array_equal(run(), plain)


def test_a_model_may_bring_its_controlnet(shot: Shot, folder: Path, tmp_path: Path) -> None:
    whole = tmp_path / "model"
    shutil.copytree(folder, whole)
    tiny.save_control(whole / "controlnet", whole)
    made = []
    for weight in (0.0, 1.0):
        chosen = from_keywords("framewise", model=str(whole), control="tile", control_scale=weight, steps=2)
        made.append(list(framewise(shot, load_model(chosen.framewise), chosen, [1], {}))[-1].image)
    assert np.abs(made[0] - made[1]).max() > 1e-4


def test_a_style_image_counts(shot: Shot, folder: Path, tmp_path: Path) -> None:
    adapter = tiny.save_style(tmp_path / "adapter.safetensors", folder)
    made = []
    for number in (1, 2):
        image = tmp_path / f"style{number}.png"
        image.write_bytes(encode_png(np.random.default_rng(number).random((40, 60, 3), np.float32)))
        chosen = from_keywords(
            "framewise", model=str(folder), style_adapter=str(adapter), style_image=str(image), steps=2
        )
        made.append(list(framewise(shot, load_model(chosen.framewise), chosen, [1], {}))[-1].image)
    assert np.abs(made[0] - made[1]).max() > 1e-4
    chosen = from_keywords("framewise", model=str(folder), style_adapter=str(adapter))
    with pytest.raises(UserError, match="no picture to look at"):
        next(framewise(shot, load_model(chosen.framewise), chosen, [1], {}))


def test_footage_without_data_cannot_follow_depth(shot: Shot, folder: Path, control: Path) -> None:
    chosen = from_keywords("framewise", model=str(folder), controlnet=str(control), control="depth")
    with pytest.raises(UserError, match="Footage has no depth"):
        next(framewise(shot, load_model(chosen.framewise), chosen, [1], {}))


def test_the_worker_runs_it_as_a_job(folder: Path, control: Path, tmp_path: Path) -> None:
    job = Job.create(
        tmp_path / "job", "Disc",
        from_keywords("framewise", model=str(folder), controlnet=str(control), control="lines", steps=2),
    )  # fmt: skip
    write_shot(job.shot_folder, [1, 2], SIZE)
    events: list = []
    assert run_job(job.folder, events.append, lambda: False).state == "done"
    assert job.finished() == [1, 2]
    (job.folder / "frames" / "000002.png").unlink()
    kept = (job.folder / "frames" / "000001.png").read_bytes()
    assert run_job(job.folder, events.append, lambda: False).state == "done"
    assert (job.folder / "frames" / "000001.png").read_bytes() == kept


def test_a_folder_that_is_no_model_fails_the_job_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    job = Job.create(tmp_path / "job", "Disc", from_keywords("framewise", model=str(tmp_path / "empty")))
    write_shot(job.shot_folder, [1], SIZE)
    state = run_job(job.folder, lambda _: None, lambda: False)
    assert state.state == "failed"
    assert "is no diffusers model" in state.message
