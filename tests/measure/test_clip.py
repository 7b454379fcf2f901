"""CLIP as an extra of the measure, by a real CLIP model, tiny and untrained."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from backend.bridge.errors import UserError
from backend.bridge.files import write_file
from backend.bridge.job import Job
from backend.bridge.settings import from_keywords
from backend.measure.clip import SOURCE, Clip, clip_report
from backend.measure.report import find_clip, measure, table
from backend.measure.texture import Run
from backend.shot.pictures import encode_png
from tests.diffusion.tiny import make_text_encoder, make_tokenizer
from tests.footage import picture, write_shot

FRAMES = range(1, 11)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    text = make_text_encoder(transformers.CLIPTextModelWithProjection).config.to_dict()
    vision = {
        "hidden_size": 32, "intermediate_size": 37, "num_attention_heads": 4, "num_hidden_layers": 2, "image_size": 32,
        "patch_size": 8,
    }  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=24)
    transformers.CLIPModel(config).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True)
def shared_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(frame: int) -> np.ndarray:
    return picture(frame, (96, 72))


def negative(frame: int) -> np.ndarray:
    return 1 - run(frame)


def job(folder: Path, run: Run = run, **settings: object) -> Job:
    made = Job.create(folder, "Disc", from_keywords("framewise", **settings))
    write_shot(made.shot_folder, list(FRAMES), (96, 72))
    for frame in FRAMES:
        write_file(made.frame_path(frame), encode_png(run(frame)))
    return made


def test_numbers_are_those_that_transformers_gives(model: Path) -> None:
    network, tokenizer = transformers.CLIPModel.from_pretrained(model), make_tokenizer()
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    processor = transformers.CLIPImageProcessorPil(**sizes)
    images = [Image.fromarray(np.rint(run(frame).clip(0, 1) * 255).astype(np.uint8)) for frame in FRAMES]
    words = tokenizer(["oil", SOURCE], padding=True, return_tensors="pt")
    with torch.no_grad():
        said = network(**words, **processor(images=images, return_tensors="pt"))
        cosine = (said.logits_per_image / network.logit_scale.exp()).numpy()
    beside = torch.nn.functional.cosine_similarity(said.image_embeds[1:], said.image_embeds[:-1]).mean()
    found = Clip(model).numbers(run, dict.fromkeys(FRAMES, "oil"))
    assert found.clip_t == pytest.approx(cosine[:, 0].mean(), abs=1e-5)
    assert found.fram_acc == pytest.approx((cosine[:, 0] > cosine[:, 1]).mean())
    assert found.tem_con == pytest.approx(float(beside), abs=1e-5)
    assert Clip(model).numbers(lambda frame: run(1), dict.fromkeys(FRAMES, "oil")).tem_con == pytest.approx(1, abs=1e-5)


def test_every_frame_is_held_against_its_own_prompt(model: Path) -> None:
    clip, parts = Clip(model), []
    for frame in (1, 2):
        parts.append(clip.numbers(run, {frame: "oil" if frame == 1 else "at night"}).clip_t)
    assert clip.numbers(run, {1: "oil", 2: "at night"}).clip_t == pytest.approx(np.mean(parts), abs=1e-5)
    without = clip.numbers(run, {1: "", 2: ""})
    assert without.clip_t is without.fram_acc is None and without.tem_con is not None
    assert clip.numbers(run, {1: "oil"}).tem_con is None


def test_a_prompt_that_is_given_up_is_not_admissible(model: Path, tmp_path: Path) -> None:
    clip, prompts = Clip(model), dict.fromkeys(FRAMES, "oil")
    worse, better = clip.numbers(run, prompts).clip_t, clip.numbers(negative, prompts).clip_t
    assert better > 0 and worse < 0.97 * better, "of this untrained model"
    same = clip_report(clip, negative, negative, prompts, "")
    assert same["relative"] == pytest.approx(1) and same["passed"]
    given_up = clip_report(clip, run, negative, prompts, "")
    assert given_up["relative"] == pytest.approx(worse / better) and not given_up["passed"]
    mine, other = job(tmp_path / "mine", prompt="oil"), job(tmp_path / "other", negative, prompt="oil")
    found = measure(mine.folder, other.folder, clip=model)
    assert found["passed"]["prompt"] is found["admissible"] is False
    assert "must be >= 0.97: FAILS" in table(found)


def test_the_measure_has_it_where_the_artist_has_a_model(model: Path, shared_cache: Path, tmp_path: Path) -> None:
    mine = job(tmp_path / "mine", prompt="oil")
    assert measure(mine.folder)["clip"] is None
    found = measure(mine.folder, clip=model)
    assert found["clip"] == json.loads((mine.folder / "measure.json").read_text())["clip"]
    assert found["clip"]["model"] == model.name
    assert f"CLIP-T, prompt ({model.name})" in table(found) and "Tem-Con" in table(found)
    snapshot = shared_cache / "models--someone--tiny" / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(model)
    again = measure(mine.folder)["clip"]
    assert again == {**found["clip"], "model": "someone/tiny"}


def test_what_is_no_clip_model_is_not_opened(model: Path, tmp_path: Path) -> None:
    mine = job(tmp_path / "mine", prompt="oil")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((model / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"\x80")
    for folder in (pickled, tmp_path / "nowhere"):
        assert find_clip([folder]) is None
        with pytest.raises(UserError, match="holds no CLIP model"):
            measure(mine.folder, clip=folder)
    (pickled / "model.safetensors").write_bytes(b"cut short")
    with pytest.raises(UserError, match="cannot be opened"):
        measure(mine.folder, clip=pickled)
