"""Which coordinate stays on each object's surface: the self-check of the address book (exact-motion 1.1).

A coordinate that slides or repeats would give confident nonsense, so every object's is compared with the Vector pass
on a few neighbouring frames, and an object that disagrees falls back to the next coordinate that does not.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np

from .addresses import PULLED, AddressBook, System, bind, repeats
from .cache import Cache
from .correspondence import Correspondence, checked
from .geometry import SceneGeometry, SceneObject
from .vectors import neighbour_flow

SAMPLE = 4  # pairs of neighbours that every object is checked on, fewer
BUDGET = 4 << 20  # where they would be more pixels than this
VECTORS_CACHE = 256 << 20  # bytes of checked Vector passes kept
ENOUGH = 16  # pixels that a verdict needs
SLIDE = 0.5, 0.01  # px, and the share of pixels that may be further off
DRIFT = 0.05, 0.5  # the same for a slide that is slow and steady
SURE = 0.3  # footprints within which an address confirms where matrices push it
NAMES = {
    System.MATRICES: "object matrices",
    System.GENERATED: "Generated coordinates",
    System.REST: "rest positions",
    System.UV: "UV map",
    System.VECTORS: "chained motion vectors",
    System.UNKNOWN: "nothing",
}


class Stability:
    """Chooses each object's coordinate, the same whatever was asked before."""

    def __init__(self, scene: SceneGeometry, book: AddressBook) -> None:
        self.scene, self.book = scene, book
        names = Counter((entry.index, np.float32(entry.random)) for entry in scene.objects)
        self.twins = [names[entry.index, np.float32(entry.random)] > 1 for entry in scene.objects]
        self.changing = np.array([entry.topology != "constant" for entry in scene.objects] + [False, False])
        self.unfit = self.changing.copy()  # owners that prove nothing about the Vector pass
        self.unfit[-2:] = True
        self.projective = all(camera.kind in ("PERSP", "ORTHO") for camera in scene.cameras.values())
        self._counts: Cache[tuple[int, bytes], np.ndarray] = Cache(16 << 20, self._count)
        self._choices: dict[frozenset[int], np.ndarray] = {}
        self._vectors: Cache[tuple[int, int], Correspondence] = Cache(VECTORS_CACHE, self._vector)
        starts = [f for f in scene.frames[:-1] if scene.same_take(f, f + 1)]
        pairs = min(SAMPLE, max(1, BUDGET // (scene.size[0] * scene.size[1])), len(starts))
        picked = np.unique(np.linspace(0, len(starts) - 1, pairs).round().astype(int))
        self.sample = frozenset(starts[k] for k in picked)

    @cached_property
    def addressed(self) -> bool:
        """Whether the data layer holds surface addresses, as it has since they were introduced."""
        return self.scene.layer(self.scene.frames[0]).addressed

    @cached_property
    def vector_reason(self) -> str:
        """Why the Vector pass is not used, empty if it is.

        Some Blender versions write it wrong for orthographic cameras, animated lenses or sensor shifts. It is wrong
        where two coordinates that know nothing of one another agree against it: matrices and Generated coordinates of
        rigid objects, Generated coordinates and rest positions of the others.
        """
        if self.scene.vector_reason or not self.sample:
            return self.scene.vector_reason
        first = np.array([order[0] for order in self._orders(trusted=True)], np.int8)
        second = np.where(first == System.MATRICES, System.GENERATED, System.REST).astype(np.int8)
        second[self.unfit | (first >= System.REST)] = System.UNKNOWN
        for f in sorted(self.sample):
            flow = self.book.flow(f, f + 1, first)
            _, sure = self.book.agreement(f, f + 1, flow, second, SURE)
            difference = np.abs(flow - self._vectors.get((f, f + 1)).flow).max(-1)
            if sure.sum() >= ENOUGH and not (difference[sure] <= SLIDE[0]).mean() > 0.5:
                return "The Vector pass contradicts all that is known of the objects: this Blender writes it wrong."
        return ""

    @cached_property
    def alone(self) -> np.ndarray:
        """Owners ``(owners,)`` bool of which the Vector pass proves nothing."""
        return self.changing | bool(self.vector_reason)

    def systems(self, frame: int) -> np.ndarray:
        """Return the coordinate of every owner ``(objects + 2,)`` int8, as judged on the sample.

        If ``frame`` shows an object that the sample does not, ``frame`` joins the sample.
        """
        systems = self._choose(self.sample)
        compared = sum((self._counts.get((f, systems.tobytes()))[0] for f in self.sample), np.zeros(len(systems)))
        owner = self.book.page(frame, systems).owner
        seen = np.bincount(owner[owner >= 0], minlength=len(systems))
        unsure = (seen >= ENOUGH) & (compared < ENOUGH) & (systems < System.VECTORS)
        unsure &= ~(self.alone & (systems == System.MATRICES))  # nothing to compare with
        unsure[self.book.sky :] = False
        return self._choose(self.sample | {frame}) if unsure.any() else systems

    def describe(self) -> dict[str, dict[str, str]]:
        """Return object name -> source and, where one of its instances had to fall back, the reason, for the artist."""
        self._choose(self.sample)
        found = {}
        for systems in self._choices.values():
            for entry, twin, system in zip(self.scene.objects, self.twins, systems, strict=False):
                reason = self._reason(entry, twin, System(system))
                if entry.name not in found or reason:
                    found[entry.name] = {"source": NAMES[System(system)], "reason": reason}
        return found

    def _orders(self, trusted: bool) -> list[list[System]]:
        """List the coordinates that every owner may use, the best first."""
        orders = [self._order(entry, twin, trusted) for entry, twin in zip(self.scene.objects, self.twins, strict=True)]
        return [*orders, [System.MATRICES], [System.VECTORS if trusted else System.UNKNOWN]]

    def _order(self, entry: SceneObject, twin: bool, trusted: bool) -> list[System]:
        last = System.VECTORS if trusted and entry.topology == "constant" else System.UNKNOWN
        if twin:
            return [last]
        matrices = [System.MATRICES] if self.projective and entry.rigid else []
        if not self.addressed:
            return [*matrices, last]
        # Rest positions never slide, they only repeat; that shows without a Vector pass to compare with.
        if entry.topology != "constant":
            return [System.REST, last]
        if not trusted:
            return [*matrices, System.REST, System.GENERATED, System.UV, last]
        return [*matrices, System.GENERATED, System.REST, System.UV, last]

    def _choose(self, frames: frozenset[int]) -> np.ndarray:
        """Return the first coordinate of each object that agrees with the Vector pass on ``frames``."""
        if frames in self._choices:
            return self._choices[frames]
        orders = self._orders(trusted=not self.vector_reason)
        place = np.zeros(len(orders), int)
        last = np.array([len(order) - 1 for order in orders])
        while True:
            systems = np.array([order[k] for order, k in zip(orders, place, strict=True)], np.int8)
            counts = sum((self._counts.get((f, systems.tobytes())) for f in frames), np.zeros((3, len(orders))))
            compared, sliding, drifting = counts
            failing = (sliding > SLIDE[1] * compared) | (drifting > DRIFT[1] * compared)
            failing &= (compared >= ENOUGH) & (place < last)
            if not failing.any():
                self._choices[frames] = systems
                return systems
            place += failing

    def _count(self, key: tuple[int, bytes]) -> np.ndarray:
        """Count each owner's pixels: compared, off by more than ``SLIDE``, by more than ``DRIFT``; (3, owners).

        Where the Vector pass proves nothing, what counts as off is a coordinate that occurs twice in the frame.
        """
        frame, systems = key[0], np.frombuffer(key[1], np.int8)
        page = self.book.page(frame, systems)
        counts = np.zeros((3, len(systems)))
        for number in np.flatnonzero(self.alone & np.isin(systems, PULLED)):
            counts[:2, number] = repeats(page, int(number))
        compared = (page.owner >= 0) & (page.owner < self.book.sky) & ~self.alone[page.owner]
        compared &= systems[page.owner] < System.VECTORS
        other = self._neighbour(frame)
        if other is None or not compared.any():
            return counts
        vector = self._vectors.get((frame, other))
        compared &= vector.strict & (vector.valid > 0)
        off = np.abs(self.book.flow(frame, other, systems) - vector.flow).max(-1)
        for row, wrong in enumerate((compared, compared & ~(off <= SLIDE[0]), compared & ~(off <= DRIFT[0]))):
            counts[row] += np.bincount(page.owner[wrong], minlength=len(systems))
        return counts

    def _vector(self, key: tuple[int, int]) -> Correspondence:
        """Return the Vector pass between neighbours, checked there and back."""
        here, there = (self.scene.layer(frame) for frame in key)
        step = key[1] - key[0]
        owners = (bind(layer, self.scene.objects) for layer in (here, there))
        return checked(neighbour_flow(here, step), neighbour_flow(there, -step), *owners)

    def _neighbour(self, frame: int) -> int | None:
        """Return the frame after ``frame``, or before it, in the same take."""
        near = (f for f in (frame + 1, frame - 1) if f in self.scene.cameras and self.scene.same_take(frame, f))
        return next(near, None)

    def _reason(self, entry: SceneObject, twin: bool, system: System) -> str:
        """Return why an object does not use the coordinate it would use first, empty if it does."""
        if twin:
            return "Another object has the same number and Random value, so that the two cannot be told apart."
        order = self._order(entry, twin, trusted=not self.vector_reason)
        if system == order[0]:
            return ""
        if system == System.UNKNOWN:
            return "Nothing tells where its points go: no coordinate stays on its surface, so it is new in every frame."
        if system == System.VECTORS:
            return "No coordinate stays on its surface, so motion is chained frame by frame and lost over long gaps."
        if entry.rigid and entry.topology == "constant":
            return f"It moves otherwise than its matrices say, so it is followed by its {NAMES[system]}."
        return f"Its {NAMES[order[0]]} slide over its surface or repeat, so it is followed by its {NAMES[system]}."
