"""Exact motion of a rendered scene, between any two frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from .addresses import PULLED, AddressBook, System
from .cache import Cache
from .correspondence import Correspondence, checked, compose, identity, nothing
from .geometry import SceneGeometry
from .vectors import neighbour_flow

CACHE = 512 << 20  # bytes of correspondences kept


class ExactMotion:
    """Motion of a rendered scene, from its data layer, cameras and object matrices."""

    def __init__(self, scene: SceneGeometry) -> None:
        self.scene = scene
        self.book = AddressBook(scene)
        self._pairs: Cache[tuple[int, int], Correspondence] = Cache(CACHE, self._pair)
        self._chains: Cache[tuple[int, int], Correspondence] = Cache(CACHE, self._chain)
        self.systems = np.array([System.MATRICES if o.rigid else System.GENERATED for o in scene.objects]+[System.MATRICES, System.VECTORS], np.int8)

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
        systems = self.systems
        flow = self.book.flow(i, j, systems)
        owner = self.book.page(i, systems).owner
        system = np.where(owner >= 0, systems[owner], System.UNKNOWN)
        if abs(i - j) == 1 and not self.scene.vector_reason:
            vector = neighbour_flow(self.scene.layer(i), j - i)
            better = np.isin(system, PULLED) & np.isfinite(vector).all(-1)
            flow[better] = vector[better]
        valid, strict = self.book.agreement(i, j, flow, systems)
        found = Correspondence(np.nan_to_num(flow), valid.astype(np.float32), strict)
        chained = system == System.VECTORS
        if not chained.any():
            return found
        chain = self._chains.get((i, j))
        return Correspondence(
            np.where(chained[..., None], chain.flow, found.flow),
            np.where(chained, chain.valid, found.valid),
            np.where(chained, chain.strict, found.strict),
        )

    def _chain(self, key: tuple[int, int]) -> Correspondence:
        i, j = key
        step = 1 if j > i else -1
        if j - step != i:
            return compose(self._chains.get((i, j - step)), self._chains.get((j - step, j)))
        owners = [self.book.page(frame, self.systems).owner for frame in (i, j)]
        there, back = neighbour_flow(self.scene.layer(i), step), neighbour_flow(self.scene.layer(j), -step)
        return checked(there, back, *owners)
