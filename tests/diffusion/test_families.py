"""The other families against diffusers' own pipelines: XL, union ControlNets, Stable Diffusion 3."""

from __future__ import annotations

import json
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from torch import Tensor

from backend.bridge.errors import UserError
from backend.diffusion import model as model_module
from backend.diffusion.conditioning import Condition
from backend.diffusion.controlnet import Control
from backend.diffusion.denoising import Denoiser
from backend.diffusion.model import open_model
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler, Window, gaussian_noise
from tests.diffusion import tiny
from tests.diffusion.test_denoising import SIZE, denoise, picture, pipeline_noise


@pytest.fixture(scope="module")
def xl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_xl(tmp_path_factory.mktemp("xl"))


@pytest.fixture(scope="module")
def sd3_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_sd3(tmp_path_factory.mktemp("sd3"))


def xl_parts(folder: Path) -> dict[str, object]:
    return {
        "vae": diffusers.AutoencoderKL.from_pretrained(folder / "vae"),
        "text_encoder": transformers.CLIPTextModel.from_pretrained(folder / "text_encoder"),
        "text_encoder_2": transformers.CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2"),
        "tokenizer": transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        "tokenizer_2": transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        "unet": diffusers.UNet2DConditionModel.from_pretrained(folder / "unet"),
        "add_watermarker": False,
    }


def theirs(pipeline: diffusers.DiffusionPipeline, z: Tensor, **more: object) -> Tensor:
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        prompt="oil paint", image=z, strength=0.5, num_inference_steps=6, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(7), output_type="latent", **more,
    ).images  # fmt: skip


def ours(model: Model, z: Tensor, negative: str, controls: tuple = (), weights: tuple = ()) -> Tensor:
    text, against = model.encode_text(["oil paint", negative])
    condition = Condition(text, against, controls, weights)
    return denoise(model, Sampler(model.scheduler(), 6, 0.5), {1: condition}, z, pipeline_noise(7, z.shape))


@pytest.mark.parametrize("negative", ["", "blur"])
def test_xl_with_a_controlnet_equals_diffusers_own(negative: str, xl_folder: Path, tmp_path: Path) -> None:
    control = tiny.save_control(tmp_path, xl_folder)
    model = open_model(xl_folder, [Control("depth", control)])
    z = model.codec.encode(picture(3).unsqueeze(0) * 2 - 1)
    net = diffusers.ControlNetModel.from_pretrained(control)
    pipeline = diffusers.StableDiffusionXLControlNetImg2ImgPipeline(
        **xl_parts(xl_folder), controlnet=net, scheduler=model.scheduler()
    )
    expected = theirs(
        pipeline, z, negative_prompt=negative or None, control_image=picture(4).unsqueeze(0), height=SIZE[0],
        width=SIZE[1], controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    assert model.info.family == "sdxl"
    assert (ours(model, z, negative, (picture(4),), (0.7,)) - expected).abs().max() <= 1e-5


def test_a_union_controlnet_equals_diffusers_own(xl_folder: Path, tmp_path: Path) -> None:
    union = tiny.save_union(tmp_path, xl_folder)
    model = open_model(xl_folder, [Control("normal", union)])
    z = model.codec.encode(picture(3).unsqueeze(0) * 2 - 1)
    net = diffusers.ControlNetUnionModel.from_pretrained(union)
    pipeline = diffusers.StableDiffusionXLControlNetUnionImg2ImgPipeline(
        **xl_parts(xl_folder), controlnet=net, scheduler=model.scheduler()
    )
    expected = theirs(
        pipeline, z, negative_prompt="blur", control_image=[picture(4).unsqueeze(0)], control_mode=[4],
        height=SIZE[0], width=SIZE[1], controlnet_conditioning_scale=0.7,
    )  # fmt: skip
    assert (ours(model, z, "blur", (picture(4),), (0.7,)) - expected).abs().max() <= 1e-5


def test_a_union_controlnet_serves_several_controls_and_refuses_what_it_has_not_learned(
    xl_folder: Path, tmp_path: Path
) -> None:
    union = tiny.save_union(tmp_path, xl_folder)
    model = open_model(xl_folder, [Control("depth", union), Control("lines", union)])
    z = torch.zeros(1, 4, 9, 13)
    both = ours(model, z, "", (picture(1), picture(2)), (1.0, 1.0))
    only = ours(model, z, "", (picture(1), picture(2)), (1.0, 0.0))
    assert (both - only).abs().max() > 1e-4
    with pytest.raises(UserError, match="has not learned tile"):
        open_model(xl_folder, [Control("tile", union)])


@pytest.mark.parametrize("name", ["ControlNetModel", "ControlNetModel_Union"])
def test_a_union_controlnet_is_one_by_whatever_name(name: str, xl_folder: Path, tmp_path: Path) -> None:
    union = tiny.save_union(tmp_path, xl_folder)
    z, config = torch.zeros(1, 4, 9, 13), union / "config.json"
    expected = ours(open_model(xl_folder, [Control("normal", union)]), z, "", (picture(1),), (1.0,))
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_class_name": name}))
    made = ours(open_model(xl_folder, [Control("normal", union)]), z, "", (picture(1),), (1.0,))
    assert (made - expected).abs().max() == 0


@pytest.mark.parametrize("long", [True, False])
def test_sd3_equals_diffusers_own(long: bool, tmp_path: Path) -> None:
    folder = tiny.save_sd3(tmp_path, long=long)
    model = open_model(folder)
    clip = transformers.CLIPTextModelWithProjection
    pipeline = diffusers.StableDiffusion3Img2ImgPipeline(
        transformer=diffusers.SD3Transformer2DModel.from_pretrained(folder / "transformer"),
        scheduler=model.scheduler(),
        vae=diffusers.AutoencoderKL.from_pretrained(folder / "vae"),
        text_encoder=clip.from_pretrained(folder / "text_encoder"),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        text_encoder_2=clip.from_pretrained(folder / "text_encoder_2"),
        tokenizer_2=transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer_2"),
        text_encoder_3=transformers.T5EncoderModel.from_pretrained(folder / "text_encoder_3") if long else None,
        tokenizer_3=transformers.T5TokenizerFast.from_pretrained(folder / "tokenizer_3") if long else None,
    )
    z = model.codec.encode(torch.rand(1, 3, 80, 112, generator=torch.Generator().manual_seed(3)) * 2 - 1)
    expected = theirs(pipeline, z, negative_prompt="blur", height=80, width=112)
    assert model.info.multiple == 16
    assert (ours(model, z, "blur") - expected).abs().max() <= 1e-5


def test_sd3_does_what_asks_for_x0_only(sd3_folder: Path) -> None:
    """Frames fused at every step end equal, whatever noise they began with: the base of synchronised methods."""
    model = open_model(sd3_folder)
    assert model.attention is None
    texts = model.encode_text(["oil", "ink", "paper", ""])
    conditions = {frame: Condition(text, texts[3], guidance=4.0) for frame, text in enumerate(texts[:3])}
    sampler = Sampler(model.scheduler(), 6)
    denoiser = Denoiser(model, sampler, conditions)
    x = sampler.start(torch.zeros(3, 16, 8, 8), gaussian_noise((16, 8, 8), [1, 2, 3]))
    early = Window(0.0, 0.5).steps(sampler)
    assert early
    spread = []
    for step in range(len(sampler)):
        prediction = sampler.predict(denoiser(x, step, list(conditions)), x, step)
        consensus = prediction.x0.mean(dim=0, keepdim=True).expand_as(x)
        x = sampler.advance(x, prediction, step, consensus)
        spread.append(float((x - x.mean(dim=0)).square().mean().sqrt()))
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] <= 1e-6 < spread[0]


def test_a_model_with_guidance_inside_equals_diffusers_own(tmp_path: Path) -> None:
    folder = tiny.save_sd(tmp_path, time_cond_proj_dim=16)
    tiny.save_index(folder, "LatentConsistencyModelPipeline")
    model = open_model(folder)
    pipeline = diffusers.LatentConsistencyModelImg2ImgPipeline(
        vae=diffusers.AutoencoderKL.from_pretrained(folder / "vae"),
        text_encoder=transformers.CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=diffusers.UNet2DConditionModel.from_pretrained(folder / "unet"),
        scheduler=model.scheduler("lcm"), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    z = model.codec.encode(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1)
    expected = pipeline(
        prompt="oil paint", image=z, strength=1.0, num_inference_steps=4, guidance_scale=5.0,
        original_inference_steps=50, generator=torch.Generator().manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    text, negative = model.encode_text(["oil paint", "anything"])
    sampler = Sampler(model.scheduler("lcm"), 4)
    denoised = denoise(model, sampler, {1: Condition(text, negative)}, z, pipeline_noise(7, z.shape))
    assert (denoised - expected).abs().max() <= 1e-5 * float(expected.abs().max())


@pytest.mark.parametrize("family", ["sd", "sdxl", "sd3"])
def test_half_precision_predicts_the_same_but_for_rounding(
    family: str, sd_folder: Path, xl_folder: Path, sd3_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What runs on a GPU: networks in half precision, everything between them in float32."""
    folder = {"sd": sd_folder, "sdxl": xl_folder, "sd3": sd3_folder}[family]
    controls = [] if family == "sd3" else [Control("depth", tiny.save_control(tmp_path, folder))]
    full = open_model(folder, controls)
    monkeypatch.setattr(model_module, "precision", lambda _: torch.bfloat16)
    half = open_model(folder, controls)
    image = torch.rand(1, 3, 64, 80, generator=torch.Generator().manual_seed(3)) * 2 - 1
    results = []
    for model in (full, half):
        text, negative = model.encode_text(["oil paint", "blur"])
        condition = Condition(text, negative, (image[0] / 2 + 0.5,) * len(controls), (1.0,) * len(controls))
        z = model.codec.encode(image)
        noise = gaussian_noise(z.shape[1:], [0])
        x = denoise(model, Sampler(model.scheduler(), 4, 0.5), {1: condition}, z, noise, guidance=2.0)
        assert x.dtype == torch.float32
        results.append((x, model.codec.decode(x)))
    (x, picture_full), (y, picture_half) = results
    assert 0 < (x - y).abs().mean() <= 0.05 * x.std()
    assert (picture_full - picture_half).abs().mean() <= 0.05


def test_a_flow_model_refuses_samplers_and_controls_that_it_cannot_use(sd3_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sampler ddim cannot"):
        open_model(sd3_folder).scheduler("ddim")
    with pytest.raises(UserError, match="takes no ControlNet"):
        open_model(sd3_folder, [Control("depth", tmp_path)])
