"""Look-ups by surface address against analytic truth: on curved surfaces, and behind a rim seen edge-on."""

from __future__ import annotations

import numpy as np
import pytest

from backend.measure.synthetic import SyntheticShot
from backend.motion.exact import ExactMotion

CLEAR = 0.2  # cosine above which a face is not grazing
BOX, PILLAR = 1, 3


@pytest.fixture(scope="module")
def shot() -> SyntheticShot:
    return SyntheticShot((256, 144))


@pytest.fixture(scope="module")
def by_address(shot: SyntheticShot) -> ExactMotion:
    """Told nothing of matrices, as of a mesh that deforms."""
    return ExactMotion(shot.geometry(rigid=False))


def test_a_curved_surface_is_met_along_the_line_of_sight(shot: SyntheticShot, by_address: ExactMotion) -> None:
    found, truth = by_address.pair(16, 8), shot.motion.pair(16, 8)
    round_one = (shot.rays(16).solid == PILLAR) & (shot.motion.facing(16, 8) > CLEAR) & (truth.valid > 0)
    assert found.valid[round_one].mean() > 0.99
    assert np.linalg.norm(found.flow - truth.flow, axis=-1)[round_one].mean() < 0.008  # by its facets alone: 0.012


@pytest.mark.parametrize("rigid", [True, False])
def test_what_is_behind_the_rim_of_a_face_seen_edge_on_is_hidden(shot: SyntheticShot, rigid: bool) -> None:
    motion = ExactMotion(shot.geometry(rigid))
    found, truth = motion.pair(32, 1), shot.motion.pair(32, 1)
    box = (shot.rays(32).solid == BOX) & (shot.motion.facing(32, 1) > CLEAR)
    behind = box & (truth.valid == 0)
    assert behind.sum() > 1000
    assert found.valid[behind].mean() < 0.1
    assert found.strict[behind].mean() < 0.02
