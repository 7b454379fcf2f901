"""Invariants of controlled self-attention: each widening is plain attention where it has nothing to add."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.diffusion import attention
from backend.diffusion.attention import AttentionControl, Call, Structure, TokenBank, TokenMap, token_map
from backend.diffusion.conditioning import Condition
from backend.diffusion.denoising import Denoiser
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler, gaussian_noise

SIZE = (10, 12)


@pytest.fixture
def control(sd: Model) -> AttentionControl:
    assert sd.attention is not None
    return sd.attention


@pytest.fixture
def denoise(sd: Model) -> Callable:
    """Return a function that predicts frames 1 to N for their latents, at a step, with guidance."""
    text, negative = sd.encode_text(["oil paint", "blur"])
    control = torch.rand(3, SIZE[0] * 8, SIZE[1] * 8, generator=torch.Generator().manual_seed(0))

    def predict(x: Tensor, step: int = 1, first: int = 1, batch: int = 8, guidance: float | None = 5.0) -> Tensor:
        frames = list(range(first, first + len(x)))
        sampler = Sampler(sd.scheduler(), 4)
        condition = Condition(text, negative, (control,), (1.0,), guidance=guidance)
        return Denoiser(sd, sampler, dict.fromkeys(frames, condition), batch)(x, step, frames)

    return predict


def latents(*seeds: int) -> Tensor:
    return gaussian_noise((4, *SIZE), seeds)(0)


def test_a1_plain_attention_is_exactly_what_it_was(sd: Model, control: AttentionControl, denoise: Callable) -> None:
    x = latents(1, 2)
    controlled = denoise(x)
    control.remove()
    plain = denoise(x)
    control.install()
    assert torch.equal(controlled, plain)
    with control.record(TokenBank()):
        assert torch.equal(denoise(x), plain)


def test_a2_attention_to_oneself_twice_is_self_attention(control: AttentionControl, denoise: Callable) -> None:
    x, bank = latents(1), TokenBank()
    with control.record(bank):
        plain = denoise(x, guidance=None)
    with control.attend(bank, bank, layers=""):
        twice = denoise(x, guidance=None)
    with control.attend(bank, own=True, layers=""):
        beside = denoise(x, guidance=None)
    assert (twice - plain).abs().max() <= 2e-6
    assert (beside - plain).abs().max() <= 2e-6


def test_a3_joint_attention_of_equal_frames_is_plain(control: AttentionControl, denoise: Callable) -> None:
    x = latents(3, 3, 3)
    plain = denoise(x, guidance=None)
    with control.joint():
        joint = denoise(x, guidance=None)
    assert (joint - plain).abs().max() <= 2e-6
    different = latents(3, 4, 5)
    with control.joint():
        assert (denoise(different) - denoise_plain(control, denoise, different)).abs().max() > 1e-4


def denoise_plain(control: AttentionControl, denoise: Callable, x: Tensor) -> Tensor:
    mode, control._mode = control._mode, None
    try:
        return denoise(x)
    finally:
        control._mode = mode


def test_groups_see_only_their_own(control: AttentionControl, denoise: Callable) -> None:
    """Two groups in one call are what each is in a call of its own."""
    x = latents(1, 2, 3, 4)
    with control.joint({1: (1, 2), 2: (1, 2), 3: (3, 4), 4: (3, 4)}):
        together = denoise(x)
    with control.joint():
        halves = torch.cat([denoise(x[:2]), denoise(x[2:])])
    assert (together - halves).abs().max() <= 1e-5
    with control.joint({frame: (frame,) for frame in range(1, 5)}):
        assert (denoise(x) - denoise_plain(control, denoise, x)).abs().max() <= 1e-5


def test_a4_the_halves_of_guidance_have_banks_of_their_own(control: AttentionControl, denoise: Callable) -> None:
    x, bank = latents(1), TokenBank()
    with control.record(bank):
        denoise(latents(2))
    with control.attend(bank):
        right = denoise(x)
    swapped = TokenBank()
    swapped._tokens = {(layer, t, 1 - stream): kept for (layer, t, stream), kept in bank._tokens.items()}
    with control.attend(swapped):
        assert (denoise(x) - right).abs().max() > 1e-5
    with control.attend(bank), pytest.raises(LookupError, match="nothing was recorded"):
        denoise(x, step=2)  # another timestep


def test_attending_takes_the_place_of_oneself_unless_asked_otherwise(
    control: AttentionControl, denoise: Callable
) -> None:
    """To a frame that looks only at another, its own keys do not count: one more copy of them changes nothing."""
    x, other, both = latents(1), TokenBank(), TokenBank()
    with control.record(other):
        denoise(latents(2))
    with control.record(both):
        denoise(latents(1), first=1)
        denoise(latents(2), first=2)
    with control.attend(other, layers="down_blocks.0.attentions.0"):
        alone = denoise(x)
    with control.attend(other, own=True, layers="down_blocks.0.attentions.0"):
        beside = denoise(x)
    with control.attend(both, layers="down_blocks.0.attentions.0"):
        recorded = denoise(x)
    assert (beside - recorded).abs().max() <= 1e-5
    assert (alone - beside).abs().max() > 1e-4


def test_attending_leaves_other_layers_alone(control: AttentionControl, denoise: Callable) -> None:
    bank = TokenBank()
    with control.record(bank, layers="up_blocks.3"):
        denoise(latents(2))
    assert {layer.split(".attentions")[0] for layer, _, _ in bank._tokens} == {"up_blocks.3"}
    with control.attend(bank, layers="up_blocks.3"):
        changed = denoise(latents(1))
    assert (changed - denoise(latents(1))).abs().max() > 1e-5


def copies(_: str, frame: int, grid: tuple[int, int]) -> list[tuple[int, TokenMap]]:
    """Say that every token of a frame lies at its own place in a key frame: in 1 or 2, by the frame's parity."""
    return [(1 if frame % 2 else 2, token_map(np.zeros((*grid, 2), np.float32), np.ones(grid)))]


def test_a5_a_key_frame_carried_onto_itself_is_the_joint_pass(control: AttentionControl, denoise: Callable) -> None:
    x, bank = latents(1, 2), TokenBank()
    with control.joint(), control.record(bank):
        joint = denoise(x)
    with control.propagate(bank, copies):
        assert torch.equal(denoise(x), joint)


def test_a6_copies_of_a_key_frame_become_equal(control: AttentionControl, denoise: Callable) -> None:
    x, bank = latents(1, 2), TokenBank()
    with control.joint(), control.record(bank):
        joint = denoise(x)
    with control.propagate(bank, copies):
        moved = denoise(x[[0, 1, 0, 1]])
    assert torch.equal(moved[0], moved[2])
    assert torch.equal(moved[1], moved[3])
    assert (moved[:2] - joint).abs().max() <= 1e-5


@pytest.mark.parametrize("level", [0, 1])
def test_a7_motion_finds_what_features_find(level: int, control: AttentionControl, denoise: Callable) -> None:
    """A frame shifted by whole tokens: the map from motion equals the nearest neighbour in feature space."""
    shift = (2, 4)
    x, bank = latents(7), TokenBank()
    moved = x.roll(shift, (2, 3))
    with control.record(bank):
        denoise(torch.cat([x, moved]))
    layer = f"down_blocks.{level}.attentions.0.transformer_blocks.0.attn1"
    timestep = next(iter(bank._tokens))[1]
    first, second = bank.inputs(layer, timestep, 1).chunk(2)
    similar = torch.nn.functional.normalize(second, dim=1) @ torch.nn.functional.normalize(first, dim=1).T
    stride = 2**level
    grid = (SIZE[0] // stride, SIZE[1] // stride)
    flow = np.zeros((*grid, 2), np.float32) - (shift[1] / stride, shift[0] / stride)
    found = token_map(flow, np.ones(grid))
    best = found.index.gather(1, found.weight.argmax(dim=1, keepdim=True))[:, 0]
    border = 2 if level == 0 else 1  # convolutions see the zero padding there
    inner = torch.zeros(grid, dtype=torch.bool)
    inner[border + shift[0] // stride : -border, border + shift[1] // stride : -border] = True
    agreed = (similar.argmax(dim=1) == best)[inner.flatten()].float().mean()
    assert inner.sum() >= 4
    assert agreed >= 0.99


def test_tokens_that_no_key_shows_attend_to_the_keys(control: AttentionControl, denoise: Callable) -> None:
    x, bank = latents(1, 2), TokenBank()
    with control.joint(), control.record(bank):
        joint = denoise(x)
    with control.propagate(bank, lambda *_: []):
        assert (denoise(x) - joint).abs().max() <= 1e-5  # attention to all keys is what the joint pass did

    def half(layer: str, frame: int, grid: tuple[int, int]) -> list[tuple[int, TokenMap]]:
        return [(key, found.scaled(0.5)) for key, found in copies(layer, frame, grid)]

    with control.propagate(bank, half):
        assert (denoise(x) - joint).abs().max() <= 1e-5  # so a mixture of both is it too


def test_weights_between_two_keys_mix_their_outputs(control: AttentionControl, denoise: Callable) -> None:
    x, bank = latents(1, 2), TokenBank()
    with control.joint(), control.record(bank):
        denoise(x)
    place = ("up_blocks.3.attentions.2.transformer_blocks.0.attn1", next(iter(bank._tokens))[1], 1)
    mixed, seen = TokenBank(), {}

    def both(layer: str, frame: int, grid: tuple[int, int]) -> list[tuple[int, TokenMap]]:
        seen[grid] = True
        return [(1, copies(layer, 1, grid)[0][1].scaled(0.25)), (2, copies(layer, 2, grid)[0][1].scaled(0.75))]

    with control.propagate(bank, both), control.record(mixed):
        denoise(latents(5), first=5)
    expected = 0.25 * bank.output(*place, 1) + 0.75 * bank.output(*place, 2)
    assert torch.allclose(mixed.output(*place, 5), expected, atol=1e-6)
    assert set(seen) == {(10, 12), (5, 6), (3, 3), (2, 2)}


def test_token_maps_are_exact_for_whole_and_halved_for_half_tokens() -> None:
    flow = np.zeros((4, 6, 2), np.float32)
    flow[..., 0] = 1
    whole = token_map(flow, np.ones((4, 6)))
    source = torch.arange(24.0)[:, None]
    assert torch.equal(whole.gather(source)[:5, 0], torch.arange(1.0, 6.0))
    flow[..., 0] = 0.5
    half = token_map(flow, np.ones((4, 6)))
    assert torch.allclose(half.gather(source)[:5, 0], torch.arange(0.5, 5.5))
    weight = np.ones((4, 6))
    weight[0, 0] = 0.5
    assert token_map(flow, weight).weight.sum(dim=1)[0] == pytest.approx(0.5)


def test_structure_decides_who_looks_where_and_the_edit_what_is_seen(
    control: AttentionControl, denoise: Callable
) -> None:
    """The source's own structure changes nothing; another's does, and only in its layers."""
    x, layer = latents(1, 2), "up_blocks.1.attentions.1.transformer_blocks.0.attn1"
    with control.joint():
        plain = denoise(x, guidance=None)
    changes = []
    for source in (x, latents(3, 4)):
        bank = TokenBank()
        with control.joint(), control.record(bank):
            denoise(source, guidance=None)
        with control.joint(structure=Structure(bank, frozenset({layer}))):
            changes.append(float((denoise(x, guidance=None) - plain).abs().max()))
        with control.joint(structure=Structure(bank, frozenset())):
            assert torch.equal(denoise(x, guidance=None), plain)
    assert changes[0] <= 1e-6
    assert changes[1] > 1e-5


def test_frames_beside_a_joint_pass_are_seen_by_all_of_it(control: AttentionControl, denoise: Callable) -> None:
    """The same frame again beside a frame changes nothing; another one does, and with structure by its structure."""
    layer = "down_blocks.0.attentions.0"
    x, same, other = latents(1), TokenBank(), TokenBank()
    with control.record(same):
        plain = denoise(x, first=5)
    with control.record(other):
        denoise(latents(2), first=5)
    with control.joint(beside=same):
        assert (denoise(x) - plain).abs().max() <= 1e-5
    with control.joint(beside=other, layers=layer):
        beside = denoise(x)
    with control.attend(other, own=True, layers=layer):
        assert (denoise(x) - beside).abs().max() <= 1e-5
    with control.joint(beside=other), control.record(TokenBank()):
        through = denoise(x)
    with control.joint(beside=other), control.record(other):  # the bank that is seen may be the one that is written
        assert torch.equal(denoise(x), through)
    other.keep_only([5])
    assert (beside - plain).abs().max() > 1e-4
    source = TokenBank()
    with control.record(source):
        denoise(torch.cat([x, latents(2)]), first=1, guidance=None)
        denoise(latents(3), first=5, guidance=None)
    layers = frozenset({f"{layer}.transformer_blocks.0.attn1"})
    with control.joint(beside=other, layers=layer, structure=Structure(source, layers)):
        assert (denoise(x) - beside).abs().max() > 1e-5


def test_a_bank_forgets_frames(control: AttentionControl, denoise: Callable) -> None:
    bank = TokenBank()
    with control.record(bank):
        denoise(latents(1, 2, 3), guidance=None)
    layer, timestep, _ = next(iter(bank._tokens))
    size, kept = bank.bytes, bank.output(layer, timestep, 1, 2)
    bank.keep_only([2])
    assert torch.equal(bank.output(layer, timestep, 1, 2), kept)
    assert bank.bytes * 3 == size
    assert kept.untyped_storage().nbytes() == kept.numel() * 4  # no other frame's tokens stay with it
    with pytest.raises(KeyError):
        bank.input(layer, timestep, 1, 1)


def test_grids_of_odd_sizes_are_found() -> None:
    call = Call(1.0, (1,), (1,), (37, 65))
    assert [call.grid(37 * 65), call.grid(19 * 33), call.grid(10 * 17), call.grid(5 * 9)] == [
        (37, 65), (19, 33), (10, 17), (5, 9)
    ]  # fmt: skip
    with pytest.raises(ValueError, match="do not tile"):
        call.grid(100)


def test_chunks_of_queries_change_nothing(
    control: AttentionControl, denoise: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = latents(1, 2)
    with control.joint():
        whole = denoise(x)
        monkeypatch.setattr(attention, "LARGEST_SCORES", 40_000)
        assert (denoise(x) - whole).abs().max() <= 1e-5


def test_banks_on_the_cpu_serve_like_banks_on_the_device(control: AttentionControl, denoise: Callable) -> None:
    near, far = TokenBank(), TokenBank("cpu")
    with control.record(near):
        denoise(latents(1, 2), batch=1)
    with control.record(far):
        denoise(latents(1, 2), batch=1)
    assert near.bytes == far.bytes > 0
    with control.attend(near):
        expected = denoise(latents(3))
    with control.attend(far):
        assert torch.equal(denoise(latents(3)), expected)


def test_blocks_do_not_nest_and_leave_nothing_behind(control: AttentionControl, denoise: Callable) -> None:
    x = latents(1, 2)
    plain = denoise(x)
    with control.joint(), pytest.raises(RuntimeError, match="under control already"), control.joint():
        pass
    with pytest.raises(ZeroDivisionError), control.joint():
        raise ZeroDivisionError
    assert torch.equal(denoise(x), plain)


def test_what_is_recorded_anew_is_seen_anew(control: AttentionControl, denoise: Callable) -> None:
    bank, fresh = TokenBank(), TokenBank()
    for seed in (1, 2):
        with control.record(bank):
            denoise(latents(seed))
        with control.attend(bank):
            seen = denoise(latents(3))
    with control.record(fresh):
        denoise(latents(2))
    with control.attend(fresh):
        assert torch.equal(denoise(latents(3)), seen)
