"""Exact motion of a rendered scene, between any two frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from .addresses import AddressBook, System
from .cache import PAIRS, Budget, Cache
from .correspondence import Correspondence, chain, checked, identity, nothing
from .geometry import SceneGeometry
from .stability import DRIFT, Stability
from .vectors import apart, neighbour_flow


class ExactMotion:
    """Motion of a rendered scene, from its data layer, cameras and object matrices.

    Rigid objects and the sky are pushed by matrices, the rest is looked up by surface address; neighbours are joined by
    the Vector pass where nothing speaks against it. Only what has no stable address is chained. A point is visible
    where the target shows its address.
    """

    def __init__(self, scene: SceneGeometry, memory: Budget | None = None) -> None:
        self.scene = scene
        self.memory = Budget() if memory is None else memory
        self.book = AddressBook(scene, self.memory)
        self.stability = Stability(scene, self.book)
        self._pairs: Cache[tuple[int, int], Correspondence] = Cache(PAIRS, self._pair)
        self._chains: Cache[tuple[int, int], Correspondence] = Cache(self.memory, self._chain)
        self._steps: Cache[tuple[int, int], Correspondence] = Cache(self.memory, self._step)

    def pair(self, i: int, j: int) -> Correspondence:
        """Return the correspondence between two frames of the shot; nothing is valid across a cut."""
        return self._pairs.get((i, j))

    def describe(self) -> dict[str, Any]:
        """Say where each object's motion comes from, and why where it is not the best source."""
        return {"source": "exact", "vector": self.stability.describe_vector(), "objects": self.stability.describe()}

    def _pair(self, key: tuple[int, int]) -> Correspondence:
        i, j = key
        if i == j:
            return identity(self.scene.size)
        if not self.scene.same_take(i, j):
            return nothing(self.scene.size)
        systems = self.stability.systems(i, j)
        owner = self.book.page(i, systems).owner
        flow = self.book.flow(i, j, systems)
        if abs(i - j) == 1:
            vector = self._vector(i, j, flow, systems)
            # Both are exact, but only the Vector pass can be wrong; of a face seen edge-on it is the finer one.
            better = (systems != System.MATRICES)[owner] | (apart(vector, flow) <= DRIFT[0])
            told = np.isfinite(vector[..., 0]) & np.isfinite(vector[..., 1])  # all() over so short an axis is slow
            better &= (owner >= 0) & ~self.stability.changing[owner] & told
            np.copyto(flow, vector, where=better[..., None])
        valid, strict = self.book.agreement(i, j, flow, systems)
        np.copyto(flow, 0, where=~np.isfinite(flow))
        found = Correspondence(flow, valid.astype(np.float32), strict)
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
        systems = self.stability.systems(i, j)
        owners = (self.book.page(frame, systems).owner for frame in (i, j))
        flows = (self._vector(a, b, self.book.flow(a, b, systems), systems) for a, b in ((i, j), (j, i)))
        return checked(*flows, *owners)

    def _vector(self, i: int, j: int, flow: np.ndarray, systems: np.ndarray) -> np.ndarray:
        """Return the Vector pass between neighbours as a flow, NaN where ``flow`` (by ``systems``) shows it wrong."""
        vector = neighbour_flow(self.scene.layer(i), j - i)
        if self.stability.vector_reason or self.stability.contradicted(i, j, flow, systems):
            vector[:] = np.nan
        return vector
