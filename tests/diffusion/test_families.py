"""The other families against diffusers' own pipelines: XL, union ControlNets, Stable Diffusion 3."""

from __future__ import annotations

from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from torch import Tensor

from backend.bridge.errors import UserError
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
    conditions = {frame: Condition(text, texts[3]) for frame, text in enumerate(texts[:3])}
    sampler = Sampler(model.scheduler(), 6)
    denoiser = Denoiser(model, sampler, conditions, 4.0)
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


def test_a_flow_model_refuses_samplers_and_controls_that_it_cannot_use(sd3_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="sampler ddim cannot"):
        open_model(sd3_folder).scheduler("ddim")
    with pytest.raises(UserError, match="takes no ControlNet"):
        open_model(sd3_folder, [Control("depth", tmp_path)])
