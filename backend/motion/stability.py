"""Which coordinate stays on each object's surface: the self-check of the address book (exact-motion 1.1).

A coordinate that slides or repeats would give confident nonsense, so every object's is compared with the Vector pass
on a few neighbouring frames, and an object that disagrees falls back to the next coordinate that does not.
"""

from __future__ import annotations

from collections import Counter
from functools import cached_property

import numpy as np

from .addresses import AddressBook, System
from .cache import Cache
from .correspondence import checked
from .geometry import SceneGeometry, SceneObject
from .vectors import neighbour_flow

SAMPLE = 8  # pairs of neighbours that every object is checked on
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
        self._counts: Cache[tuple[int, bytes], np.ndarray] = Cache(16 << 20, self._count)
        self._choices: dict[frozenset[int], np.ndarray] = {}
        starts = [f for f in scene.frames[:-1] if scene.same_take(f, f + 1)]
        picked = np.unique(np.linspace(0, len(starts) - 1, min(SAMPLE, len(starts))).round().astype(int))
        self.sample = frozenset(starts[k] for k in picked)

    @cached_property
    def vector_reason(self) -> str:
        """Why the Vector pass is not used, empty if it is.

        Some Blender versions write it wrong for orthographic cameras and animated lenses. It is wrong where object
        matrices and surface addresses, which know nothing of one another, agree against it.
        """
        if self.scene.vector_reason or not self.sample:
            return self.scene.vector_reason
        rigid = [entry.rigid and entry.topology == "constant" for entry in self.scene.objects]
        pushed = np.array([System.MATRICES if yes else System.UNKNOWN for yes in rigid] + [System.UNKNOWN] * 2, np.int8)
        addressed = np.where(pushed == System.MATRICES, np.int8(System.GENERATED), pushed)
        confirmed = off = 0
        for f in {min(self.sample), max(self.sample)}:
            flow = self.book.flow(f, f + 1, pushed)
            _, sure = self.book.agreement(f, f + 1, flow, addressed, SURE)
            difference = np.abs(flow - neighbour_flow(self.scene.layer(f), 1)).max(-1)
            confirmed += sure.sum()
            off += (sure & ~(difference <= SLIDE[0])).sum()
        if confirmed >= ENOUGH and off > confirmed / 2:
            return "The Vector pass contradicts the objects' matrices and addresses: it is wrong in this Blender."
        return ""

    def systems(self, frame: int) -> np.ndarray:
        """Return the coordinate of every owner ``(objects + 2,)`` int8, as judged on the sample.

        If ``frame`` shows an object that the sample does not, ``frame`` joins the sample.
        """
        systems = self._choose(self.sample)
        compared = sum((self._counts.get((f, systems.tobytes()))[0] for f in self.sample), np.zeros(len(systems)))
        seen = np.unique(self.book.page(frame, systems).owner)
        seen = seen[(seen >= 0) & (seen < self.book.sky)]
        if frame in self.sample or not (compared[seen] < ENOUGH).any():
            return systems
        return self._choose(self.sample | {frame})

    def describe(self) -> dict[str, dict[str, str]]:
        """Return name -> source and, where an object had to fall back, the reason, for the artist."""
        self._choose(self.sample)
        found = {}
        for systems in self._choices.values():
            for entry, twin, system in zip(self.scene.objects, self.twins, systems, strict=False):
                reason = self._reason(entry, twin, System(system))
                if entry.label not in found or reason:
                    found[entry.label] = {"source": NAMES[System(system)], "reason": reason}
        return found

    def _order(self, entry: SceneObject, twin: bool) -> list[System]:
        """List the coordinates that an object may use, the best first."""
        projective = all(camera.kind in ("PERSP", "ORTHO") for camera in self.scene.cameras.values())
        trusted = not self.vector_reason
        last = System.VECTORS if trusted and entry.topology == "constant" else System.UNKNOWN
        if twin:
            return [last]
        on_surface: list[System] = []
        if self.scene.layer(self.scene.frames[0]).addressed:
            # Rest positions never slide, they only repeat; that shows without a Vector pass to compare with.
            on_surface = [System.GENERATED, System.REST] if trusted else [System.REST, System.GENERATED]
            on_surface.append(System.UV)
        matrices = [System.MATRICES] if projective else []
        if entry.topology == "constant":
            return [*(matrices if entry.rigid else []), *on_surface, last]
        return [*on_surface, *matrices, last]

    def _choose(self, frames: frozenset[int]) -> np.ndarray:
        """Return the first coordinate of each object that agrees with the Vector pass on ``frames``."""
        if frames in self._choices:
            return self._choices[frames]
        orders = [self._order(entry, twin) for entry, twin in zip(self.scene.objects, self.twins, strict=True)]
        orders += [[System.MATRICES], [System.VECTORS if not self.vector_reason else System.UNKNOWN]]
        place = np.zeros(len(orders), int)
        last = np.array([len(order) - 1 for order in orders])
        while True:
            systems = np.array([order[k] for order, k in zip(orders, place, strict=True)], np.int8)
            counts = sum((self._counts.get((f, systems.tobytes())) for f in frames), np.zeros((3, len(orders))))
            compared, sliding, drifting = counts
            failing = (sliding > SLIDE[1] * compared) | (drifting > DRIFT[1] * compared)
            # Where a mesh changes all the time nothing could be compared: what is not verified is not used.
            failing &= (compared >= ENOUGH) & (place < last)
            failing |= self.changing & (compared < ENOUGH) & (place < last)
            if not failing.any():
                self._choices[frames] = systems
                return systems
            place += failing

    def _count(self, key: tuple[int, bytes]) -> np.ndarray:
        """Count each owner's pixels: compared, off by more than ``SLIDE``, by more than ``DRIFT``; (3, owners)."""
        frame, systems = key[0], np.frombuffer(key[1], np.int8)
        other = frame + 1 if frame + 1 in self.scene.cameras and self.scene.same_take(frame, frame + 1) else frame - 1
        counts = np.zeros((3, len(systems)))
        if self.vector_reason:
            other = frame
        elif other not in self.scene.cameras or not self.scene.same_take(frame, other):
            return counts
        owner = self.book.page(frame, systems).owner
        reference, compared = self._reference(frame, other, owner, self.book.page(other, systems).owner)
        compared &= (owner >= 0) & (owner < self.book.sky) & (systems[owner] < System.VECTORS)
        off = np.abs(self.book.flow(frame, other, systems) - reference).max(-1)
        for row, wrong in enumerate((compared, compared & ~(off <= SLIDE[0]), compared & ~(off <= DRIFT[0]))):
            counts[row] = np.bincount(owner[wrong], minlength=len(systems))
        return counts

    def _reference(
        self, frame: int, other: int, owner: np.ndarray, owner_there: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a flow that can be relied on, and where: the Vector pass, or, without one, a frame to itself."""
        if frame == other:
            return np.zeros((*owner.shape, 2), np.float32), np.ones(owner.shape, bool)
        step = other - frame
        there = neighbour_flow(self.scene.layer(frame), step)
        both = checked(there, neighbour_flow(self.scene.layer(other), -step), owner, owner_there)
        compared = both.strict
        if self.changing[owner[compared]].any():
            compared = compared & ~self._rigid_only(frame, other, both.flow, compared)[owner]
        return both.flow, compared

    def _rigid_only(self, frame: int, other: int, vector: np.ndarray, compared: np.ndarray) -> np.ndarray:
        """Tell which owners ``(owners,)`` bool deform while their vectors hold the motion of their matrices alone.

        Blender drops a mesh's deformation from the Vector pass where the number of its vertices changes.
        """
        rigid = np.full(len(self.changing), System.MATRICES, np.int8)
        rigid[-1] = System.UNKNOWN
        owner = self.book.page(frame, rigid).owner
        compared = compared & (owner >= 0)
        alike = np.abs(self.book.flow(frame, other, rigid) - vector).max(-1) < DRIFT[0]
        stays, _ = self.book.agreement(frame, other, vector, rigid)
        total, alike, stays = (
            np.bincount(owner[compared & test], minlength=len(rigid)) for test in (compared, alike, stays)
        )
        return self.changing & (alike > 0.99 * total) & (stays < 0.99 * total)

    def _reason(self, entry: SceneObject, twin: bool, system: System) -> str:
        """Return why an object does not use the coordinate it would use first, empty if it does."""
        if system == self._order(entry, False)[0]:
            return ""
        if twin:
            return "Another object has the same number and Random value, so that the two cannot be told apart."
        if system == System.UNKNOWN:
            return "Nothing tells where its points go: no coordinate stays on its surface, so it is new in every frame."
        if system == System.VECTORS:
            return "No coordinate stays on its surface, so motion is chained frame by frame and lost over long gaps."
        if entry.rigid and entry.topology == "constant":
            return f"It moves otherwise than its matrices say, so its {NAMES[system]} are used."
        return f"Its Generated coordinates slide over its surface, so {NAMES[system]} are used."
