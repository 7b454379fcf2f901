"""The analytic shot: its correspondences lead to the same surface point, and only where that is seen."""

from __future__ import annotations

import numpy as np
import pytest

from backend.measure.metrics import comparable
from backend.measure.synthetic import SyntheticShot
from backend.motion.correspondence import taps

SIZE = (128, 72)


@pytest.fixture(scope="module")
def shot() -> SyntheticShot:
    return SyntheticShot(SIZE, 32)


def bilinear(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    x, y, weights = taps(flow)
    return (image[y, x] * weights[..., None]).sum(0)


@pytest.mark.parametrize(("i", "j"), [(9, 8), (8, 16), (32, 1), (1, 32)])
def test_a_point_is_followed_to_the_same_place_on_its_surface(shot, i, j):
    flow, mask = comparable(shot, i, j)
    here, there = (np.where(shot.layer(frame).sky[..., None], 0, shot.rays(frame).local) for frame in (i, j))
    error = np.linalg.norm(bilinear(there, flow) - here, axis=-1)
    assert mask.mean() > 0.05
    assert np.median(error[mask]) < 2e-3  # of units; a pixel is 0.06 at the box
    assert np.percentile(error[mask], 98) < 0.05  # a bilinear sample cuts the box's corners and bends the far ground


def test_what_is_hidden_or_outside_is_not_matched(shot):
    found = shot.motion.pair(20, 10)
    x, y, _ = taps(found.flow)
    ids = shot.layer(10).index[y, x]
    own = shot.layer(20).index
    assert (ids == own).any(0)[found.valid > 0].mean() > 0.995  # but for half pixels at borders
    assert (ids == own).all(0)[found.strict].all()
    assert 0.3 < found.valid.mean() < 0.9
    hidden = (found.valid == 0) & (ids != own).all(0)
    assert hidden.mean() > 0.02


def test_the_sky_follows_the_cameras_turn(shot):
    flow, mask = comparable(shot, 16, 15)
    sky = shot.layer(16).sky & mask
    turned = np.radians(80) / 31
    pixel = 2 * np.tan(np.radians(26)) / SIZE[0]
    middle = sky & (np.abs(np.arange(SIZE[0]) - SIZE[0] / 2) < 20)
    assert np.abs(np.abs(flow[middle][:, 0].mean()) * pixel / turned - 1) < 0.15


def test_the_vector_pass_says_where_neighbours_are(shot):
    vector, sky = shot.layer(5).vector, shot.layer(5).sky
    for j, flow in ((4, vector[..., :2] * (1, -1)), (6, vector[..., 2:] * (-1, 1))):
        truth = shot.motion.pair(5, j)
        seen = (truth.valid > 0) & ~sky
        assert np.abs(flow - truth.flow)[seen].max() < 1e-3
    assert np.isnan(shot.layer(1).vector[..., :2]).all()


def test_grazing_faces_are_told_in_either_frame(shot):
    facing = shot.motion.facing(32, 1)
    layer, camera = shot.layer(32), shot.info.cameras[32]
    towards = camera.matrix_world[:3, 3] - layer.position
    now = (layer.normal * towards).sum(-1) / np.linalg.norm(towards, axis=-1)
    solid = layer.surface
    assert (facing[solid] <= np.abs(now[solid]) + 1e-5).all()
    box = layer.index == 2
    assert (facing[box] < 0.9 * now[box]).mean() > 0.05  # a face of the box was flatter then
    assert (facing[layer.sky] == 1).all()
