"""The synchronized method on small shots of footage, with tiny models of the real classes."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import combinations
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch

from backend.bridge.errors import UserError
from backend.bridge.files import write_json
from backend.bridge.job import Job
from backend.bridge.settings import from_keywords
from backend.diffusion.model import open_model
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler
from backend.methods import FrameDone, Step
from backend.methods.framewise import framewise
from backend.methods.synchronized import Plan, planned, synchronized
from backend.shot.pictures import encode_png
from backend.shot.shot import Shot, read_json
from backend.starter.networks import SIZES, make_vae
from backend.worker import run_job
from tests.diffusion import tiny
from tests.footage import picture, write_shot
from tests.methods.sliding import Still, Unrelated

SIZE = (61, 43)  # no multiple of anything


class KnownShot(Shot):
    """A shot on disk whose motion is known beforehand."""

    motion = None


def known(folder: Path, motion) -> Shot:
    shot = KnownShot.open(folder)
    shot.motion = motion
    return shot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_sd(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def model(folder: Path) -> Model:
    torch.set_num_threads(1)
    return open_model(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small")
    write_shot(path, [1, 2, 3, 4], SIZE)
    return path


@pytest.fixture(scope="module")
def tiny_autoencoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("taesd")
    diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4, num_encoder_blocks=(1,) * 4,
        num_decoder_blocks=(1,) * 4, latent_channels=4,
    ).save_pretrained(path)  # fmt: skip
    return path


def events(shot: Shot, model: Model, wanted: list[int], **settings: object) -> list[Step | FrameDone]:
    chosen = from_keywords("synchronized", **{"steps": 4, "prompt": "oil", "guidance": 2.0, **settings})
    return list(synchronized(shot, model, chosen, wanted, {}))


def frames(shot: Shot, model: Model, wanted: list[int], **settings: object) -> dict[int, np.ndarray]:
    found = events(shot, model, wanted, **settings)
    return {event.frame: event.image for event in found if isinstance(event, FrameDone)}


def test_frames_of_a_still_shot_come_out_equal_whatever_noise_they_start_from(small: Path, model: Model) -> None:
    shot = known(small, Still(SIZE))
    plain = {"noise": "fresh", "strength": 1.0, "final_fusion": False, "steps": 6, "sampler": "ddim"}
    made = frames(shot, model, [1, 2, 3, 4], semantic_reconstruction=1.0, rule="keep_noise", **plain)
    apart = frames(shot, model, [1, 2, 3, 4], semantic_reconstruction=0.0, detail_refinement=0.0, **plain)
    assert np.abs(made[1] - made[4]).max() < 0.1 * np.abs(apart[1] - apart[4]).max()


@pytest.mark.parametrize("fusion", ["latents", "pixels"])
def test_frames_that_share_nothing_are_those_of_plain_sampling_bit_for_bit(fusion, small: Path, model: Model) -> None:
    made = frames(known(small, Unrelated(SIZE)), model, [1, 2, 3, 4], fusion=fusion)
    settings = from_keywords("framewise", steps=4, prompt="oil", guidance=2.0, noise="shared")
    plain = {e.frame: e.image for e in framewise(Shot.open(small), model, settings, [1, 2, 3, 4], {})
             if isinstance(e, FrameDone)}  # fmt: skip
    assert all(np.array_equal(made[frame], plain[frame]) for frame in plain)


@pytest.fixture(scope="module")
def colourful(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model whose autoencoder, though untrained, brings mean colours there and back."""
    path = tmp_path_factory.mktemp("colourful") / "model"
    shutil.copytree(folder, path)
    torch.manual_seed(0)
    make_vae(SIZES["micro"]).save_pretrained(path / "vae")
    return open_model(path)


@pytest.mark.parametrize("fusion", ["latents", "pixels"])
def test_fusing_makes_frames_of_fresh_noise_alike(fusion: str, small: Path, colourful: Model) -> None:
    shot, plain = known(small, Still(SIZE)), {"noise": "fresh", "strength": 1.0, "final_fusion": False}
    made = frames(shot, colourful, [1, 2, 3], window=4, fusion=fusion, **plain)
    apart = frames(shot, colourful, [1, 2, 3], semantic_reconstruction=0.0, detail_refinement=0.0, **plain)
    assert np.abs(made[1] - made[3]).mean() < 0.7 * np.abs(apart[1] - apart[3]).mean()


def test_a_tiny_autoencoder_fuses_in_its_own_way(small: Path, model: Model, tiny_autoencoder: Path) -> None:
    shot = known(small, Still(SIZE))
    made = {
        fusion: frames(shot, model, [2], fusion=fusion, tiny_autoencoder=str(tiny_autoencoder), noise="fresh")[2]
        for fusion in ("latents", "tiny", "pixels")
    }
    for one, other in combinations(made.values(), 2):
        assert np.abs(one - other).max() > 1e-4


def test_a_tiny_autoencoder_must_be_chosen_and_fit(small: Path, model: Model, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No tiny autoencoder is chosen"):
        frames(Shot.open(small), model, [1], fusion="tiny")
    blocks = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
    diffusers.AutoencoderTiny(latent_channels=16, **blocks).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="latents of another kind"):
        frames(Shot.open(small), model, [1], fusion="tiny", tiny_autoencoder=str(tmp_path))


@pytest.mark.parametrize("key_every", [1, 3])
def test_a_frame_is_the_same_whichever_others_are_wanted(key_every: int, model: Model, tmp_path: Path) -> None:
    write_shot(tmp_path, list(range(1, 12)), SIZE)
    chosen = {"window": 4, "steps": 2, "key_every": key_every}
    whole = frames(Shot.open(tmp_path), model, list(range(1, 12)), **chosen)
    assert sorted(whole) == list(range(1, 12))
    for wanted in ([6], [2, 9], [11]):
        again = frames(Shot.open(tmp_path), model, wanted, **chosen)
        assert list(again) and all(np.array_equal(again[frame], whole[frame]) for frame in wanted)


def test_every_frame_is_evaluated_once_a_step(model: Model, tmp_path: Path) -> None:
    write_shot(tmp_path, list(range(1, 12)), SIZE)
    found = [event for event in events(Shot.open(tmp_path), model, list(range(1, 12)), window=4, strength=1.0)
             if isinstance(event, Step)]  # fmt: skip
    assert [event.done for event in found] == list(range(1, 45)) and {event.total for event in found} == {44}
    assert set(Counter(event.note for event in found).values()) == {4}


def test_takes_do_not_touch_each_other(model: Model, tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2, 3, 4, 5], SIZE)
    plain = frames(Shot.open(tmp_path), model, [1, 2])
    shot = read_json(tmp_path / "shot.json")
    write_json(tmp_path / "shot.json", {**shot, "cuts": [3]})
    cut = frames(Shot.open(tmp_path), model, [1, 2])
    (tmp_path / "beauty" / "000004.png").write_bytes(encode_png(1 - picture(4, SIZE)))
    changed = frames(Shot.open(tmp_path), model, [1, 2])
    assert all(np.array_equal(cut[frame], changed[frame]) for frame in cut)
    assert any(not np.array_equal(plain[frame], cut[frame]) for frame in cut)


def test_final_fusion_makes_one_surface_one_picture_under_each_frames_own_light(model: Model, tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2, 3, 4], SIZE)
    for frame in (1, 2, 3, 4):
        light = 0.8 if frame == 4 else 1.0
        (tmp_path / "beauty" / f"{frame:06d}.png").write_bytes(encode_png(light * picture(1, SIZE)))
    made = frames(known(tmp_path, Still(SIZE)), model, [1, 2, 3, 4], noise="fresh")
    assert max(np.abs(made[1] - made[frame]).max() for frame in (2, 3)) <= 1e-5
    assert 0.5 < made[4].mean() / made[1].mean() < 0.95


@pytest.mark.parametrize(("steps", "strength"), [(1, 1.0), (2, 0.01), (3, 0.0)])
def test_extreme_steps_and_strengths_work(steps: int, strength: float, small: Path, model: Model) -> None:
    made = frames(Shot.open(small), model, [2], steps=steps, strength=strength)
    assert list(made) == [2] and np.isfinite(made[2]).all()
    assert np.array_equal(made[2], Shot.open(small).beauty(2)) == (strength == 0.0)


def test_the_paper_preset_sets_the_published_choices(small: Path, model: Model) -> None:
    chosen = from_keywords("synchronized", preset="paper", fusion="latents", steps=7).synchronized.resolved()
    assert (chosen.fusion, chosen.motion, chosen.blending) == ("pixels", "estimated", "seamless")
    assert not chosen.final_fusion and chosen.steps == 7
    made = frames(Shot.open(small), model, [1, 2, 3, 4], preset="paper", window=4)
    assert all(image.shape == (43, 61, 3) for image in made.values())


def test_a_model_that_has_only_x0_to_edit_works_too(small: Path, tmp_path: Path) -> None:
    made = frames(Shot.open(small), open_model(tiny.save_sd3(tmp_path)), [1, 2], steps=2, window=3)
    assert all(np.isfinite(image).all() for image in made.values())


def test_the_worker_runs_it_as_a_job(folder: Path, tmp_path: Path) -> None:
    job = Job.create(tmp_path / "job", "Disc", from_keywords("synchronized", model=str(folder), steps=2))
    write_shot(job.shot_folder, [1, 2, 3], SIZE)
    assert run_job(job.folder, lambda _: None, lambda: False).state == "done"
    assert job.finished() == [1, 2, 3]


def plan(steps: int, frames: tuple[int, ...], strength: float = 1.0, **settings: object) -> Plan:
    chosen = from_keywords("synchronized", **settings).synchronized
    scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing")
    return planned(Sampler(scheduler, steps, strength), frames, chosen, seed=3)


def test_every_frame_is_the_reference_equally_often() -> None:
    whole = {"semantic_reconstruction": 0.5, "detail_refinement": 1.0}
    drawn = list(plan(24, (4, 5, 6, 7), **whole).references.values())
    assert len(drawn) == 12
    assert all(sorted(drawn[start : start + 4]) == [4, 5, 6, 7] for start in (0, 4, 8))
    assert drawn == list(plan(24, (4, 5, 6, 7), **whole).references.values())
    assert len({tuple(drawn[start : start + 4]) for start in (0, 4, 8)}) > 1


def test_the_stages_follow_each_other_and_survive_few_steps() -> None:
    long = plan(20, (1, 2), confidence=6.0)
    assert list(long.exponents) == [0, 1] and list(long.exponents.values()) == [0.0, 6.0]
    assert sorted(long.references) == list(range(2, 7))
    halves = plan(20, (1, 2), 0.6, semantic_reconstruction=0.5, detail_refinement=1.0)
    assert list(halves.exponents) == list(range(6)) and sorted(halves.references) == list(range(6, 12))
    assert not plan(20, (1, 2), 0.6, semantic_reconstruction=0.0, detail_refinement=0.0).references
    short = plan(2, (1, 2))
    assert list(short.exponents) == [0] and list(short.references) == [1]
    averaged = plan(4, (1, 2), semantic_reconstruction=1.0)
    assert list(averaged.exponents) == [0, 1, 2, 3] and not averaged.references


def test_noise_is_shared_unless_asked_otherwise(small: Path, model: Model) -> None:
    shared = frames(Shot.open(small), model, [1], noise="shared")
    assert np.array_equal(frames(Shot.open(small), model, [1])[1], shared[1])
    with pytest.raises(UserError, match="no surfaces to anchor noise to"):
        frames(Shot.open(small), model, [1], noise="anchored")


@pytest.mark.parametrize("rule", ["carry_noise", "keep_noise", "keep_sample"])
def test_every_way_of_editing_brings_frames_nearer(rule: str, small: Path, colourful: Model) -> None:
    shot, plain = known(small, Still(SIZE)), {"noise": "fresh", "strength": 1.0, "final_fusion": False}
    made = frames(shot, colourful, [1, 2], rule=rule, **plain)
    apart = frames(shot, colourful, [1, 2], semantic_reconstruction=0.0, detail_refinement=0.0, **plain)
    assert np.abs(made[1] - made[2]).mean() < 0.9 * np.abs(apart[1] - apart[2]).mean()


def test_carried_noise_makes_the_frames_of_a_still_shot_one(model: Model, tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2, 3, 4], (64, 48))
    shot = known(tmp_path, Still((64, 48)))
    chosen = {"noise": "fresh", "strength": 1.0, "final_fusion": False, "detail_refinement": 1.0}
    carried, kept = (frames(shot, model, [1, 2, 3, 4], rule=rule, **chosen) for rule in ("carry_noise", "keep_noise"))
    far = [np.abs(made[1] - made[3]).mean() for made in (carried, kept)]
    assert far[0] < 1e-3 and far[1] > 10 * far[0], far
