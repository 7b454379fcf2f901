"""Invariants of the sampler: edits reach their target, identity edits change nothing, noise is whose it should be."""

from __future__ import annotations

import diffusers
import pytest
import torch
from torch import Tensor

from backend.diffusion.sampling import Sampler, Window, fuse_noised, gaussian_noise, mixed
from tests.diffusion import tiny

SHAPE = (4, 6, 8)
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {
    "ddim": lambda kind: diffusers.DDIMScheduler(**BETAS, prediction_type=kind, clip_sample=False),
    "euler": lambda kind: diffusers.EulerDiscreteScheduler(**BETAS, prediction_type=kind),
    "dpm++2m": lambda kind: diffusers.DPMSolverMultistepScheduler(**BETAS, prediction_type=kind),
    "unipc": lambda kind: diffusers.UniPCMultistepScheduler(**BETAS, prediction_type=kind),
    "lcm": lambda kind: diffusers.LCMScheduler(**BETAS, prediction_type=kind),
    "flow": lambda _: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
}
EXACT = [(name, kind) for name in list(SCHEDULERS)[:5] for kind in ("epsilon", "v_prediction")] + [("flow", "flow")]


def network(sampler: Sampler, x: Tensor, step: int) -> Tensor:
    """Return the output of a network that believes in some smooth function of the state: as good as any."""
    sampler.input(x, step)
    A, S = sampler.coefficients(step)
    x0 = torch.sin(2 * x / (A + S) + 1) + 0.1 * x.roll(1, -1) / (A + S)
    return sampler._output(x0, (x - A * x0) / S, step)


def run(sampler: Sampler, z: Tensor, seed: int = 0, edit: object = None, rule: str = "keep_noise") -> Tensor:
    x = sampler.start(z, gaussian_noise(SHAPE, [seed] * len(z)))
    for step in range(len(sampler)):
        prediction = sampler.predict(network(sampler, x, step), x, step)
        x0 = edit(step, prediction) if edit else None
        x = sampler.advance(x, prediction, step, x0, rule)
    return x


@pytest.fixture
def z() -> Tensor:
    return torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("rule", ["keep_noise", "keep_sample"])
@pytest.mark.parametrize("first", [0, 10, 19])
@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_s1_edits_from_a_step_on_reach_their_target(name: str, kind: str, first: int, rule: str, z: Tensor) -> None:
    target = torch.randn(z.shape, generator=torch.Generator().manual_seed(6))
    sampler = Sampler(SCHEDULERS[name](kind), 20)
    reached = run(sampler, z, edit=lambda step, _: target if step >= first else None, rule=rule)
    assert (reached - target).abs().max() <= 5e-6


@pytest.mark.parametrize("rule", ["keep_noise", "keep_sample"])
@pytest.mark.parametrize(("name", "kind"), EXACT)
def test_s2_editing_nothing_changes_nothing(name: str, kind: str, rule: str, z: Tensor) -> None:
    plain = run(Sampler(SCHEDULERS[name](kind), 8), z)
    edited = run(Sampler(SCHEDULERS[name](kind), 8), z, edit=lambda _, prediction: prediction.x0, rule=rule)
    assert (plain - edited).abs().max() <= 1e-5


def test_keep_sample_edits_gently_where_keep_noise_edits_in_full(z: Tensor) -> None:
    moved = {}
    for rule in ("keep_noise", "keep_sample"):
        sampler = Sampler(SCHEDULERS["ddim"]("epsilon"), 20)
        x = sampler.start(z, gaussian_noise(SHAPE, [0, 1]))
        prediction = sampler.predict(network(sampler, x, 0), x, 0)
        plain = Sampler(SCHEDULERS["ddim"]("epsilon"), 20)
        plain.start(z, gaussian_noise(SHAPE, [0, 1]))
        edited = sampler.advance(x, prediction, 0, prediction.x0 + 1, rule)
        moved[rule] = float((edited - plain.advance(x, prediction, 0)).mean())
    assert moved["keep_sample"] / moved["keep_noise"] == pytest.approx(0.24, abs=0.02)


STOCHASTIC = {
    "lcm": lambda: diffusers.LCMScheduler(**BETAS),
    "tcd": lambda: diffusers.TCDScheduler(**BETAS),
    "euler ancestral": lambda: diffusers.EulerAncestralDiscreteScheduler(**BETAS),
    "ddpm": lambda: diffusers.DDPMScheduler(**BETAS, clip_sample=False),
    "sde-dpm++": lambda: diffusers.DPMSolverMultistepScheduler(**BETAS, algorithm_type="sde-dpmsolver++"),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_s3_frames_of_one_seed_get_equal_noise_at_every_step(name: str, z: Tensor) -> None:
    same = run(Sampler(STOCHASTIC[name](), 6), z[:1].repeat(2, 1, 1, 1))
    assert torch.equal(same[0], same[1])


@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_after_a_step_is_the_runs_own(name: str, z: Tensor) -> None:
    """The state after a step changes by the scheduler's own weight times the change of the noise of that step."""
    def after(extra: float) -> tuple[Tensor, Sampler]:
        sampler = Sampler(STOCHASTIC[name](), 6)
        base = gaussian_noise(SHAPE, [1, 2])
        x = sampler.start(z, lambda stream: base(stream) + (extra if stream == 1 else 0.0))
        return sampler.advance(x, sampler.predict(network(sampler, x, 0), x, 0), 0), sampler

    plain, sampler = after(0.0)
    moved, _ = after(1.0)
    weight = (moved - plain).mean()
    assert weight > 0.01
    assert (moved - plain - weight).abs().max() <= 1e-5
    # what is added must keep the state as strong as the schedule says: A² var(x0) + S²
    assert float(weight) <= sampler.coefficients(1)[1] + 1e-5


def test_noise_of_a_frame_does_not_depend_on_the_batch() -> None:
    together = gaussian_noise(SHAPE, [mixed(3, frame) for frame in (-5, 0, 7)])
    alone = gaussian_noise(SHAPE, [mixed(3, 7)])
    assert torch.equal(together(2)[2:], alone(2))
    assert not torch.equal(together(2)[0], together(2)[1])
    assert not torch.equal(alone(2), alone(3))


@pytest.mark.parametrize("strength", [0.0, 0.05, 0.29, 0.3, 0.75, 1.0])
@pytest.mark.parametrize("steps", [1, 4, 10])
@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpm++2m", "lcm", "flow", "pndm"])
def test_strength_is_the_share_of_steps(scheduler: str, steps: int, strength: float, z: Tensor) -> None:
    made = tiny.make_scheduler() if scheduler == "pndm" else SCHEDULERS[scheduler]("epsilon")
    sampler = Sampler(made, steps, strength)
    expected = 0 if strength == 0 else max(1, int(steps * strength + 1e-6))
    extra = 1 if scheduler == "pndm" and strength > 0 and steps > 1 else 0  # PNDM evaluates one step twice
    assert len(sampler) == expected + extra
    assert torch.isfinite(run(sampler, z)).all()
    if strength == 0:
        assert torch.equal(run(Sampler(made, steps, 0.0), z), z)


def test_frames_of_lower_strength_wait_for_their_turn(z: Tensor) -> None:
    noise = gaussian_noise(SHAPE, [1, 2])
    both = Sampler(SCHEDULERS["ddim"]("epsilon"), 10, [0.8, 0.3])
    x = both.start(z, noise)
    for step in range(len(both)):
        x = both.advance(x, both.predict(network(both, x, step), x, step), step)
    alone = Sampler(SCHEDULERS["ddim"]("epsilon"), 10, 0.3)
    y = alone.start(z[1:], lambda stream: noise(stream)[1:])
    for step in range(len(alone)):
        y = alone.advance(y, alone.predict(network(alone, y, step), y, step), step)
    assert (x[1:] - y).abs().max() <= 1e-6


def test_parts_of_a_frame_wait_for_their_turn(z: Tensor) -> None:
    """A part is what the whole frame is at its strength, as far as cells do not look at each other."""
    left, right = torch.zeros(SHAPE[1:]), torch.zeros(SHAPE[1:])
    left[:, :3], right[:, 5:] = 1.0, 1.0
    parts = [(0.8, 1 - left - right), (0.3, left), (0.0, right)]

    def apart(strength: object) -> Tensor:
        sampler = Sampler(SCHEDULERS["ddim"]("epsilon"), 10, strength)
        x = sampler.start(z, gaussian_noise(SHAPE, [1, 2]))
        for step in range(len(sampler)):
            A, S = sampler.coefficients(step)
            x0 = torch.sin(2 * x / (A + S) + 1)
            x = sampler.advance(x, sampler.predict((x - A * x0) / S, x, step), step)
        return x

    mixed_run, high, low = apart([parts, 0.8]), apart(0.8), apart(0.3)
    assert torch.equal(mixed_run[1], high[1])
    assert torch.equal(mixed_run[0][..., 5:], z[0][..., 5:])
    assert (mixed_run[0][..., :3] - low[0][..., :3]).abs().max() <= 1e-6
    assert torch.equal(mixed_run[0][..., 3:5], high[0][..., 3:5])
    assert (high - low).abs().max() > 1e-2


def test_what_waits_follows_its_source_where_that_is_known(z: Tensor) -> None:
    states = torch.randn(8, *z.shape, generator=torch.Generator().manual_seed(7))
    right = torch.zeros(SHAPE[1:])
    right[:, 4:] = 1.0
    sampler = Sampler(SCHEDULERS["ddim"]("epsilon"), 10, [0.8, [(0.4, 1 - right), (0.0, right)]])
    x = sampler.follow(z, lambda step: states[step])
    assert torch.equal(x, states[0])
    for step in range(len(sampler)):
        x = sampler.advance(x, sampler.predict(network(sampler, x, step), x, step), step)
        source = states[step + 1] if step + 1 < len(sampler) else z
        assert torch.equal(x[1, ..., 4:], source[1, ..., 4:])
        assert torch.equal(x[1, ..., :4], source[1, ..., :4]) == (step + 1 <= 4)
        assert not torch.equal(x[0], source[0])


def test_a_run_may_begin_before_its_frames_do(z: Tensor) -> None:
    alone = run(Sampler(SCHEDULERS["ddim"]("epsilon"), 10, 0.3), z)
    early = Sampler(SCHEDULERS["ddim"]("epsilon"), 10, 0.3, begin=0.7)
    assert len(early) == 7
    assert (run(early, z) - alone).abs().max() <= 1e-6
    assert len(Sampler(SCHEDULERS["ddim"]("epsilon"), 10, [], begin=0.7)) == 7


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 20])
@pytest.mark.parametrize("window", [(0.0, 0.1), (0.5, 0.8), (0.8, 1.0), (0.99, 1.0)])
def test_windows_never_vanish(window: tuple[float, float], steps: int) -> None:
    sampler = Sampler(SCHEDULERS["ddim"]("epsilon"), steps)
    covered = Window(*window).steps(sampler)
    assert covered
    assert covered <= set(range(len(sampler)))
    assert not Window(0.5, 0.5).steps(sampler)
    assert Window(0.0, 1.0).steps(sampler) == frozenset(range(len(sampler)))


N1 = [(0.5, 1, 0.99, 1.01), (0.2, 1, 0.99, 1.01), (0.5, 0.9, 0.85, 1)]


@pytest.mark.parametrize(("weight", "inner", "low", "high"), N1)
def test_n1_fusing_keeps_the_strength_of_the_noise(weight: float, inner: float, low: float, high: float) -> None:
    noise, fresh = torch.randn(2, 1, 16, 256, 256, generator=torch.Generator().manual_seed(0))
    fused = fuse_noised(noise, noise, fresh, torch.full((1, 1, 1, 1), weight), inner)
    assert low <= float(fused.var()) <= high
