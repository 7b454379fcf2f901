"""DiffSynth on real shots of footage, with tiny models of the real classes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.bridge.files import write_file
from backend.bridge.job import Job
from backend.bridge.settings import from_keywords
from backend.diffusion.model import load_model, open_model
from backend.diffusion.protocol import Model
from backend.methods import FrameDone, Step
from backend.methods import diffsynth as module
from backend.methods.conditions import Conditions
from backend.methods.diffsynth import deflickered, diffsynth
from backend.methods.smoothing import Run, SteadyControls
from backend.motion.warp import warp
from backend.shot.controls import ControlMaps
from backend.shot.pictures import encode_png, read_picture
from backend.shot.shot import Shot
from backend.worker import run_job
from tests.diffusion import tiny
from tests.footage import picture, write_shot
from tests.shot.probe import probe

SIZE = (61, 43)  # no multiple of anything


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_sd(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    torch.set_num_threads(1)
    return open_model(folder)


def flickering(folder: Path, count: int) -> Shot:
    """Write a still shot whose frames have noise and a brightness of their own."""
    write_shot(folder, list(range(1, count + 1)), SIZE)
    for frame in range(1, count + 1):
        rng = np.random.default_rng(frame)
        noisy = picture(1, SIZE) * (1 + 0.1 * (-1) ** frame) + 0.1 * rng.standard_normal((SIZE[1], SIZE[0], 3))
        write_file(folder / "beauty" / f"{frame:06d}.png", encode_png(np.clip(noisy, 0, 1).astype(np.float32)))
    return Shot.open(folder)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    path = tmp_path_factory.mktemp("shot")
    write_shot(path, [1, 2, 3, 4], SIZE)
    return Shot.open(path)


def frames(shot: Shot, model: Model, wanted: Sequence[int] = (), **settings: object) -> dict[int, np.ndarray]:
    chosen = from_keywords("diffsynth", **{"steps": 4, "prompt": "oil", "deflicker_every": 2, **settings})
    events = list(diffsynth(shot, model, chosen, wanted or shot.frames, {}))
    steps = [event for event in events if isinstance(event, Step)]
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert not steps or steps[-1].done == steps[-1].total or settings.get("finish") is False
    return {event.frame: event.image for event in events if isinstance(event, FrameDone)}


def spread(made: dict[int, np.ndarray]) -> float:
    """How much a still scene changes over time."""
    return float(np.std(list(made.values()), axis=0).mean())


@pytest.mark.parametrize("blend", ["strokes", "mean", "patches"])
def test_every_frame_comes_back_whichever_others_are_wanted(blend: str, shot: Shot, model: Model) -> None:
    whole = frames(shot, model, blend=blend, steps=2, deflicker_every=1)
    assert list(whole) == [1, 2, 3, 4]
    for image in whole.values():
        assert image.shape == (43, 61, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
    again = frames(Shot.open(shot.folder), model, [3], blend=blend, steps=2, deflicker_every=1)
    assert list(again) == [3]
    assert np.array_equal(again[3], whole[3])


class _Unchanged:
    """A smoother that leaves all frames as they are."""

    def __init__(self, run: Run) -> None:
        self.paint = run

    def look(self) -> Iterator[int]:
        return iter(())


def test_a_smoother_that_changes_nothing_leaves_sampling_unchanged(
    shot: Shot, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """methods.md 5(e) of DiffSynth; a plain encoding of the decoded pictures drifts."""
    plain = frames(shot, model, deflicker_every=0, finish=False)
    monkeypatch.setattr(module, "smoother", lambda run, *_: _Unchanged(run))
    still = frames(shot, model, deflicker_every=1, finish=True)
    assert max(np.abs(still[frame] - plain[frame]).max() for frame in plain) < 5e-6  # rounding, of S2 too
    monkeypatch.setattr(model.codec, "encode_delta", lambda z, edited, decoded: model.codec.encode(decoded))
    drifted = frames(shot, model, deflicker_every=1, finish=False)
    assert max(np.abs(drifted[frame] - plain[frame]).max() for frame in plain) > 1e-3


def test_deflickering_counts_on_the_way_and_at_the_end(tmp_path: Path, model: Model) -> None:
    still = flickering(tmp_path, 4)
    given = {"steps": 4, "strength": 0.5, "blend": "mean"}  # two steps are run
    alone = frames(still, model, deflicker_every=0, finish=False, **given)
    on_the_way = frames(still, model, deflicker_every=1, finish=False, **given)
    assert np.abs(on_the_way[2] - alone[2]).max() > 1e-3
    finished = frames(still, model, deflicker_every=1, finish=True, **given)
    assert spread(finished) < 0.95 * spread(on_the_way)


def test_edits_are_gentle_the_state_stays(shot: Shot, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = []
    advance = module.Sampler.advance
    monkeypatch.setattr(
        module.Sampler, "advance",
        lambda self, *given, rule="keep_noise": rules.append(rule) or advance(self, *given, rule=rule),
    )  # fmt: skip
    frames(shot, model, finish=False)
    assert set(rules) == {"keep_sample"}


def test_frames_look_at_the_first_and_the_previous_one(shot: Shot, model: Model) -> None:
    alone = frames(shot, model, attention=False, deflicker_every=0, finish=False)
    seen = frames(shot, model, attention=True, deflicker_every=0, finish=False)
    assert np.array_equal(alone[1], seen[1])
    assert all(np.abs(alone[frame] - seen[frame]).max() > 1e-4 for frame in (2, 3, 4))


def test_frames_look_at_others_while_pictures_form(
    shot: Shot, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []
    attend = type(model.attention).attend
    monkeypatch.setattr(
        type(model.attention), "attend",
        lambda self, *banks, **given: looked.append(len(banks)) or attend(self, *banks, **given),
    )  # fmt: skip
    frames(shot, model, steps=5, strength=1.0)
    assert looked == 3 * [1, 2, 2]  # four frames: the second sees the first, the others also the one before


def test_equal_frames_stay_equal(tmp_path: Path, model: Model) -> None:
    write_shot(tmp_path, [1, 2, 3], SIZE)
    for frame in (2, 3):
        (tmp_path / "beauty" / f"{frame:06d}.png").write_bytes((tmp_path / "beauty" / "000001.png").read_bytes())
    made = frames(Shot.open(tmp_path), model)
    assert max(np.abs(made[frame] - made[1]).max() for frame in made) < 2e-5


def test_deflickered_steps_are_spread_and_never_the_last() -> None:
    assert deflickered(20, 5) == {4, 9, 14}
    assert deflickered(4, 1) == {0, 1, 2}
    assert deflickered(4, 5) == {2}
    assert deflickered(20, 0) == deflickered(1, 5) == frozenset()


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_restoring_keeps_as_much_as_its_strength_says(strength: float, shot: Shot, model: Model) -> None:
    made = frames(shot, model, strength=strength, steps=2)
    assert np.isfinite(made[2]).all()
    assert np.array_equal(made[2], shot.beauty(2)) == (strength == 0.0)


def test_a_style_image_leads(shot: Shot, folder: Path, tmp_path: Path) -> None:
    adapter = tiny.save_style(tmp_path / "adapter.safetensors", folder)
    made = []
    for number in (1, 2):
        image = tmp_path / f"style{number}.png"
        image.write_bytes(encode_png(np.random.default_rng(number).random((40, 60, 3), np.float32)))
        given = {"style_adapter": str(adapter), "style_image": str(image), "steps": 2}
        loaded = load_model(from_keywords("diffsynth", model=str(folder), **given).diffsynth)
        made.append(frames(shot, loaded, **given)[1])
    assert np.abs(made[0] - made[1]).max() > 1e-4


def test_words_lead(shot: Shot, model: Model) -> None:
    made = [frames(shot, model, prompt=prompt, steps=2, strength=1.0) for prompt in ("oil", "ink")]
    assert np.abs(made[0][2] - made[1][2]).max() > 1e-3


@pytest.fixture(scope="module")
def rough(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """The frames of a rough render, refined by the worker under the render data's depth and normals."""
    path = tmp_path_factory.mktemp("rough")
    nets = [str(tiny.save_control(path / kind, folder, seed)) for seed, kind in enumerate(("depth", "normal"))]
    settings = from_keywords(
        "diffsynth", model=str(folder), prompt="oil", strength=0.5, steps=4, deflicker_every=1,
        controlnet=nets[0], control="depth", controlnet_2=nets[1], control_2="normal",
    )  # fmt: skip
    job = Job.create(path / "job", "Rough", settings)
    shutil.copytree(probe("frames=3", "size=64x36").shot().folder, job.shot_folder, dirs_exist_ok=True)
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    return job


def test_a_rough_render_is_refined_under_its_depth_and_normals(rough: Job) -> None:
    shot, settings = Shot.open(rough.shot_folder), rough.settings
    made = {frame: read_picture(rough.frame_path(frame))[0] for frame in shot.frames}
    assert all(made[frame].shape == shot.beauty(frame).shape for frame in shot.frames)
    loaded = load_model(settings.diffsynth)
    shown = Conditions(shot, loaded, settings, partial(SteadyControls, motion=shot.motion))[2].controls
    for kind, image in zip(("depth", "normal"), shown, strict=True):
        measured = ControlMaps(shot).image(kind, 2)
        assert measured.std() > 0.05
        assert np.array_equal(image[:, :36, :64].numpy(), np.moveaxis(measured, -1, 0))
    plain = refined(shot, rough)
    assert np.abs(plain[2] - made[2]).max() < 1 / 255
    for changed in ({"control_scale": 0.0}, {"control_scale_2": 0.0}):
        assert np.abs(refined(shot, rough, **changed)[2] - plain[2]).max() > 1e-4, changed


def test_what_is_refined_holds_still_on_the_surfaces(rough: Job) -> None:
    shot = Shot.open(rough.shot_folder)
    found = shot.motion.pair(3, 2)

    def change(made: dict[int, np.ndarray]) -> float:
        return float(np.abs(made[3] - warp(made[2], found.flow))[found.strict].mean())

    made = {frame: read_picture(rough.frame_path(frame))[0] for frame in shot.frames}
    assert change(made) < 0.7 * change(refined(shot, rough, deflicker_every=0, finish=False))


def refined(shot: Shot, job: Job, **changed: object) -> dict[int, np.ndarray]:
    """The frames of a job, made with some of its settings ``changed``."""
    chosen = replace(job.settings.diffsynth, **changed)
    events = diffsynth(shot, load_model(chosen), replace(job.settings, diffsynth=chosen), shot.frames, {})
    return {event.frame: event.image for event in events if isinstance(event, FrameDone)}


def test_edges_found_in_footage_are_steadied(tmp_path: Path) -> None:
    still = flickering(tmp_path, 5)
    plain, steady = ControlMaps(still), SteadyControls(still, ("edges",), still.motion)
    drawn = {name: {f: maps.image("edges", f) for f in still.frames} for name, maps in (("a", plain), ("b", steady))}
    assert spread(drawn["b"]) < 0.6 * spread(drawn["a"])
    assert np.array_equal(steady.image("tile", 3), still.beauty(3))


def test_the_worker_runs_it_and_goes_on_with_it(folder: Path, tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "Disc", from_keywords("diffsynth", model=str(folder), steps=2))
    write_shot(job.shot_folder, [1, 2], SIZE)
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    whole = (job.folder / "frames" / "000002.png").read_bytes()
    (job.folder / "frames" / "000002.png").unlink()
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    assert (job.folder / "frames" / "000002.png").read_bytes() == whole
