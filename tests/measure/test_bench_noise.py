"""How much noise two frames can share, as the bench reckons it."""

from __future__ import annotations

import numpy as np

from backend.measure.bench_noise import CELL, cell_overlap, of_one_object

SHAPE = 4 * CELL, 6 * CELL


def test_cells_share_what_moves_from_one_to_the_other() -> None:
    seen, area = np.ones(SHAPE, bool), np.full(SHAPE, 3.0)
    still = cell_overlap(np.zeros((*SHAPE, 2)), seen, (area, area), CELL)
    np.testing.assert_allclose(still, np.eye(24))
    half = cell_overlap(np.full((*SHAPE, 2), (CELL / 2, 0)), seen, (area, area), CELL)
    np.testing.assert_allclose([half[0, 0], half[0, 1], half[7, 8], half[0, 6]], [0.5, 0.5, 0.5, 0])
    seen[:, : CELL // 2] = False
    assert cell_overlap(np.zeros((*SHAPE, 2)), seen, (area, area), CELL)[0, 0] == 0.5


def test_cells_of_one_object() -> None:
    owner = np.zeros(SHAPE, int)
    owner[CELL:, CELL + 3 :] = 1
    alone = of_one_object(owner).reshape(4, 6)
    assert alone[0].all() and alone[:, 0].all() and not alone[1:, 1].any() and alone[1:, 2:].all()
