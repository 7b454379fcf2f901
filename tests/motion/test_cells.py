import numpy as np

from backend.motion.cells import at_cells
from backend.motion.correspondence import Correspondence


def pair(flow, valid):
    return Correspondence(flow.astype(np.float32), valid.astype(np.float32), valid.astype(bool))


def test_a_uniform_flow_is_the_same_flow_in_cells():
    flow = np.full((16, 24, 2), (6.0, -2.0))
    cells = at_cells(pair(flow, np.ones((16, 24))), 4, (4, 6))
    assert np.array_equal(cells.flow, np.full((4, 6, 2), (1.5, -0.5), np.float32))
    assert (cells.valid == 1).all()
    assert cells.strict.all()


def test_a_cell_on_a_silhouette_moves_with_one_surface_and_not_with_the_mean():
    flow = np.zeros((8, 8, 2))
    flow[:, 4:, 0] = 8
    valid = np.ones((8, 8))
    valid[:, :4] = 0
    cells = at_cells(pair(flow, valid), 8, (1, 1))
    assert cells.flow[0, 0].tolist() == [1, 0]
    assert cells.valid[0, 0] == 0.5
    assert not cells.strict[0, 0]


def test_cells_beyond_the_picture_are_not_valid():
    cells = at_cells(pair(np.zeros((6, 8, 2)), np.ones((6, 8))), 4, (2, 3))
    assert cells.valid.tolist() == [[1, 1, 0], [0.5, 0.5, 0]]
