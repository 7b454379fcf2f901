"""Plug-and-Play's residual block: what is kept of a source is put in the place of the edit's."""

from __future__ import annotations

import torch
from torch import Tensor

from backend.diffusion.conditioning import Condition
from backend.diffusion.denoising import Denoiser
from backend.diffusion.injection import Features, Injection
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler, gaussian_noise


def predicted(sd: Model, x: Tensor, prompt: str, guidance: float | None) -> Tensor:
    text, negative = sd.encode_text([prompt, ""])
    control = torch.zeros(3, x.shape[2] * 8, x.shape[3] * 8)
    frames = list(range(1, len(x) + 1))
    conditions = dict.fromkeys(frames, Condition(text, negative, (control,), (1.0,), guidance=guidance))
    return Denoiser(sd, Sampler(sd.scheduler(), 4), conditions, batch=8)(x, 1, frames)


def test_the_layers_are_those_of_stable_diffusion_15(sd: Model) -> None:
    """Upstream's: attentions 1 and 2 of the second up block, all of the third and the fourth."""
    assert sd.attention is not None
    places = {tuple(name.split(".")[1:4:2]) for name in Injection(sd.attention).layers}
    # the tiny model has attention from its second level up: on SD1.5's up blocks 1, 2 and 3
    assert places == {("1", "1"), ("1", "2"), *((level, place) for level in "23" for place in "012")}


def test_features_of_oneself_change_nothing_and_those_of_another_do(sd: Model) -> None:
    assert sd.attention is not None
    injection = Injection(sd.attention)
    x, other = gaussian_noise((4, 8, 8), [1, 2])(0), gaussian_noise((4, 8, 8), [3, 4])(0)
    own, foreign = Features(), Features()
    with injection.record(own):
        plain = predicted(sd, x, "oil", guidance=None)
    with injection.record(foreign):
        predicted(sd, other, "oil", guidance=None)
    assert set(own) == {1, 2}
    with injection.inject(own):
        assert torch.equal(predicted(sd, x, "oil", guidance=None), plain)
    with injection.inject(foreign):
        assert (predicted(sd, x, "oil", guidance=None) - plain).abs().max() > 1e-4
    guided = predicted(sd, x, "oil", guidance=5.0)
    with injection.inject(own):
        assert (predicted(sd, x, "oil", guidance=5.0) - guided).abs().max() > 1e-6  # in both streams
    assert torch.equal(predicted(sd, x, "oil", guidance=5.0), guided)
