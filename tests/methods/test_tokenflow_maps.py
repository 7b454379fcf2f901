"""Where tokens come from: exact motion and the paper's nearest neighbours, on pictures whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from layered_shot import COLOURS, GROUND, SKY, LayeredShot
from torch import Tensor

from backend.diffusion.attention import TokenMap
from backend.diffusion.conditioning import Condition
from backend.diffusion.denoising import Denoiser
from backend.diffusion.injection import Injection
from backend.diffusion.model import open_model
from backend.diffusion.pictures import to_tensor
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler, gaussian_noise
from backend.methods.token_keys import Plan
from backend.methods.token_maps import MotionMaps, feature_sources, nearest, stride
from backend.methods.token_source import SourceBranch
from backend.motion.correspondence import Correspondence, identity
from tests.diffusion import tiny

STEP = 2
LAYERS = [f"down_blocks.{level}.attentions.0.transformer_blocks.0.attn1" for level in (0, 1)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.set_num_threads(1)
    return open_model(tiny.save_sd(tmp_path_factory.mktemp("model")))


def plan(frames: int, *keys: int) -> Plan:
    return Plan((tuple(range(1, frames + 1)),), keys, 0, logistic=False)


def source(model: Model, states: Tensor) -> tuple[SourceBranch, float]:
    """Return the source branch that has read all frames, 1 and following, at a step, and the step's timestep."""
    text, negative = model.encode_text(["", ""])
    frames = list(range(1, len(states) + 1))
    sampler = Sampler(model.scheduler(), 4)
    denoise = Denoiser(model, sampler, dict.fromkeys(frames, Condition(text, negative)), batch=8)
    assert model.attention is not None
    branch = SourceBranch(model.attention, Injection(model.attention), denoise, lambda _: states)
    branch.read(STEP, range(len(states)), frames)
    return branch, float(sampler.timesteps[STEP])


def strongest(found: TokenMap) -> Tensor:
    return found.index.gather(1, found.weight.argmax(dim=1, keepdim=True))[:, 0]


class Pan:
    """Pictures that move by whole tokens of the coarser of two levels, 2 latent cells a frame to the right."""

    def pair(self, i: int, j: int) -> Correspondence:
        still = identity((192, 96))
        inside = np.arange(192)[None] + 16 * (j - i)
        valid = np.broadcast_to((inside >= 0) & (inside < 192), (96, 192))
        return Correspondence(still.flow + np.float32([16 * (j - i), 0]), valid.astype(np.float32), valid)

    def describe(self) -> dict:
        return {}


@pytest.mark.parametrize("level", [0, 1])
def test_a7_the_papers_way_and_the_exact_way_agree_where_all_is_plain(level: int, model: Model) -> None:
    """A textured picture that pans by whole tokens: at least 99 % of the tokens away from the border."""
    still = gaussian_noise((4, 12, 24), [7])(0)
    states = torch.cat([still.roll(2 * shift, 3) for shift in range(3)])
    branch, timestep = source(model, states)
    maps, chosen = MotionMaps(Pan(), (12, 24), 8), plan(3, 1, 3)
    grid = (12 >> level, 24 >> level)
    paper = feature_sources(chosen, branch.tokens, LAYERS[level], timestep, 2, torch.device("cpu"))
    exact = maps.sources(chosen, 2, grid)
    assert [key for key, _ in paper] == [key for key, _ in exact] == [1, 3]
    inner = torch.zeros(grid, dtype=torch.bool)
    inner[2:-2, 5:-5] = True
    for (_, by_features), (_, by_motion) in zip(paper, exact, strict=True):
        agreed = (strongest(by_features) == strongest(by_motion))[inner.flatten()].float()
        assert agreed.mean() >= 0.99
        assert torch.equal(by_motion.weight.max(dim=1).values[inner.flatten()], torch.full_like(agreed, 0.5))


def test_a_key_finds_itself(model: Model) -> None:
    """Which is why with linear weights a key need not pass again: hit rate 1, weight 1, by features and by motion."""
    states = gaussian_noise((4, 12, 24), [1, 2])(0)
    branch, timestep = source(model, states)
    for level, layer in enumerate(LAYERS):
        grid = (12 >> level, 24 >> level)
        own = torch.arange(grid[0] * grid[1])
        by_features = feature_sources(plan(2, 1, 2), branch.tokens, layer, timestep, 2, torch.device("cpu"))
        by_motion = MotionMaps(Pan(), (12, 24), 8).sources(plan(2, 1, 2), 2, grid)
        for found in (by_features, by_motion):
            assert [key for key, _ in found] == [2]
            assert torch.equal(strongest(found[0][1]), own)
            assert torch.equal(found[0][1].weight.sum(dim=1), torch.ones(len(own)))


def displacement(found: TokenMap, grid: tuple[int, int]) -> np.ndarray:
    """Return where the weights of a map lie on average, less where the token is, (h, w, 2) in tokens."""
    places = torch.stack([found.index % grid[1], found.index // grid[1]], -1).float()
    mean = (places * found.weight[..., None]).sum(1) / found.weight.sum(1, keepdim=True)
    columns, rows = np.meshgrid(np.arange(grid[1]), np.arange(grid[0]))
    return mean.numpy().reshape(*grid, 2) - np.stack([columns, rows], -1)


@pytest.fixture(scope="module")
def cards(model: Model) -> tuple[LayeredShot, SourceBranch, float]:
    """Cards that slide over each other, the ground blank, and the source's tokens of all their frames."""
    shot = LayeredShot((192, 128), 11)
    pictures = [shot.coloured(frame, COLOURS, 0.0, (0.5, 0.33)) for frame in shot.frames]
    z = torch.cat([model.codec.encode(to_tensor(picture)[None] * 2 - 1) for picture in pictures])
    return shot, *source(model, z)


def test_on_blank_ground_motion_knows_and_features_guess(
    cards: tuple[LayeredShot, SourceBranch, float], model: Model
) -> None:
    shot, branch, timestep = cards
    grid = (16, 24)
    card, _ = shot.cards(3, shot.grid)
    blocks = card.reshape(16, 8, 24, 8).swapaxes(1, 2).reshape(16, 24, 64)
    blank = (blocks == blocks[..., :1]).all(-1) & np.isin(blocks[..., 0], (GROUND, SKY))
    blank[:, [0, -1]] = False  # half a token beyond the border's centre is the border's
    truth = shot.velocity[blocks[..., 0]] * (1 - 3) / 8
    errors = {}
    for name, found in {
        "motion": MotionMaps(shot, grid, 8).sources(plan(11, 1), 3, grid),
        "features": feature_sources(plan(11, 1), branch.tokens, LAYERS[0], timestep, 3, torch.device("cpu")),
    }.items():
        tokens = found[0][1]
        known = blank & (tokens.weight.sum(dim=1).numpy().reshape(grid) > 0)
        errors[name] = np.linalg.norm(displacement(tokens, grid) - truth, axis=-1)[known]
    assert len(errors["motion"]) > 100
    assert errors["motion"].max() < 1e-3
    assert errors["features"].mean() > 1


def test_what_one_key_hides_comes_from_the_other_alone(
    cards: tuple[LayeredShot, SourceBranch, float], model: Model
) -> None:
    """Features take something for it from the key that does not show it, at that key's full weight."""
    shot, branch, timestep = cards
    grid, chosen = (16, 24), plan(11, 5, 11)
    hidden = {}
    for key in (5, 11):
        valid = shot.pair(8, key).valid.reshape(16, 8, 24, 8).mean((1, 3))
        hidden[key] = valid == 0
    exact = dict(MotionMaps(shot, grid, 8).sources(chosen, 8, grid))
    paper = dict(feature_sources(chosen, branch.tokens, LAYERS[0], timestep, 8, torch.device("cpu")))
    for key, other in ((5, 11), (11, 5)):
        only = (hidden[key] & ~hidden[other]).ravel()
        whole = only & (shot.pair(8, other).valid.reshape(16, 8, 24, 8).mean((1, 3)) >= 0.5).ravel()
        assert only.sum() >= 5
        assert float(exact[key].weight.sum(dim=1)[only].max()) == 0
        assert torch.allclose(exact[other].weight.sum(dim=1)[whole], torch.ones(int(whole.sum())))
        assert float(paper[key].weight.sum(dim=1)[only].min()) == 0.5
    neither = (hidden[5] & hidden[11]).ravel()
    assert float(sum(found.weight.sum(dim=1)[neither] for found in exact.values()).sum()) == 0


def test_the_nearest_neighbour_is_the_most_similar_by_the_cosine() -> None:
    tokens = torch.randn(3000, 8, generator=torch.Generator().manual_seed(0))
    order = torch.randperm(3000, generator=torch.Generator().manual_seed(1))
    assert torch.equal(nearest(5 * tokens[order], tokens), order)  # more than one chunk; length does not count


def test_levels_of_odd_sizes_have_strides() -> None:
    assert [stride((37, 65), grid) for grid in ((37, 65), (19, 33), (10, 17), (5, 9))] == [1, 2, 4, 8]
    with pytest.raises(ValueError, match="no level"):
        stride((37, 65), (18, 33))
