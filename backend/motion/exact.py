"""Exact motion of a rendered scene, between any two frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from .addresses import AddressBook, System
from .cache import Cache
from .correspondence import Correspondence, chain, checked, identity, nothing
from .geometry import SceneGeometry
from .stability import Stability
from .vectors import neighbour_flow

CACHE = 512 << 20  # bytes of correspondences kept, and half as many of chained ones


class ExactMotion:
    """Motion of a rendered scene, from its data layer, cameras and object matrices.

    Neighbours are joined by the Vector pass. Over longer gaps rigid objects and the sky are pushed by matrices,
    deforming ones looked up by their surface address, and only what has no stable address is chained. A point is
    visible where the target shows its address.
    """

    def __init__(self, scene: SceneGeometry) -> None:
        self.scene = scene
        self.book = AddressBook(scene)
        self.stability = Stability(scene, self.book)
        self._pairs: Cache[tuple[int, int], Correspondence] = Cache(CACHE, self._pair)
        self._chains: Cache[tuple[int, int], Correspondence] = Cache(CACHE // 2, self._chain)
        self._steps: Cache[tuple[int, int], Correspondence] = Cache(CACHE // 2, self._step)

    def pair(self, i: int, j: int) -> Correspondence:
        """Return the correspondence between two frames of the shot; nothing is valid across a cut."""
        return self._pairs.get((i, j))

    def describe(self) -> dict[str, Any]:
        """Say where each object's motion comes from, and why where it is not the best source."""
        return {"source": "exact", "vector": self.stability.vector_reason, "objects": self.stability.describe()}

    def _pair(self, key: tuple[int, int]) -> Correspondence:
        i, j = key
        if i == j:
            return identity(self.scene.size)
        if not self.scene.same_take(i, j):
            return nothing(self.scene.size)
        systems = self.stability.systems(i)
        owner = self.book.page(i, systems).owner
        flow = self.book.flow(i, j, systems)
        if abs(i - j) == 1 and not self.stability.vector_reason:
            vector = neighbour_flow(self.scene.layer(i), j - i)
            better = (owner >= 0) & ~self.stability.changing[owner] & np.isfinite(vector).all(-1)
            flow[better] = vector[better]
        valid, strict = self.book.agreement(i, j, flow, systems)
        found = Correspondence(np.nan_to_num(flow), valid.astype(np.float32), strict)
        chained = (systems == System.VECTORS)[owner] & (owner >= 0)
        if not chained.any():
            return found
        linked = self._chains.get((i, j))
        return Correspondence(
            np.where(chained[..., None], linked.flow, found.flow),
            np.where(chained, linked.valid, found.valid),
            np.where(chained, linked.strict, found.strict),
        )

    def _chain(self, key: tuple[int, int]) -> Correspondence:
        """Chain the Vector pass of every frame between, for what has no stable address."""
        i, j = key
        step = 1 if j > i else -1
        return chain(range(i, j + step, step), self._steps, self._chains)

    def _step(self, key: tuple[int, int]) -> Correspondence:
        i, j = key
        there, back = neighbour_flow(self.scene.layer(i), j - i), neighbour_flow(self.scene.layer(j), i - j)
        return checked(there, back, *(self.book.page(f, self.stability.systems(f)).owner for f in (i, j)))
