"""The core's invariants on a model that has learned something: the starter (on random ones: tests/diffusion)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.diffusion.attention import AttentionControl, TokenBank, TokenMap, token_map
from backend.diffusion.conditioning import Condition
from backend.diffusion.denoising import Denoiser
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler, fuse_noised, gaussian_noise
from backend.starter.samples import open_starter

SIZE = (16, 24)  # latent cells
SAMPLERS = ("ddim", "euler", "dpm++", "unipc", "lcm")


@pytest.fixture(scope="module")
def model() -> Model:
    torch.set_num_threads(1)
    return open_starter()


@pytest.fixture
def control(model: Model) -> AttentionControl:
    assert model.attention is not None
    return model.attention


@pytest.fixture
def source(model: Model) -> Tensor:
    side = model.codec.factor
    y, x = torch.meshgrid(torch.linspace(0, 1, SIZE[0] * side), torch.linspace(0, 1, SIZE[1] * side), indexing="ij")
    ball = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.06).float()
    return torch.stack([0.3 + 0.5 * ball, 0.4 + 0.3 * y, 0.7 - 0.4 * x])


@pytest.fixture
def denoise(model: Model, source: Tensor) -> Callable:
    """Return a function that predicts frames 1 to N for their latents, at a step, with guidance."""
    text, negative = model.encode_text(["an oil painting of a forest", ""])
    condition = Condition(text, negative, (source,), (1.0,), guidance=2.0)

    def predict(x: Tensor, sampler: Sampler | None = None, step: int = 1) -> Tensor:
        frames = list(range(1, len(x) + 1))
        sampler = sampler or Sampler(model.scheduler(), 4)
        return Denoiser(model, sampler, dict.fromkeys(frames, condition), batch=8)(x, step, frames)

    return predict


def latents(*seeds: int) -> Tensor:
    return gaussian_noise((4, *SIZE), seeds)(0)


def copies(_: str, frame: int, grid: tuple[int, int]) -> list[tuple[int, TokenMap]]:
    return [(1 if frame % 2 else 2, token_map(np.zeros((*grid, 2), np.float32), np.ones(grid)))]


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("rule", ["keep_noise", "keep_sample"])
def test_s1_s2_edits_reach_their_target_and_none_changes_nothing(
    name: str, rule: str, model: Model, denoise: Callable
) -> None:
    target = latents(9)

    def run(edit: Callable) -> Tensor:
        sampler = Sampler(model.scheduler(name), 4)
        x = sampler.start(torch.zeros(1, 4, *SIZE), gaussian_noise((4, *SIZE), [1]))
        for step in range(len(sampler)):
            prediction = sampler.predict(denoise(x, sampler, step), x, step)
            x = sampler.advance(x, prediction, step, edit(step, prediction), rule)
        return x

    assert (run(lambda step, _: target if step >= 2 else None) - target).abs().max() <= 5e-6
    untouched = run(lambda *_: None)
    # An edit of nothing may round; a network carries on what is rounded.
    assert (run(lambda _, prediction: prediction.x0) - untouched).abs().max() <= 1e-4


def test_a1_to_a3_widened_attention_with_nothing_to_add_is_plain(control: AttentionControl, denoise: Callable) -> None:
    x, bank = latents(3, 3, 3), TokenBank()
    control.remove()
    untouched = denoise(x)
    control.install()
    with control.record(bank):
        plain = denoise(x)
    assert torch.equal(plain, untouched)
    with control.joint():
        assert (denoise(x) - plain).abs().max() <= 1e-5
    one = latents(3)
    alone = TokenBank()
    with control.record(alone):
        once = denoise(one)
    with control.attend(alone, alone, layers=""):
        assert (denoise(one) - once).abs().max() <= 1e-5


def test_a4_the_halves_of_guidance_have_banks_of_their_own(control: AttentionControl, denoise: Callable) -> None:
    bank, swapped = TokenBank(), TokenBank()
    with control.record(bank):
        denoise(latents(2))
    swapped._tokens = {(layer, t, 1 - stream): kept for (layer, t, stream), kept in bank._tokens.items()}
    with control.attend(bank):
        right = denoise(latents(1))
    with control.attend(swapped):
        assert (denoise(latents(1)) - right).abs().max() > 1e-5


def test_a5_a6_key_frames_are_carried_onto_themselves_and_their_copies(
    control: AttentionControl, denoise: Callable
) -> None:
    x, bank = latents(1, 2), TokenBank()
    with control.joint(), control.record(bank):
        joint = denoise(x)
    with control.propagate(bank, copies):
        assert torch.equal(denoise(x), joint)
        moved = denoise(x[[0, 1, 0, 1]])
    assert torch.equal(moved[0], moved[2])
    assert torch.equal(moved[1], moved[3])


def test_a7_motion_finds_what_features_find(control: AttentionControl, model: Model) -> None:
    """A frame shifted by whole tokens, its control with it: features agree with the map from motion."""
    shift, stride, bank = 4, 2, TokenBank()
    text, negative = model.encode_text(["an oil painting of a forest", ""])
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(3, SIZE[0], SIZE[1], generator=generator).repeat_interleave(4, 1).repeat_interleave(4, 2)
    x = latents(7)
    moved = {1: picture, 2: picture.roll(shift * model.codec.factor, 2)}
    conditions = {frame: Condition(text, negative, (image,), (1.0,), guidance=2.0) for frame, image in moved.items()}
    with control.record(bank):
        Denoiser(model, Sampler(model.scheduler(), 4), conditions, batch=8)(
            torch.cat([x, x.roll(shift, 3)]), 1, [1, 2]
        )
    layer = next(name for name, _, _ in bank._tokens if name.startswith("down_blocks.1"))
    timestep = next(iter(bank._tokens))[1]
    first, second = bank.inputs(layer, timestep, 1).chunk(2)
    similar = torch.nn.functional.normalize(second, dim=1) @ torch.nn.functional.normalize(first, dim=1).T
    grid = (SIZE[0] // stride, SIZE[1] // stride)
    found = token_map(np.zeros((*grid, 2), np.float32) - (shift / stride, 0), np.ones(grid))
    best = found.index.gather(1, found.weight.argmax(dim=1, keepdim=True))[:, 0]
    inner = torch.zeros(grid, dtype=torch.bool)
    inner[2:-2, 2 + shift // stride : -2] = True
    assert (similar.argmax(dim=1) == best)[inner.flatten()].float().mean() >= 0.99


def test_v2_v3_its_autoencoder_survives_cycles_and_edits_of_nothing(model: Model) -> None:
    coarse = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1
    image = torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic").clamp(-1, 1)

    def cycled(encode: Callable) -> Tensor:
        picture = image
        for _ in range(10):
            picture = model.codec.decode(encode(picture))
        return (picture - image).square().mean()

    faithful = cycled(lambda picture: model.codec.encode_fidelity(picture, threshold=None))
    assert faithful <= cycled(model.codec.encode) / 4
    z = first = model.codec.encode(image)
    for _ in range(20):
        z = model.codec.encode_delta(z, model.codec.decode(z))
    assert torch.equal(z, first)


@pytest.mark.parametrize(("inner", "low", "high"), [(1, 0.99, 1.01), (0.9, 0.85, 1)])
def test_n1_fusing_pictures_keeps_the_strength_of_the_noise(
    inner: float, low: float, high: float, model: Model, source: Tensor
) -> None:
    z = model.codec.encode(source.unsqueeze(0) * 2 - 1)
    sampler = Sampler(model.scheduler("ddim"), 20)
    A, S = sampler.coefficients(10)
    noise, fresh = (S * latents(*seeds) for seeds in (range(64), range(64, 128)))
    fused = fuse_noised(A * z + noise, noise, A * z + fresh, torch.full((1, 1, 1, 1), 0.5), inner)
    assert low <= float(((fused - A * z) / S).var()) <= high
