"""The model that ships: whole, small, of the classes it says, and obedient to its prompt and its control."""

import json
from pathlib import Path

import cv2
import diffusers
import numpy as np
import pytest
import transformers
from safetensors import safe_open

from backend.diffusion.model import STARTER as MODEL
from backend.starter.samples import open_starter, sample
from backend.starter.vocabulary import CAPTIONS

WEIGHTS = sorted(MODEL.rglob("*.safetensors"))


def test_all_weights_are_half_precision_safetensors_of_at_most_60_mb():
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert {path.parent.name for path in WEIGHTS} == {"vae", "unet", "controlnet", "text_encoder"}
    assert {path.suffix for path in files} == {".safetensors", ".json", ".md"}
    assert sum(path.stat().st_size for path in files) <= 60e6
    for path in WEIGHTS:
        assert path.stat().st_size < 40e6
        with safe_open(path, "np") as file:
            assert {file.get_slice(key).get_dtype() for key in file.keys()} <= {"F16", "I64"}  # noqa: SIM118


def test_diffusers_opens_it_by_the_classes_of_stable_diffusion():
    index = json.loads((MODEL / "model_index.json").read_text())
    libraries = {"diffusers": diffusers, "transformers": transformers}
    for name in ("vae", "unet", "controlnet", "text_encoder", "scheduler", "tokenizer"):
        library, kind = index[name]
        part = getattr(libraries[library], kind).from_pretrained(MODEL / name, local_files_only=True)
        assert type(part).__name__ == kind


def test_its_card_says_what_a_card_must():
    card = (Path(MODEL) / "README.md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Recipe", "## Licence", "## Limits"):
        assert heading in card


@pytest.fixture(scope="module")
def model():
    return open_starter()


@pytest.fixture(scope="module")
def source():
    y, x = np.mgrid[:96, :160].astype(np.float32) / 96
    image = np.stack([0.4 + 0.3 * x, 0.6 - 0.3 * y, 0.8 - 0.2 * y], -1)
    image[(x - 0.6) ** 2 + (y - 0.5) ** 2 < 0.09] = (0.8, 0.25, 0.15)
    return image


def outlines(image):
    soft = cv2.GaussianBlur(image.astype(np.float32).mean(-1), (0, 0), 4)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))[6:-6, 6:-6].ravel()


def test_structure_follows_the_control_and_the_seed_decides_the_strokes(model, source):
    prompt = CAPTIONS["oil"][0].format("a still life on a table")
    first, other = (sample(model, source, prompt, seed, steps=6) for seed in (1, 2))
    mirrored = sample(model, source[:, ::-1].copy(), prompt, 1, steps=6)
    assert np.corrcoef(outlines(first), outlines(source))[0, 1] > 0.5
    assert np.corrcoef(outlines(mirrored), outlines(source))[0, 1] < 0.5
    assert np.abs(first - other).mean() > 0.01


def test_the_prompt_decides_the_style(model, source):
    def sampled(style):
        return sample(model, source, CAPTIONS[style][0].format("a still life on a table"), 1, steps=6)

    pencil, impasto = sampled("pencil"), sampled("impasto")
    colourful = [np.ptp(picture, axis=-1).mean() for picture in (pencil, impasto)]
    assert colourful[0] < 0.4 * colourful[1]  # graphite has no colours
