"""DDIM inversion: the way up to noise is the way down, walked backwards."""

from __future__ import annotations

import diffusers
import pytest
import torch
from torch import Tensor

from backend.diffusion.inversion import inversion_levels, invert
from backend.diffusion.sampling import Sampler, gaussian_noise

BETAS = {
    "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1,
    "set_alpha_to_one": False,  # the last state is that of the lowest level, at which the way up begins
}  # fmt: skip
Z = gaussian_noise((4, 6, 8), [1, 2])(0)


def scheduler(kind: str) -> diffusers.DDIMScheduler:
    return diffusers.DDIMScheduler(**BETAS, prediction_type=kind, clip_sample=False)


def certain(sampler: Sampler, x: Tensor, step: int) -> Tensor:
    """A network that sees one noise in everything; says it as the sampler's kind of output."""
    A, S = sampler.coefficients(step)
    noise = torch.linspace(-1, 1, x[0].numel()).reshape(x[0].shape).expand_as(x)
    return noise if sampler._kind == "epsilon" else A * noise - S * (x - S * noise) / A


def doubtful(sampler: Sampler, x: Tensor, step: int) -> Tensor:
    """A network that sees noise that depends on the state."""
    _, S = sampler.coefficients(step)
    return S * torch.tanh(x)


def there_and_back(network: object, kind: str, fineness: int) -> float:
    sampler = Sampler(scheduler(kind), 10)
    levels = inversion_levels(sampler.timesteps.tolist(), fineness)
    found = dict(invert(network, scheduler(kind), Z, levels))
    assert set(sampler.timesteps.tolist()) <= set(found) | {0}
    x = found[int(sampler.timesteps[0])]
    for step in range(len(sampler)):
        x = sampler.advance(x, sampler.predict(network(sampler, x, step), x, step), step)
    return float((x - Z).abs().max())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_network_that_is_certain_is_inverted_exactly(kind: str) -> None:
    assert there_and_back(certain, kind, 1) <= 2e-5


def test_finer_steps_invert_better() -> None:
    coarse, fine = (there_and_back(doubtful, "epsilon", fineness) for fineness in (1, 8))
    assert fine < 0.9 * coarse


def test_levels_fall_through_all_that_sampling_passes_to_clean() -> None:
    assert inversion_levels([751, 501, 251, 1], 1) == [751, 501, 251, 1, 0]
    assert inversion_levels([801, 401, 1], 4) == [801, 701, 601, 501, 401, 301, 201, 101, 1, 0]
    assert inversion_levels([999, 749, 499, 249], 2)[-3:] == [249, 124, 0]
