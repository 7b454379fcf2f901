import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from backend.shot.pictures import encode_png
from backend.starter.dataset import load_pairs, prepare
from backend.starter.networks import SIZES, make_denoiser, make_vae
from backend.starter.train import encode_all, main, trained_vae


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    (folder / "renders").mkdir()
    y, x = np.mgrid[:32, :64] / 64
    for number in (0, 3, 22):  # 22 is held out
        image = np.stack([x, y, np.full_like(x, number / 30)], -1)
        image[8:20, 10 + number : 30 + number] = (0.8, 0.3, 0.2)
        (folder / "renders" / f"{number:05d}.png").write_bytes(encode_png(image))
    prepare(folder, variants=1, seed=0)
    return folder


def run(data, out, stage, steps, *more):
    main([
        "--stage", stage, "--data", str(data), "--out", str(out), "--size", "micro", "--steps", str(steps),
        "--minutes", "5", *more,
    ])


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken")
    run(data, out, "vae", 3)
    run(data, out, "diffusion", 3)
    return out


def test_pairs_hold_a_render_and_its_painting(data):
    seen, held_out = load_pairs(data, held_out=False), load_pairs(data, held_out=True)
    assert set(seen.styles) == set(held_out.styles) | {"oil"}
    assert set(held_out.contents) == {"a windmill on a hill"}
    assert seen.sources.shape == seen.paintings.shape == (len(seen), 32, 64, 3)
    assert (seen.sources != seen.paintings).mean() > 0.5
    drawn = seen.draw(800, np.random.default_rng(0))
    shares = [np.mean([seen.styles[number] == style for number in drawn]) for style in set(seen.styles)]
    assert min(shares) > 0.07  # oil too, which has fewer pairs
    before = {path.name: path.read_bytes() for path in (data / "pairs").iterdir()}
    (data / "pairs" / "00000-ink-0.png").unlink()
    prepare(data, variants=1, seed=0)
    assert {path.name: path.read_bytes() for path in (data / "pairs").iterdir()} == before


@pytest.mark.parametrize("stage", ["vae", "diffusion"])
def test_a_broken_run_goes_on_as_if_it_had_not_been_broken(stage, data, trained, tmp_path):
    if stage == "diffusion":
        (tmp_path / "vae.safetensors").write_bytes((trained / "vae.safetensors").read_bytes())
    for steps in (1, 2, 3):
        run(data, tmp_path, stage, steps)
    resumed, unbroken = (load_file(folder / f"{stage}.safetensors") for folder in (tmp_path, trained))
    assert resumed.keys() == unbroken.keys()
    assert all(torch.isfinite(value).all() for value in unbroken.values())
    assert all(torch.equal(resumed[key], unbroken[key]) for key in unbroken)
    moved = [key for key in unbroken if key.startswith("weight/") and not torch.equal(
        unbroken[key], unbroken[key.replace("weight", "average", 1)])]
    assert moved


def test_latents_have_mean_0_and_deviation_1_and_decode_as_before(data, trained):
    pairs = load_pairs(data, held_out=False)
    vae = trained_vae(trained, SIZES["micro"], pairs)
    latents = encode_all(vae, pairs.paintings).float()
    assert latents.mean((0, 2, 3)).abs().max() < 0.1
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.1


def test_export_writes_a_model_that_the_diffusion_core_opens(data, trained):
    from backend.starter.samples import open_starter, sample

    run(data, trained, "export", 3)
    model = open_starter(trained / "model")
    source = load_pairs(data, held_out=True).sources[0].astype(np.float32) / 255
    picture = sample(model, source, "oil painting", seed=0, steps=2)
    assert picture.shape == source.shape and np.isfinite(picture).all()
    assert json.loads((trained / "model" / "model_index.json").read_text())["unet"][1] == "UNet2DConditionModel"


def test_training_goes_on_from_an_exported_model(data, trained, tmp_path):
    run(data, trained, "export", 3)
    exported = ("--model", str(trained / "model"), "--rate", "1e-9")
    run(data, tmp_path, "diffusion", 1, *exported)
    run(data, tmp_path, "export", 1, *exported)
    for part in ("vae", "unet", "controlnet"):
        before, after = (
            load_file(folder / "model" / part / "diffusion_pytorch_model.safetensors") for folder in (trained, tmp_path)
        )
        assert all(torch.allclose(after[key].float(), before[key].float(), atol=1e-3) for key in before)


@pytest.mark.parametrize("name", sorted(SIZES))
def test_a_model_of_any_size_takes_at_most_60_mb(name):
    networks = [make_vae(SIZES[name]), *make_denoiser(SIZES[name]).values()]
    assert 2 * sum(weight.numel() for network in networks for weight in network.parameters()) <= 60e6
