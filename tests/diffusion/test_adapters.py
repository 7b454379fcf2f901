"""LoRA, style images and single files, each against the same weights put in by other means."""

from __future__ import annotations

import shutil
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from backend.bridge.errors import UserError
from backend.diffusion.attention import TokenBank
from backend.diffusion.conditioning import Condition
from backend.diffusion.denoising import Denoiser
from backend.diffusion.model import Extras, open_model
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler, gaussian_noise
from tests.diffusion import tiny


def prediction(model: Model, style: Tensor | None = None, frames: int = 1, guidance: float | None = 5.0) -> Tensor:
    text, negative = model.encode_text(["oil paint", "blur"])
    if style is not None:
        text, negative = model.encode_style(style, text, negative)
    sampler = Sampler(model.scheduler("ddim"), 4)
    conditions = {frame: Condition(text, negative, guidance=guidance) for frame in range(frames)}
    x = sampler.start(torch.zeros(frames, 4, 8, 10), gaussian_noise((4, 8, 10), range(frames)))
    return Denoiser(model, sampler, conditions, batch=frames)(x, 1, list(conditions))


@pytest.fixture(scope="module")
def lora(sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_lora(tmp_path_factory.mktemp("lora") / "ink.safetensors", sd_folder)


@pytest.fixture(scope="module")
def style(sd_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_style(tmp_path_factory.mktemp("style") / "adapter.safetensors", sd_folder)


def test_a_lora_is_the_sum_of_its_products(sd_folder: Path, lora: Path, tmp_path: Path) -> None:
    """Against a model whose files hold W + 0.5 B A."""
    by_hand = tmp_path / "model"
    shutil.copytree(sd_folder, by_hand)
    update = load_file(lora)
    for part, file, prefix in (
        ("unet", "diffusion_pytorch_model.safetensors", "unet."),
        ("text_encoder", "model.safetensors", "text_encoder.text_model."),
    ):
        weights = load_file(by_hand / part / file)
        for name in weights:
            key = prefix + name.removesuffix(".weight")
            if f"{key}.lora_A.weight" in update:
                weights[name] += 0.5 * update[f"{key}.lora_B.weight"] @ update[f"{key}.lora_A.weight"]
        save_file(weights, by_hand / part / file, {"format": "pt"})
    expected = prediction(open_model(by_hand))
    assert (prediction(open_model(sd_folder, extras=Extras(loras=[(lora, 0.5)]))) - expected).abs().max() <= 1e-5
    assert (prediction(open_model(sd_folder)) - expected).abs().max() > 1e-3
    plain = prediction(open_model(sd_folder, extras=Extras(loras=[(lora, 0.0)])))
    assert (plain - prediction(open_model(sd_folder))).abs().max() <= 1e-6


def test_live_lora_layers_count_under_controlled_attention(sd_folder: Path, lora: Path) -> None:
    """LoRA layers that are not merged sit on the projections; joint attention of equal frames stays plain."""
    model = open_model(sd_folder)
    pipeline = diffusers.StableDiffusionPipeline(
        **{name: None for name in ("vae", "text_encoder", "tokenizer", "safety_checker", "feature_extractor")},
        unet=model._parts.unet, scheduler=model.scheduler(), requires_safety_checker=False,
    )  # fmt: skip
    before = prediction(model, guidance=None)
    weights = {key: value for key, value in load_file(lora).items() if key.startswith("unet.")}
    pipeline.load_lora_weights(weights, adapter_name="ink")
    plain = prediction(model, guidance=None)
    assert (plain - before).abs().max() > 1e-3
    bank = TokenBank()
    with model.attention.record(bank):
        prediction(model, guidance=None)
    with model.attention.attend(bank, layers=""):
        assert (prediction(model, guidance=None) - plain).abs().max() <= 2e-6


def test_a_style_image_speaks_and_equals_diffusers_own(sd_folder: Path, style: Path) -> None:
    model = open_model(sd_folder, extras=Extras(style=(style, 0.6)))
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with_one, with_other = (prediction(model, picture) for picture in pictures)
    assert (with_one - with_other).abs().max() > 1e-4
    pipeline = diffusers.StableDiffusionPipeline(
        vae=diffusers.AutoencoderKL.from_pretrained(sd_folder / "vae"),
        text_encoder=transformers.CLIPTextModel.from_pretrained(sd_folder / "text_encoder"),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(sd_folder / "tokenizer"),
        unet=diffusers.UNet2DConditionModel.from_pretrained(sd_folder / "unet"),
        scheduler=model.scheduler("ddim"), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    encoder = transformers.CLIPVisionModelWithProjection.from_pretrained(style.parent / "image_encoder")
    pipeline.register_modules(image_encoder=encoder)
    pipeline.load_ip_adapter(str(style.parent), subfolder="", weight_name=style.name, image_encoder_folder=None)
    pipeline.set_ip_adapter_scale(0.6)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (diffusers_mean(), diffusers_std()))
    with torch.no_grad():
        embeds = encoder((pictures[:1] - mean) / std).image_embeds
    pipeline.set_progress_bar_config(disable=True)
    sampler = Sampler(model.scheduler("ddim"), 4)
    x = noise = gaussian_noise((4, 8, 10), [0])(0)
    expected = pipeline(
        "oil paint", negative_prompt="blur", latents=noise, num_inference_steps=4, guidance_scale=5.0, height=64,
        width=80, ip_adapter_image_embeds=[torch.stack([torch.zeros_like(embeds), embeds])], output_type="latent",
    ).images  # fmt: skip
    text, negative = model.encode_style(pictures[0], *model.encode_text(["oil paint", "blur"]))
    denoiser = Denoiser(model, sampler, {1: Condition(text, negative, guidance=5.0)})
    for step in range(len(sampler)):
        x = sampler.advance(x, sampler.predict(denoiser(x, step, [1]), x, step), step)
    assert (x - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


def diffusers_mean() -> list[float]:
    return transformers.CLIPImageProcessor().image_mean


def diffusers_std() -> list[float]:
    return transformers.CLIPImageProcessor().image_std


def test_style_and_controlled_attention_live_together(sd_folder: Path, style: Path) -> None:
    """Joint attention changes what frames see of each other and leaves what they see of the style image."""
    model = open_model(sd_folder, extras=Extras(style=(style, 0.6)))
    picture = torch.rand(3, 40, 64, generator=torch.Generator().manual_seed(0))
    plain = prediction(model, picture, frames=2)
    with model.attention.joint():
        joint = prediction(model, picture, frames=2)
    assert (joint - plain).abs().max() > 1e-4
    bank = TokenBank()
    with model.attention.record(bank):
        once = prediction(model, picture, guidance=None)
    with model.attention.attend(bank, bank, layers=""):
        assert (prediction(model, picture, guidance=None) - once).abs().max() <= 2e-6
    quiet = open_model(sd_folder, extras=Extras(style=(style, 0.0)))
    assert (prediction(quiet, picture) - prediction(open_model(sd_folder))).abs().max() <= 1e-5


def test_a_single_file_is_the_model_it_was_made_from(sd_folder: Path, tmp_path: Path) -> None:
    path = tiny.save_checkpoint(tmp_path / "checkpoint.safetensors", sd_folder)
    base = tiny.save_sd(tmp_path / "base", seed=9)
    single, whole = open_model(path, extras=Extras(base=base)), open_model(sd_folder)
    assert (prediction(single) - prediction(whole)).abs().max() <= 1e-6
    z = whole.codec.encode(torch.rand(1, 3, 64, 64))
    assert (single.codec.decode(z) - whole.codec.decode(z)).abs().max() <= 1e-5
    image = whole.codec.decode(z)
    assert (single.codec.encode(image) - whole.codec.encode(image)).abs().max() <= 1e-5
    assert (prediction(open_model(base)) - prediction(whole)).abs().max() > 1e-3


def test_single_files_and_adapters_that_do_not_fit_are_refused(sd_folder: Path, lora: Path, tmp_path: Path) -> None:
    path = tiny.save_checkpoint(tmp_path / "checkpoint.safetensors", sd_folder)
    with pytest.raises(UserError, match="needs a diffusers folder of its family"):
        open_model(path)
    other = tiny.save_sd(tmp_path / "other", block_out_channels=(16, 32, 48, 48))
    with pytest.raises(UserError, match="Choose a base of its family"):
        open_model(path, extras=Extras(base=other))
    weights = load_file(path)
    weights.pop("model.diffusion_model.middle_block.0.in_layers.0.weight")
    save_file(weights, tmp_path / "lacking.safetensors")
    with pytest.raises(UserError, match="Choose a base of its family"):
        open_model(tmp_path / "lacking.safetensors", extras=Extras(base=sd_folder))
    weights = load_file(path)
    weights["model.diffusion_model.out.2.bias"][0] = float("inf")
    save_file(weights, tmp_path / "infinite.safetensors")
    with pytest.raises(UserError, match="is not a number everywhere"):
        open_model(tmp_path / "infinite.safetensors", extras=Extras(base=sd_folder))
    pickled = tmp_path / "model.ckpt"
    pickled.write_bytes(b"\x80\x04.")
    for extras, source in (
        (Extras(base=sd_folder), pickled),
        (Extras(loras=[(pickled, 1.0)]), sd_folder),
        (Extras(style=(pickled, 1.0)), sd_folder),
    ):
        with pytest.raises(UserError, match="is a pickle"):
            open_model(source, extras=extras)
    with pytest.raises(UserError, match=r"LoRA .* does not fit"):
        open_model(other, extras=Extras(loras=[(lora, 1.0)]))
    strangers = tmp_path / "strangers.safetensors"
    save_file({f"unet.nowhere.lora_{part}.weight": torch.ones(2, 2) for part in "AB"}, strangers)
    with pytest.raises(UserError, match=r"LoRA .* does not fit"):
        open_model(sd_folder, extras=Extras(loras=[(strangers, 1.0)]))
    foreign = tiny.save_style(tmp_path / "style.safetensors", other)
    save_file({"image_proj.proj.weight": torch.ones(2, 2)}, foreign)
    with pytest.raises(UserError, match=r"style adapter .* does not fit"):
        open_model(sd_folder, extras=Extras(style=(foreign, 1.0)))
