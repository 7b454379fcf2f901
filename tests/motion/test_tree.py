"""The k-d tree finds what looking at every point finds."""

from __future__ import annotations

import numpy as np
import pytest

from backend.motion.tree import grow, nearest


@pytest.mark.parametrize("count", [0, 1, 8, 9, 1000])
@pytest.mark.parametrize("dimensions", [1, 4])
def test_nearest(count: int, dimensions: int) -> None:
    rng = np.random.default_rng(count)
    points = rng.normal(size=(count, dimensions))
    points[count // 2 :] = np.round(points[count // 2 :], 1)  # ties and repeated points
    order, axes = grow(points)
    assert sorted(order) == list(range(count))
    for query in rng.normal(size=(200, dimensions)) * 2:
        found = nearest(points[order], axes, query)
        if count == 0:
            assert found == -1
            continue
        distances = np.linalg.norm(points - query, axis=-1)
        assert np.isclose(distances[order[found]], distances.min(), rtol=0, atol=1e-12)
