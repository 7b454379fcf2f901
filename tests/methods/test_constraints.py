"""What holds a key frame to its references, one constraint at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.diffusion.attention import TokenBank
from backend.diffusion.sampling import fuse_noised
from backend.methods.constraints import (
    PRESETS,
    Reference,
    View,
    adain,
    anchored,
    look,
    overlay,
    pixel_target,
    veiled,
)
from backend.motion.correspondence import Correspondence, identity

SIZE = (32, 24)
FACTOR = 8
EXACT = PRESETS["exact"]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def reference(seed: int = 0) -> Reference:
    image = np.random.default_rng(seed).random((SIZE[1], SIZE[0], 3)).astype(np.float32)
    return Reference(1, image, {0: noise(1, 4, 3, 4, seed=seed)}, TokenBank())


def seen(shift: tuple[int, int], hidden: np.ndarray | None = None, seed: int = 0, preset: str = "exact") -> View:
    """A view of a reference that is shifted as a whole and ``hidden`` in places."""
    pair = identity(SIZE)
    valid = pair.valid if hidden is None else pair.valid * ~hidden
    flow = pair.flow + np.float32(shift)
    return look(reference(seed), Correspondence(flow, valid, valid > 0), PRESETS[preset], FACTOR, FACTOR)


def left() -> np.ndarray:
    hidden = np.zeros((SIZE[1], SIZE[0]), bool)
    hidden[:, :9] = True
    return hidden


def test_adain_takes_mean_and_deviation_over() -> None:
    x, like = noise(2, 4, 6, 5) * 3 + 1, noise(2, 4, 6, 5, seed=1)
    out = adain(x, like)
    for statistic in (torch.mean, torch.std):
        assert (statistic(out, dim=(2, 3)) - statistic(like, dim=(2, 3))).abs().max() <= 1e-5
    assert (adain(like, like) - like).abs().max() <= 1e-5


def test_adain_of_a_part_is_blind_to_the_rest() -> None:
    x, like = noise(1, 4, 6, 8), noise(1, 4, 6, 8, seed=1)
    half = torch.zeros(1, 1, 6, 8)
    half[..., :4] = 1
    other = torch.where(half > 0, like, torch.tensor(99.0))
    assert torch.allclose(adain(x, like, half), adain(x, other, half))
    assert torch.allclose(adain(x, like, half)[..., :4], adain(x[..., :4], like[..., :4]), atol=1e-5)


def test_shapes_come_from_where_the_motion_leads() -> None:
    view = seen((8.0, 0.0))  # one cell to the right
    like, shown = anchored([view], 0, noise(1, 4, 3, 4))
    assert (shown == 1).all()
    assert (like[..., :3] - view.reference.clean[0][..., 1:]).abs().max() < 1e-5


def test_of_several_anchors_the_first_that_shows_a_cell_counts() -> None:
    first, second = seen((0.0, 0.0), left(), seed=1), seen((0.0, 0.0), seed=2)
    like, shown = anchored([first, second], 0, noise(1, 4, 3, 4))
    assert (shown == 1).all()
    assert (like[..., :1] - second.reference.clean[0][..., :1]).abs().max() < 1e-5
    assert (like[..., 3:] - first.reference.clean[0][..., 3:]).abs().max() < 1e-5
    alone, some = anchored([first], 0, noise(1, 4, 3, 4))
    assert (some[..., :1] == 0).all() and (alone[..., :1] == 0).all()


def test_equation_10_lays_the_anchor_over_the_previous_over_the_rough() -> None:
    rough = np.zeros((SIZE[1], SIZE[0], 3), np.float32)
    anchor, previous = seen((0.0, 0.0), left(), seed=1), seen((0.0, 0.0), seed=2)
    image = overlay(rough, [anchor, previous])
    assert np.allclose(image[:, :6], previous.image[:, :6], atol=1e-6)
    assert np.allclose(image[:, 14:], anchor.image[:, 14:], atol=1e-6)
    assert np.allclose(overlay(rough, [anchor])[:, :6], 0)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_veil_covers_all_that_is_hidden_and_only_its_surroundings(preset: str) -> None:
    veil = veiled(left(), PRESETS[preset])
    reach = PRESETS[preset].margin + PRESETS[preset].soft // 2
    assert (veil[left()] == 1).all() and (veil[:, 9 + reach :] == 0).all()
    assert 0 < veil[5, 8 + reach] < 1


def test_a_surface_that_the_reference_shows_much_smaller_is_drawn_anew() -> None:
    pair = identity(SIZE)
    x = np.arange(SIZE[0], dtype=np.float32)
    pair.flow[..., 0] = -0.7 * x  # the reference shows it at 0.3 of the width
    assert look(reference(), pair, EXACT, FACTOR, FACTOR).hidden.all()


def test_nothing_is_pulled_where_no_reference_shows_the_frame() -> None:
    z, x, eps = noise(1, 4, 3, 4), noise(1, 4, 3, 4, seed=1), noise(1, 4, 3, 4, seed=2)
    target = pixel_target(z, [seen((0.0, 0.0), left()), seen((0.0, 0.0), left(), seed=3)], EXACT, FACTOR, FACTOR)
    assert (target.weight[..., 0] == 0).all() and (target.weight[..., 3] == EXACT.weight).all()
    fused = fuse_noised(x, 0.7 * eps, target.z, target.weight, target.inner)
    assert (fused - x)[..., 0].abs().max() < 1e-6
    everywhere = pixel_target(z, [seen((0.0, 0.0), np.ones_like(left()))], EXACT, FACTOR, FACTOR)
    assert (fuse_noised(x, 0.7 * eps, z, everywhere.weight, everywhere.inner) - x).abs().max() < 1e-6
    one = pixel_target(z, [seen((0.0, 0.0), left()), seen((0.0, 0.0))], EXACT, FACTOR, FACTOR)
    assert (one.weight == EXACT.weight).all()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_n1_fused_noise_keeps_its_strength(preset: str) -> None:
    chosen = PRESETS[preset]
    shape = (1, 4, 64, 64)
    weight, inner = torch.full((1, 1, 64, 64), chosen.weight), torch.full((1, 1, 64, 64), chosen.inner)
    eps = noise(*shape)
    fused = fuse_noised(eps, eps, noise(*shape, seed=1), weight, inner)
    low, high = {1.0: (0.97, 1.03), 0.9: (0.83, 1.0)}[chosen.inner]
    assert low < fused.var() < high
