"""The multi-frame fusion module: alone, and inside the denoising loop of a tiny model."""

from __future__ import annotations

from itertools import pairwise

import cv2
import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from backend.diffusion.conditioning import Condition
from backend.diffusion.denoising import Denoiser
from backend.diffusion.model import open_model
from backend.diffusion.protocol import Model
from backend.diffusion.sampling import Sampler, Window, gaussian_noise
from backend.methods.fusion import Fusion, Joint, Links
from backend.motion.correspondence import Correspondence
from backend.motion.warp import warp
from tests.diffusion import tiny
from tests.methods.sliding import Sliding, Still, Unrelated

SIZE = (40, 24)
RNG = np.random.default_rng(2)
STEPS = 10
FRAMES = (0, 1, 2, 3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    torch.set_num_threads(1)
    return open_model(tiny.save_sd(tmp_path_factory.mktemp("model")))


def fusion(motion, blending="none", seam=2.0, cell=1, shape=SIZE[::-1], contrast=False, interpolation="cubic"):
    return Fusion(Links(motion, cell, shape), Joint(blending, seam, interpolation, contrast))


def drawn(count, shape=(*SIZE[::-1], 3)):
    return {frame: RNG.random(shape, np.float32) for frame in range(count)}


def trajectory(model: Model, seeds: list[int], rule: str = "keep_noise", end: float = 1.0) -> list[Tensor]:
    """Denoise four frames with words of their own, fused at every step up to the progress ``end``."""
    negative, *words = model.encode_text(["", "oil", "a disc", "x", "of oil"])
    # Stable Diffusion's own schedule ends before the noise does: the last latents would keep some of it
    scheduler = diffusers.DDIMScheduler.from_config(model.scheduler("ddim").config, set_alpha_to_one=True)
    sampler = Sampler(scheduler, STEPS)
    denoiser = Denoiser(model, sampler, {f: Condition(words[f], negative, guidance=3.0) for f in FRAMES})
    shape = (4, 6, 8)
    motion = Still((64, 48))
    fused = fusion(motion, "screened", cell=8, shape=shape[1:])
    x = sampler.start(torch.zeros(4, *shape), gaussian_noise(shape, seeds))
    states = []
    for step in range(STEPS):
        prediction, x0 = sampler.predict(denoiser(x, step, FRAMES), x, step), None
        if step in Window(0, end).steps(sampler):
            planes = dict(enumerate(prediction.x0.permute(0, 2, 3, 1).numpy()))
            made = fused.reconstruct(planes, {}, 0.0)
            x0 = torch.from_numpy(np.stack([made[frame] for frame in FRAMES])).permute(0, 3, 1, 2)
        x = sampler.advance(x, prediction, step, x0=x0, rule=rule)
        states.append(x)
    return states


def spread(x: Tensor) -> float:
    """The root mean square deviation of the frames from their mean."""
    return float((x - x.mean(0)).square().mean().sqrt())


def test_keeping_the_noise_makes_frames_of_independent_noise_equal(model: Model) -> None:
    states = trajectory(model, [1, 2, 3, 4])
    spreads = [spread(x) for x in states]
    assert spreads[0] > 0.2
    assert all(after < before for before, after in pairwise(spreads))
    assert (states[-1] - states[-1][:1]).abs().max() <= 5e-6  # the scheduler's way from x0 to the state and back


def test_fused_predictions_of_a_still_shot_are_equal_to_the_last_bit():
    planes = drawn(4)
    for blending in ("none", "screened"):
        made = fusion(Still(SIZE), blending).reconstruct(planes, {}, 6.0)
        assert all(np.array_equal(made[0], made[frame]) for frame in made)
        assert np.abs(made[0] - np.mean(list(planes.values()), axis=0)).max() < 1e-5


def test_keeping_the_sample_needs_shared_noise(model: Model) -> None:
    for x in trajectory(model, [1, 1, 1, 1], "keep_sample"):
        assert (x - x[:1]).abs().max() == 0.0
    independent = trajectory(model, [1, 2, 3, 4], "keep_sample")
    assert spread(independent[7]) > 0.2 > spread(independent[-1])


def test_frames_that_are_released_early_keep_a_little_of_their_own(model: Model) -> None:
    left = spread(trajectory(model, [1, 2, 3, 4], end=0.8)[-1])
    apart = spread(trajectory(model, [1, 2, 3, 4], end=0.0)[-1])
    assert 0 < left < 0.25 * apart


@pytest.mark.parametrize("blending", ["none", "screened", "seamless"])
def test_a_frame_alone_or_unrelated_to_the_others_stays_as_it_is(blending):
    for motion, pictures in ((Still(SIZE), drawn(1)), (Unrelated(SIZE), drawn(3))):
        fused = fusion(motion, blending)
        every = fused.reconstruct(pictures, {}, 2.0), fused.refine(pictures, {}, 0), fused.agree(pictures, {}, [0])
        for made in every:
            assert all(made[frame] is picture for frame, picture in pictures.items())


@pytest.mark.parametrize(("blending", "tolerance"), [("none", 1e-6), ("screened", 1e-6), ("seamless", 1e-5)])
def test_the_order_of_the_frames_does_not_count(blending, tolerance):
    pictures, turned = drawn(4), Sliding(SIZE, (-2.5, 1.0))
    made = fusion(Sliding(SIZE, (2.5, -1.0)), blending).reconstruct(pictures, {}, 3.0)
    back = fusion(turned, blending).reconstruct({3 - frame: picture for frame, picture in pictures.items()}, {}, 3.0)
    for frame, picture in made.items():
        assert np.abs(picture - back[3 - frame]).max() <= tolerance


@pytest.mark.parametrize("velocity", [(3, -2), (1.5, 0.25)])
def test_a_point_looks_the_same_in_all_frames_that_show_it(velocity):
    motion = Sliding(SIZE, velocity)
    smooth = {
        frame: np.dstack([np.sin((x + frame) / 5) * np.cos(y / 4 + k) for k in range(3)]).astype(np.float32)
        for frame in range(3) for y, x in [np.mgrid[: SIZE[1], : SIZE[0]]]
    }
    for made in (fusion(motion).reconstruct(smooth, {}, 4.0), fusion(motion).agree(smooth, {}, [1, 0, 2])):
        for j, k in ((0, 1), (1, 2), (0, 2)):
            pair = motion.pair(k, j)
            seen = fusion(motion)._links(k, j).whole > 0
            seen[:3], seen[-3:], seen[:, :4], seen[:, -4:] = 0, 0, 0, 0
            assert seen.mean() > 0.3
            error = np.abs(warp(made[j], pair.flow) - made[k])[seen].max()
            assert error <= (1e-6 if velocity[0] == 3 else 0.03)
            assert np.abs(warp(smooth[j], pair.flow) - smooth[k])[seen].max() > 0.1


def test_a_reference_overwrites_the_others_where_they_see_it_and_stays_itself():
    motion, pictures = Sliding(SIZE, (4, 0)), drawn(3)
    made = fusion(motion).refine(pictures, {}, 1)
    assert made[1] is pictures[1]
    link = Links(motion, 1, SIZE[::-1])(0, 1)
    inside = link.whole > 0
    assert 0.6 < inside.mean() < 0.9
    assert np.array_equal(made[0][inside], warp(pictures[1], link.flow)[inside])
    assert np.array_equal(made[0][~inside], pictures[0][~inside])


def test_the_first_in_the_order_decides_and_the_next_what_it_does_not_show():
    motion, pictures = Sliding(SIZE, (8, 0)), drawn(3)
    made = fusion(motion).agree(pictures, {}, [0, 1, 2])
    first, second = (Links(motion, 1, SIZE[::-1])(2, source) for source in (0, 1))
    one, two = first.whole > 0, (second.whole > 0) & (first.whole == 0)
    assert one.mean() > 0.4 and two.mean() > 0.1
    assert np.array_equal(made[2][one], warp(pictures[0], first.flow)[one])
    assert np.array_equal(made[2][two], warp(pictures[1], second.flow)[two])
    assert made[0] is pictures[0]


@pytest.mark.parametrize("stage", ["reconstruct", "refine"])
def test_what_a_frozen_reference_shows_is_taken_from_it(stage):
    motion, pictures = Sliding(SIZE, (4, 0)), drawn(3)
    frozen = {9: RNG.random((*SIZE[::-1], 3), np.float32)}
    fused = fusion(motion)
    made = fused.reconstruct(pictures, frozen, 1.0) if stage == "reconstruct" else fused.refine(pictures, frozen, 1)
    for frame in pictures:
        link = Links(motion, 1, SIZE[::-1])(frame, 9)
        seen = link.whole > 0
        assert np.abs(made[frame][seen] - warp(frozen[9], link.flow)[seen]).max() <= 1e-6
    alone = fused.reconstruct(pictures, {}, 1.0) if stage == "reconstruct" else fused.refine(pictures, {}, 1)
    assert np.abs(made[2][~seen] - alone[2][~seen]).max() <= 1e-6


def test_an_average_keeps_the_contrast_of_what_is_averaged():
    pictures = drawn(4, (*SIZE[::-1], 4))
    flat, kept = (fusion(Still(SIZE), contrast=keep).reconstruct(pictures, {}, 0.0)[0] for keep in (False, True))
    assert flat.std() == pytest.approx(0.5 * pictures[0].std(), rel=0.1)
    assert kept.std() == pytest.approx(pictures[0].std(), rel=0.15)
    assert np.abs(cv2.blur(kept, (9, 9)) - cv2.blur(flat, (9, 9))).max() < 0.1
    equal = dict.fromkeys(range(3), pictures[0])
    same = fusion(Still(SIZE), contrast=True).reconstruct(equal, {}, 0.0)[0]
    assert np.abs(same - pictures[0]).max() < 1e-5


def test_latents_are_moved_by_whole_cells():
    motion, pictures = Sliding(SIZE, (2.4, 0.0)), drawn(2)
    made = fusion(motion, interpolation="nearest").refine(pictures, {}, 1)
    assert np.array_equal(made[0][:, :-5], pictures[1][:, 2:-3])


class Zoom(Still):
    """Frame 1 shows everything at half the size that frame 0 does."""

    def pair(self, i, j):
        found = super().pair(i, j)
        y, x = np.mgrid[: self.size[1], : self.size[0]].astype(np.float32)
        scale = 0.5 ** (j - i)
        flow = np.dstack([x, y]) * np.float32(scale - 1)
        inside = ((np.dstack([x, y]) + flow) <= np.array(self.size) - 1).all(-1)
        return Correspondence(flow.astype(np.float32), inside * found.valid, inside)


def test_who_sees_a_surface_smaller_counts_less_and_later_hardly():
    links = Links(Zoom(SIZE), 1, SIZE[::-1])
    assert np.allclose(links(0, 1).confidence[4:-4, 4:-4], 0.5)
    assert np.allclose(links(1, 0).confidence[4:-4, 4:-4], 1.0)
    flat = {0: np.zeros((*SIZE[::-1], 1), np.float32), 1: np.ones((*SIZE[::-1], 1), np.float32)}
    early, late = (fusion(Zoom(SIZE)).reconstruct(flat, {}, exponent)[0][12, 20, 0] for exponent in (0.0, 6.0))
    assert early == pytest.approx(0.5) and late == pytest.approx(0.5**6 / (1 + 0.5**6), rel=1e-4)


def test_a_paste_of_another_brightness_leaves_no_seam():
    motion = Sliding(SIZE, (12, 0))
    ramp = np.tile(np.linspace(0, 0.2, SIZE[0], dtype=np.float32)[None, :, None], (SIZE[1], 1, 1))
    pictures = {0: ramp, 1: ramp + 0.4}
    made = {kind: fusion(motion, kind, 4.0).refine(pictures, {}, 1)[0] for kind in ("none", "screened", "seamless")}
    steps = {kind: np.abs(np.diff(image, axis=1)).max() for kind, image in made.items()}
    assert steps["none"] > 0.2
    assert steps["screened"] < 0.08 and steps["seamless"] < 0.02
    untouched = Links(motion, 1, SIZE[::-1])(0, 1).whole == 0
    assert np.array_equal(made["seamless"][untouched], ramp[untouched])
