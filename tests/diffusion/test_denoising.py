"""The denoising loop against diffusers' own pipeline; words, controls and regions against their plain cases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import diffusers
import pytest
import torch
import transformers
from torch import Tensor

from backend.diffusion.conditioning import Condition, Region, Text, chunk_prompts
from backend.diffusion.controlnet import Control
from backend.diffusion.denoising import Denoiser
from backend.diffusion.model import open_model
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Noise, Sampler, gaussian_noise
from tests.diffusion import tiny

SIZE = (72, 104)


def picture(seed: int) -> Tensor:
    return torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(seed))


def pipeline_noise(seed: int, shape: tuple[int, ...]) -> Noise:
    """Return the noises that a diffusers pipeline draws one after another from a generator of that seed."""
    generator = torch.Generator().manual_seed(seed)
    draws = [torch.randn(shape, generator=generator) for _ in range(24)]
    return lambda stream: draws[stream]


def denoise(
    model: Model, sampler: Sampler, conditions: dict[int, Condition], z: Tensor, noise: Noise, *, guidance: float = 5.0
) -> Tensor:
    conditions = {frame: replace(condition, guidance=guidance) for frame, condition in conditions.items()}
    denoiser = Denoiser(model, sampler, conditions, batch=len(z))
    x = sampler.start(z, noise)
    for step in range(len(sampler)):
        x = sampler.advance(x, sampler.predict(denoiser(x, step, list(conditions)), x, step), step)
    return x


def load_pipeline(folder: Path, controls: list[Path], scheduler: object) -> diffusers.DiffusionPipeline:
    nets = [diffusers.ControlNetModel.from_pretrained(path) for path in controls]
    pipeline = diffusers.StableDiffusionControlNetImg2ImgPipeline(
        vae=diffusers.AutoencoderKL.from_pretrained(folder / "vae"),
        text_encoder=transformers.CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        unet=diffusers.UNet2DConditionModel.from_pretrained(folder / "unet"),
        controlnet=nets if len(nets) > 1 else nets[0],
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("name", ["auto", "ddim", "euler", "dpm++", "unipc", "lcm"])
def test_the_loop_equals_diffusers_own(name: str, strength: float, sd: Model, sd_folder: Path, control_folders) -> None:
    z = sd.codec.encode(picture(3).unsqueeze(0) * 2 - 1)
    pipeline = load_pipeline(sd_folder, control_folders[:1], sd.scheduler(name))
    theirs = pipeline(
        prompt="oil paint", negative_prompt="blur", image=z, control_image=picture(4).unsqueeze(0), height=SIZE[0],
        width=SIZE[1], strength=strength, num_inference_steps=10, guidance_scale=5.0,
        controlnet_conditioning_scale=0.8, generator=torch.Generator().manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    text, negative = sd.encode_text(["oil paint", "blur"])
    sampler = Sampler(sd.scheduler(name), 10, strength)
    ours = denoise(sd, sampler, {1: Condition(text, negative, (picture(4),), (0.8,))}, z, pipeline_noise(7, z.shape))
    assert (ours - theirs).abs().max() <= 1e-5 * max(1.0, float(theirs.abs().max()))


def test_several_controlnets_and_v_prediction_equal_diffusers_own(tmp_path: Path) -> None:
    folder = tiny.save_sd(tmp_path / "v")
    tiny.make_scheduler(prediction_type="v_prediction").save_pretrained(folder / "scheduler")
    controls = [tiny.save_control(tmp_path / f"control{seed}", folder, seed) for seed in (1, 2)]
    model = open_model(folder, [Control("depth", controls[0]), Control("lines", controls[1])])
    z = model.codec.encode(picture(3).unsqueeze(0) * 2 - 1)
    pipeline = load_pipeline(folder, controls, model.scheduler())
    theirs = pipeline(
        prompt="oil", image=z, control_image=[picture(4).unsqueeze(0), picture(5).unsqueeze(0)], height=SIZE[0],
        width=SIZE[1], strength=0.5, num_inference_steps=4, guidance_scale=3.0,
        controlnet_conditioning_scale=[0.8, 0.3], generator=torch.Generator().manual_seed(7), output_type="latent",
    ).images  # fmt: skip
    text, negative = model.encode_text(["oil", ""])
    condition = Condition(text, negative, (picture(4), picture(5)), (0.8, 0.3))
    sampler = Sampler(model.scheduler(), 4, 0.5)
    ours = denoise(model, sampler, {1: condition}, z, pipeline_noise(7, z.shape), guidance=3.0)
    assert (ours - theirs).abs().max() <= 1e-5


def test_prompts_weights_and_controls_may_differ_by_frame(sd: Model) -> None:
    """Frames predicted together are what each is alone."""
    text, other, negative = sd.encode_text(["oil paint", "a pencil drawing of a house", ""])
    conditions = {
        1: Condition(text, negative, (picture(1),), (1.0,)),
        2: Condition(other, negative, (picture(2),), (0.2,)),
    }
    z = sd.codec.encode(torch.stack([picture(8), picture(9)]) * 2 - 1)
    noise = gaussian_noise(z.shape[1:], [1, 2])
    together = denoise(sd, Sampler(sd.scheduler(), 4, [1.0, 0.5]), conditions, z, noise)
    for row, (frame, strength) in enumerate(zip(conditions, (1.0, 0.5), strict=True)):
        own = gaussian_noise(z.shape[1:], [row + 1])
        alone = denoise(
            sd, Sampler(sd.scheduler(), 4, strength), {frame: conditions[frame]}, z[row : row + 1], own
        )
        assert (together[row] - alone[0]).abs().max() <= 1e-5 * float(alone.abs().max())


def outputs(sd: Model, condition: Condition, guidance: float | None) -> tuple[Tensor, Denoiser]:
    sampler = Sampler(sd.scheduler(), 4)
    denoiser = Denoiser(sd, sampler, {1: replace(condition, guidance=guidance)})
    x = sampler.start(torch.zeros(1, 4, 9, 13), gaussian_noise((4, 9, 13), [0]))
    return denoiser(x, 1, [1]), denoiser


@pytest.mark.parametrize("guidance", [None, 6.0])
def test_a_region_speaks_where_its_matte_is(guidance: float | None, sd: Model) -> None:
    text, other, negative = sd.encode_text(["oil paint", "ink", ""])
    matte = torch.zeros(9, 13)
    matte[:, 6:] = 1.0
    parts = {"controls": (picture(1),), "weights": (1.0,)}
    mixed, _ = outputs(sd, Condition(text, negative, regions=(Region(other, matte),), **parts), guidance)
    left, _ = outputs(sd, Condition(text, negative, **parts), guidance)
    right, _ = outputs(sd, Condition(other, negative, **parts), guidance)
    assert (mixed[..., :6] - left[..., :6]).abs().max() <= 1e-5
    assert (mixed[..., 6:] - right[..., 6:]).abs().max() <= 1e-5
    assert (left - right).abs().max() > 1e-4


@pytest.mark.parametrize("guidance", [None, 6.0])
def test_a_region_may_have_a_negative_of_its_own(guidance: float | None, sd: Model) -> None:
    text, other, negative, unwanted = sd.encode_text(["oil paint", "ink", "", "blur"])
    left, right = torch.zeros(9, 13), torch.zeros(9, 13)
    left[:, :4], right[:, 9:] = 1.0, 1.0
    parts = {"controls": (picture(1),), "weights": (1.0,)}
    regions = (Region(other, left), Region(other, right, unwanted))
    mixed, denoiser = outputs(sd, Condition(text, negative, regions=regions, **parts), guidance)
    assert denoiser.evaluations == (5 if guidance else 3)
    whole, _ = outputs(sd, Condition(text, negative, **parts), guidance)
    plain, _ = outputs(sd, Condition(other, negative, **parts), guidance)
    own, _ = outputs(sd, Condition(other, unwanted, **parts), guidance)
    assert (mixed[..., :4] - plain[..., :4]).abs().max() <= 1e-5
    assert (mixed[..., 4:9] - whole[..., 4:9]).abs().max() <= 1e-5
    assert (mixed[..., 9:] - own[..., 9:]).abs().max() <= 1e-5
    assert ((own - plain).abs().max() > 1e-4) == bool(guidance)


def test_more_frames_than_memory_go_through_in_batches(sd: Model) -> None:
    text, negative = sd.encode_text(["oil paint", ""])
    conditions = {
        frame: Condition(text, negative, (picture(frame),), (1.0,), guidance=5.0 + frame) for frame in range(5)
    }
    sampler = Sampler(sd.scheduler(), 4)
    x = sampler.start(torch.zeros(5, 4, 9, 13), gaussian_noise((4, 9, 13), range(5)))
    whole, pairs, single = (
        Denoiser(sd, sampler, conditions, batch)(x, 1, list(conditions)) for batch in (5, 2, 1)
    )
    assert (whole - pairs).abs().max() <= 1e-5
    alone = Denoiser(sd, sampler, conditions)(x[3:4], 1, [3])
    assert torch.equal(single[3:4], alone)


def test_without_guidance_a_prediction_costs_half(sd: Model) -> None:
    text, negative = sd.encode_text(["oil", ""])
    condition = Condition(text, negative, (picture(1),), (1.0,))
    assert outputs(sd, condition, None)[1].evaluations == 1
    assert outputs(sd, condition, 7.5)[1].evaluations == 2


def test_each_frame_has_its_own_guidance(sd: Model) -> None:
    text, negative = sd.encode_text(["oil", "blur"])
    x = gaussian_noise((4, 9, 13), [0])(0).expand(3, -1, -1, -1)
    conditions = {
        frame: Condition(text, negative, (picture(1),), (1.0,), guidance=scale) for frame, scale in enumerate((1, 3, 5))
    }
    sampler = Sampler(sd.scheduler(), 4)
    low, middle, high = Denoiser(sd, sampler, conditions, batch=3)(x, 1, [0, 1, 2])
    plain = Denoiser(sd, sampler, {0: replace(conditions[0], guidance=None)})(x[:1], 1, [0])
    assert (low - plain[0]).abs().max() <= 1e-5
    assert (middle - (low + high) / 2).abs().max() <= 1e-5
    assert (high - low).abs().max() > 1e-4


def test_long_prompts_are_chunked_and_not_cut(sd: Model) -> None:
    tokenizer = tiny.make_tokenizer()
    prompt = " ".join(["oil paint"] * 40)
    chunks, short = chunk_prompts([prompt, "oil"], tokenizer)
    assert [len(chunk) for chunk in chunks] == [77] * len(chunks)
    assert len(short) == len(chunks) > 1
    inner = [token for chunk in chunks for token in chunk[1 : chunk.index(tokenizer.eos_token_id)]]
    assert inner == tokenizer(prompt, add_special_tokens=False).input_ids
    for chunk in chunks[:-1]:
        last = chunk[chunk.index(tokenizer.eos_token_id) - 1]
        assert tokenizer.convert_ids_to_tokens(last).endswith("</w>")

    def tokens(text: str) -> Text:
        return sd.encode_text([text])[0]

    assert tokens(prompt).tokens.shape[0] == 77 * len(chunks)
    assert not torch.equal(tokens(prompt + " ink").tokens[-77:], tokens(prompt).tokens[-77:])
    assert tokens("x" * 500).tokens.shape[0] == 77 * 7  # one word longer than a chunk


def test_every_prediction_is_counted_and_shown_to_whoever_watches(tmp_path: Path) -> None:
    model = open_model(tiny.save_sd(tmp_path / "sd"))
    text, negative = model.encode_text(["a fox", ""])
    conditions = {frame: Condition(text, negative) for frame in (3, 4)}
    z = model.codec.encode(torch.stack([picture(1), picture(2)]) * 2 - 1)
    seen: list[tuple[list[int], Tensor]] = []
    model.watch = lambda frames, x0: seen.append((list(frames), x0))
    sampler = Sampler(model.scheduler("ddim"), 3)
    result = denoise(model, sampler, conditions, z, gaussian_noise(z.shape[1:], [1, 2]))
    assert model.evaluations == 3 * 2 * 2
    assert [frames for frames, _ in seen] == [[3, 4]] * 3
    assert torch.isfinite(result).all() and seen[-1][1].shape == result.shape
    assert (seen[-1][1] - result).abs().mean() < (seen[0][1] - result).abs().mean()  # a better promise at every step
