"""Occlusion and chaining, against scenes whose motion is known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from backend.motion.correspondence import Correspondence, checked, compose, identity, inside, nothing
from backend.motion.geometry import pixel_grid

SIZE = 160, 120
CENTRES = np.array([[0, 0], [60, 50], [95, 70]], np.float64)  # of the layers at frame 0, back to front
SPEEDS = np.array([[0.3, -0.2], [1.7, 0.4], [-1.3, 0.9]])  # px a frame
RADII = (np.inf, 28, 22)


def layer_at(xy: np.ndarray, frame: int) -> np.ndarray:
    """The topmost of three discs (the first fills the frame) at continuous positions."""
    found = np.zeros(xy.shape[:-1], int)
    for layer in (1, 2):
        centre = CENTRES[layer] + SPEEDS[layer] * frame
        found[np.linalg.norm(xy - centre, axis=-1) < RADII[layer]] = layer
    return found


def layered_pair(gap: int) -> tuple[Correspondence, np.ndarray]:
    """The checked motion over ``gap`` frames, and where a pixel is truly hidden or outside."""
    grid = pixel_grid(SIZE).astype(np.float64)
    ids = [layer_at(grid, frame) for frame in (0, gap)]
    there, back = (SPEEDS[ids[0]] * gap).astype(np.float32), (-SPEEDS[ids[1]] * gap).astype(np.float32)
    return checked(there, back, *ids), (layer_at(grid + there, gap) != ids[0]) | ~inside(there)


@pytest.mark.parametrize(("gap", "precision"), [(1, 0.88), (5, 0.97), (10, 0.97)])
def test_occlusion_of_three_layers(gap: int, precision: float) -> None:
    found, hidden = layered_pair(gap)
    assert not (found.strict & hidden).any()
    assert (hidden & (found.valid == 0)).sum() / (found.valid == 0).sum() >= precision
    kept = np.pad(hidden, 1)  # a pixel away from the true border valid tells hidden from visible without fail
    around = np.stack([kept[1 + y : 121 + y, 1 + x : 161 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)])
    np.testing.assert_array_equal(found.valid[around.all(0)], 0)
    np.testing.assert_array_equal(found.valid[~around.any(0)], 1)
    assert found.strict[~hidden].mean() > 0.9


def test_unknown_motion_is_not_valid_and_not_spread() -> None:
    flow = np.zeros((20, 30, 2), np.float32)
    flow[5, 5], flow[7, 7], back = np.nan, np.inf, flow.copy()
    back[:] = 0
    back[12, 12] = np.nan
    ids = np.zeros((20, 30), int)
    found = checked(flow, back, ids, ids)
    assert np.isfinite(found.flow).all()
    for place in ((5, 5), (7, 7), (12, 12)):
        assert found.valid[place] == 0 and not found.strict[place]
    assert (found.valid == 0).sum() == 3 and (~found.strict).sum() == 3


def zoom(k: int, step: int) -> np.ndarray:
    """A turn about the image's middle with zoom and pan, ``k`` times ``step``: maps positions to positions."""
    angle, scale = 0.01 * k * step, 1.004 ** (k * step)
    middle = np.array([79.5, 59.5])
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (pixel_grid(SIZE) - middle) @ turn.T + middle - pixel_grid(SIZE)


@pytest.mark.parametrize("count", [2, 5, 10])
def test_chained_flow_is_the_flow_of_the_whole(count: int) -> None:
    flow = zoom(1, 1).astype(np.float32)
    step = Correspondence(flow, inside(flow, 0.0).astype(np.float32), inside(flow, 0.0))
    chained = step
    for _ in range(count - 1):
        chained = compose(chained, step)
    error = np.linalg.norm(chained.flow - zoom(count, 1), axis=-1)
    assert chained.strict.mean() > 0.7
    assert error[chained.strict].max() < 0.01
    assert error[chained.valid > 0].max() < 0.1  # beside what left the frame


def test_chaining_never_mixes_two_surfaces() -> None:
    first, _ = layered_pair(1)
    both = compose(first, first)
    ids = layer_at(pixel_grid(SIZE).astype(np.float64), 0)
    kept = both.valid > 0
    speeds = np.linalg.norm(both.flow[:, :, None] - 2 * SPEEDS, axis=-1)  # or that of one layer, then another
    mixed = np.linalg.norm(both.flow[:, :, None, None] - SPEEDS[:, None] - SPEEDS[None], axis=-1).min((-1, -2))
    assert mixed[kept].max() < 1e-4
    assert (speeds[kept].argmin(-1) == ids[kept]).mean() > 0.99


def test_identity_and_nothing() -> None:
    same, none = identity((5, 4)), nothing((5, 4))
    assert same.flow.shape == (4, 5, 2) and same.valid.min() == 1 and same.strict.all() and not same.flow.any()
    assert none.valid.max() == 0 and not none.strict.any() and not none.flow.any()
    found, _ = layered_pair(1)
    for chained in (compose(identity(SIZE), found), compose(found, identity(SIZE))):
        np.testing.assert_allclose(chained.flow, found.flow, atol=1e-5)
        np.testing.assert_allclose(chained.valid, found.valid, atol=1e-6)
    assert compose(found, nothing(SIZE)).valid.max() == 0
