"""Exact motion of a rendered scene, between any two frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from .cache import Cache
from .correspondence import Correspondence, checked, compose, identity, nothing
from .geometry import SceneGeometry
from .sky import sky_flow
from .vectors import neighbour_flow

CACHE = 512 << 20  # bytes of correspondences kept


class ExactMotion:
    """Motion of a rendered scene, from its data layer, cameras and object matrices."""

    def __init__(self, scene: SceneGeometry) -> None:
        self.scene = scene
        self._pairs: Cache[tuple[int, int], Correspondence] = Cache(CACHE, self._pair)

    def pair(self, i: int, j: int) -> Correspondence:
        """Return the correspondence between two frames of the shot; nothing is valid across a cut."""
        return self._pairs.get((i, j))

    def describe(self) -> dict[str, Any]:
        """Say where each object's motion comes from."""
        return {"source": "exact", "objects": {}}

    def _pair(self, key: tuple[int, int]) -> Correspondence:
        i, j = key
        if i == j:
            return identity(self.scene.size)
        if not self.scene.same_take(i, j):
            return nothing(self.scene.size)
        step = 1 if j > i else -1
        if j - step != i:
            return compose(self.pair(i, j - step), self.pair(j - step, j))
        layers = self.scene.layer(i), self.scene.layer(j)
        ids = [np.where(layer.sky, -1, layer.index) for layer in layers]
        return checked(self._neighbour(i, j), self._neighbour(j, i), *ids)

    def _neighbour(self, i: int, j: int) -> np.ndarray:
        layer = self.scene.layer(i)
        sky = sky_flow(self.scene.cameras[i], self.scene.cameras[j], self.scene.size)
        return np.where(layer.sky[..., None], sky, neighbour_flow(layer, j - i))
