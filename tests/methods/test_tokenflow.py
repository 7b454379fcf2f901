"""TokenFlow as a method, on small shots with tiny models of the real classes."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from time import sleep
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from layered_shot import LayeredShot
from torch import Tensor

from backend.bridge.errors import UserError
from backend.bridge.job import Job
from backend.bridge.settings import Settings, from_keywords
from backend.bridge.settings.tokenflow import PAPER
from backend.diffusion.attention import TokenBank
from backend.diffusion.controlnet import Control
from backend.diffusion.denoising import Denoiser
from backend.diffusion.inversion import inversion_levels, invert
from backend.diffusion.model import open_model
from backend.diffusion.pictures import crop, to_picture
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler
from backend.methods import FrameDone, Step
from backend.methods.conditions import Conditions, prepared
from backend.methods.framewise import framewise
from backend.methods.tokenflow import tokenflow
from backend.shot.shot import Shot
from backend.worker import run_job
from tests.diffusion import tiny
from tests.footage import write_shot

SIZE = (61, 43)  # no multiple of anything
FRAMES = [1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny.save_sd(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    return open_model(folder)


@pytest.fixture(scope="module")
def shot(tmp_path_factory: pytest.TempPathFactory) -> Shot:
    path = tmp_path_factory.mktemp("shot")
    write_shot(path, FRAMES, SIZE)
    return Shot.open(path)


def run(shot: Shot, model: Model, wanted: list[int] = FRAMES, **settings: object) -> dict[int, np.ndarray]:
    given = {"steps": 2, "strength": 1.0, "prompt": "oil", "key_spacing": 2, "joint_keys": 2, "finish": False}
    given |= settings
    events = list(tokenflow(shot, model, from_keywords("tokenflow", **given), wanted, {}))
    steps = [event for event in events if isinstance(event, Step)]
    assert steps[-1].done == steps[-1].total
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    return {event.frame: event.image for event in events if isinstance(event, FrameDone)}


WAYS = {
    "features": {},
    "motion": {"correspondence": "motion"},
    "logistic": {"weighting": "logistic"},
    "fixed": {"key_draw": "fixed", "correspondence": "motion", "finish": True},
    "plug-and-play": {"editor": "pnp", "inversion_fineness": 2},
    "plug-and-play along motion": {"editor": "pnp", "correspondence": "motion"},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_frame_comes_back_whichever_are_wanted(way: str, shot: Shot, model: Model) -> None:
    """Also those beyond a multiple of a group; and a resumed run makes the same frames as one in one go."""
    made = run(shot, model, **WAYS[way])
    assert list(made) == FRAMES
    for image in made.values():
        assert image.shape == (43, 61, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
    rest = run(shot, model, [5, 2], **WAYS[way])
    assert sorted(rest) == [2, 5]
    assert np.array_equal(rest[2], made[2]) and np.array_equal(rest[5], made[5])


def test_pictures_are_decoded_one_at_a_time(shot: Shot, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads look at finished frames; a plan for the memory counts on one of them to be decoded."""
    decode, at_work, most = model.codec.decode, [], []

    def noted(z: Tensor) -> Tensor:
        at_work.append(z)
        most.append(len(at_work))
        sleep(0.02)
        picture = decode(z)
        at_work.pop()
        return picture

    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(model.codec, "decode", noted)
    run(shot, model, finish=True, steps=1)
    assert max(most) == 1


def test_every_choice_counts(shot: Shot, model: Model) -> None:
    def difference(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> float:
        return max(float(np.abs(one[frame] - other[frame]).max()) for frame in FRAMES)

    given = {"noise": "fresh", "correspondence": "motion", "steps": 3}
    along = run(shot, model, **given)
    assert difference(along, run(shot, model, **{**given, "correspondence": "features"})) > 1e-4
    for name, change in {
        "logistic": {"weighting": "logistic"}, "fixed": {"key_draw": "fixed"}, "seed": {"seed": 1},
        "spacing": {"key_spacing": 3}, "alone": {"joint_keys": 1}, "finish": {"finish": True},
    }.items():  # fmt: skip
        assert difference(run(shot, model, **given, **change), along) > 1e-5, name


def test_a_still_shot_becomes_a_still_shot(model: Model, tmp_path: Path) -> None:
    """Identity motion, copies of one frame: every frame is the key's picture."""
    write_shot(tmp_path, FRAMES, SIZE)
    for frame in FRAMES[1:]:
        (tmp_path / "beauty" / f"{frame:06d}.png").write_bytes((tmp_path / "beauty" / "000001.png").read_bytes())
    still = Shot.open(tmp_path)
    for way in ("motion", "features"):
        made = run(still, model, correspondence=way, noise="shared")
        for frame in FRAMES[1:]:
            assert np.abs(made[frame] - made[1]).max() <= 1e-5, way
    fresh = run(still, model, correspondence="motion", noise="fresh")
    assert np.abs(fresh[2] - fresh[1]).max() > 1e-3


def test_the_preset_paper_is_the_published_way(shot: Shot, model: Model) -> None:
    given = {"steps": 1, "key_spacing": 3}
    paper = run(shot, model, preset="paper", correspondence="motion", **given)
    assert np.array_equal(paper[2], run(shot, model, **PAPER, **given)[2])
    assert np.abs(paper[2] - run(shot, model, **given)[2]).max() > 1e-4


def rows_of(
    shot: Shot, model: Model, method: Callable, name: str, monkeypatch: pytest.MonkeyPatch, **given: object
) -> int:
    """Return how many pictures pass the network in a run of two steps."""
    predict, rows = model.predict, []

    def counted(x: Tensor, *arguments: object) -> Tensor:
        rows.append(len(x))
        return predict(x, *arguments)

    monkeypatch.setattr(model, "predict", counted)
    list(method(shot, model, from_keywords(name, steps=2, strength=1.0, **given), FRAMES, {}))
    monkeypatch.undo()
    return sum(rows)


def test_along_motion_it_takes_no_more_passes_than_framewise(
    shot: Shot, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = rows_of(shot, model, framewise, "framewise", monkeypatch)
    exact = {"correspondence": "motion", "key_spacing": 2}
    assert rows_of(shot, model, tokenflow, "tokenflow", monkeypatch, **exact) == alone
    assert rows_of(shot, model, tokenflow, "tokenflow", monkeypatch, key_spacing=2) == 1.5 * alone
    paper = {"correspondence": "features", "key_spacing": 5, "weighting": "logistic"}
    assert rows_of(shot, model, tokenflow, "tokenflow", monkeypatch, **paper) <= 1.9 * alone


@pytest.mark.parametrize("way", ["motion", "features"])
def test_no_more_tokens_are_kept_of_a_longer_shot(
    way: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the keys: at most one window and the last key before it. Of the source: those, and the frames at work."""
    put, most = TokenBank.put, {}

    def watched(bank: TokenBank, *arguments: object) -> None:
        put(bank, *arguments)
        most[count] = max(most.get(count, 0), bank.bytes)

    monkeypatch.setattr(TokenBank, "put", watched)
    for count in (8, 24):
        write_shot(tmp_path / str(count), list(range(1, count + 1)), (32, 32))
        longer = Shot.open(tmp_path / str(count))
        run(longer, model, [1], correspondence=way, steps=1, guidance=1.0, key_spacing=2, joint_keys=2)
    assert most[24] == most[8] > 0


def test_without_an_edit_plug_and_play_returns_the_source_as_well_as_inversion(shot: Shot, tmp_path: Path) -> None:
    """Prompt and source prompt the same, no guidance, everything held: the PSNR of DDIM there and back.

    The model is made calm, its latents of the size that trained ones have; there is nothing to trace back to otherwise.
    """
    model = open_model(tiny.save_sd(tmp_path))
    model.codec.vae.register_to_config(scaling_factor=4.0)
    for weight in model.attention.network.conv_out.parameters():
        weight.data *= 0.3
    chosen = from_keywords(
        "tokenflow", steps=10, strength=1.0, guidance=1.0, editor="pnp", inversion_fineness=1, feature_share=1.0,
        attention_share=1.0, key_spacing=1, finish=False, prompt="oil", source_prompt="oil",
    )
    one = OneFrame(shot)
    held = next(e.image for e in tokenflow(one, model, chosen, [1], {}) if isinstance(e, FrameDone))
    z = model.codec.encode(prepared(one.beauty(1), model)[None] * 2 - 1)
    there_and_back, unedited = picture(model, back_again(one, model, chosen, z)), picture(model, z)
    assert psnr(held, unedited) >= psnr(there_and_back, unedited) - 0.01
    assert psnr(held, unedited) > 25
    edited = dataclasses.replace(chosen.tokenflow, prompt="ink", guidance=7.0)
    kept, free = (
        next(e.image for e in tokenflow(one, model, dataclasses.replace(chosen, tokenflow=each), [1], {})
             if isinstance(e, FrameDone))
        for each in (edited, dataclasses.replace(edited, feature_share=0.0, attention_share=0.0))
    )  # fmt: skip
    assert psnr(kept, unedited) > psnr(free, unedited)


class OneFrame:
    """The first frame of a shot, with the interface of a shot."""

    has_data = False

    def __init__(self, shot: Shot) -> None:
        self.frames, self.info, self.motion, self.beauty = (1,), shot.info, shot.motion, shot.beauty
        self.width, self.height = SIZE


def back_again(shot: OneFrame, model: Model, settings: Settings, z: Tensor) -> Tensor:
    """Invert latents by DDIM and sample them again."""
    sampler = Sampler(model.scheduler("ddim"), 10)
    conditions = Conditions(shot, model, settings)

    def predict(levels: Sampler, x: Tensor, step: int) -> Tensor:
        return Denoiser(model, levels, conditions)(x, step, [1])

    *_, (_, x) = invert(predict, model.scheduler("ddim"), z, inversion_levels(sampler.timesteps.tolist(), 1))
    for step in range(len(sampler)):
        x = sampler.advance(x, sampler.predict(predict(sampler, x, step), x, step), step)
    return x


def picture(model: Model, z: Tensor) -> np.ndarray:
    return crop(to_picture(model.codec.decode(z)[0] / 2 + 0.5), (SIZE[1], SIZE[0]))


def psnr(image: np.ndarray, truth: np.ndarray) -> float:
    return float(-10 * np.log10(((image - truth) ** 2).mean()))


def test_what_cannot_work_is_said_in_one_sentence(shot: Shot, model: Model, tmp_path: Path) -> None:
    chosen = from_keywords("tokenflow", editor="controlnet")
    with pytest.raises(UserError, match="no ControlNet to hold"):
        next(tokenflow(shot, model, chosen, FRAMES, {}))
    transformer = open_model(tiny.save_sd3(tmp_path, long=False))
    with pytest.raises(UserError, match="needs a UNet"):
        next(tokenflow(shot, transformer, from_keywords("tokenflow"), FRAMES, {}))


def test_the_editor_controlnet_starts_from_noise_alone(shot: Shot, folder: Path, tmp_path: Path) -> None:
    net = tiny.save_control(tmp_path, folder)
    controlled = open_model(folder, [Control("lines", net)])
    given = {"editor": "controlnet", "control": "lines", "controlnet": str(net)}
    whole = run(shot, controlled, [2], **given)
    assert np.array_equal(run(shot, controlled, [2], strength=0.3, **given)[2], whole[2])
    assert np.array_equal(run(shot, controlled, [2], **{**given, "editor": "sdedit"})[2], whole[2])


@pytest.mark.parametrize("strength", [0.0, 0.01])
def test_extreme_strengths_work(strength: float, shot: Shot, model: Model) -> None:
    chosen = from_keywords("tokenflow", strength=strength, steps=2, key_spacing=2)
    made = {e.frame: e.image for e in tokenflow(shot, model, chosen, FRAMES, {}) if isinstance(e, FrameDone)}
    assert list(made) == FRAMES
    assert all(np.array_equal(made[frame], shot.beauty(frame)) == (strength == 0) for frame in FRAMES)


def test_a_shot_with_a_cut_keeps_its_takes_apart(model: Model) -> None:
    """On either side of a cut a frame is made of keys of its own take; a longer take beyond it changes no weight."""
    whole = LayeredShot((48, 32), 7, cuts=(4,))
    whole.info = SimpleNamespace(cuts=(4,), data_frames=whole.frames)
    made = run(whole, model, list(whole.frames), noise="shared", correspondence="motion", key_spacing=4)
    assert list(made) == list(whole.frames)


def test_the_worker_runs_it_as_a_job(folder: Path, tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "Disc", from_keywords("tokenflow", model=str(folder), steps=2, strength=1.0))
    write_shot(job.shot_folder, [1, 2, 3], SIZE)
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    assert job.finished() == [1, 2, 3]
    kept = [(job.folder / "frames" / f"00000{frame}.png").read_bytes() for frame in (1, 2, 3)]
    (job.folder / "frames" / "000002.png").unlink()
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    assert [(job.folder / "frames" / f"00000{frame}.png").read_bytes() for frame in (1, 2, 3)] == kept
