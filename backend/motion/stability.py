"""Which coordinate stays on each object's surface: the self-check of the address book (exact-motion 1.1).

A coordinate that slides or repeats would give confident nonsense, so every object's is compared with the Vector pass
on a few neighbouring frames and on those that are asked for, and an object that disagrees falls back to the next
coordinate that does not. All neighbours between two frames are looked at coarsely (``jumps``), and where an object is
suspected they are judged like the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from functools import cached_property
from itertools import repeat

import numpy as np

from .addresses import PULLED, AddressBook, System, repeats
from .cache import Cache
from .correspondence import Correspondence, checked
from .geometry import SceneGeometry, SceneObject
from .jumps import jumping
from .vectors import apart, neighbour_flow

SAMPLE = 4  # pairs of neighbours that every object is checked on, and about as many on the way between two frames;
BUDGET = 4 << 20  # fewer where they would be more pixels than this
GLANCED_AT = 1 << 28  # pixels of frames on the way that are looked at coarsely: of 1080p 129 frames, of 512 x 288 1820
ENOUGH = 16  # pixels that a verdict needs
SLIDE = 0.5, 0.01  # px, and the share of pixels that may be further off
CHANCE = 2  # px that may be, however few there are
DRIFT = 0.05, 0.5  # the same for a slide that is slow and steady
LOST = 0.05  # share of pixels whose coordinate may not be found at all: in creases and at rims some never are
SURE = 0.3  # footprints within which an address confirms where matrices push it
CONTRADICTS = "contradicts all that is known of the objects: this Blender writes it wrong"
NAMES = {
    System.MATRICES: "object matrices",
    System.GENERATED: "Generated coordinates",
    System.REST: "rest positions",
    System.UV: "UV map",
    System.VECTORS: "chained motion vectors",
    System.UNKNOWN: "nothing",
}


def disagrees(counts: np.ndarray) -> np.ndarray:
    """Judge ``counts`` ``(4, owners)`` of pixels: compared, beyond ``SLIDE``, beyond ``DRIFT``, not found.

    Returns ``(owners,)`` bool.
    """
    compared, sliding, drifting, lost = counts
    off = (sliding > SLIDE[1] * compared + CHANCE) | (lost > LOST * compared + CHANCE)
    return (compared >= ENOUGH) & (off | (drifting > DRIFT[1] * compared))


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
        self._chosen: set[bytes] = set()
        self._wrong: set[int] = set()
        self._jumps: Cache[int, np.ndarray] = Cache(16 << 20, lambda frame: jumping(book, frame))
        self._vectors: Cache[tuple[int, int], Correspondence] = Cache(book.memory, self._vector)
        starts = [f for f in scene.frames[:-1] if scene.same_take(f, f + 1)]
        self.stops = min(SAMPLE, max(1, BUDGET // (scene.size[0] * scene.size[1])))
        picked = np.unique(np.linspace(0, len(starts) - 1, min(self.stops, len(starts))).round().astype(int))
        self.sample = frozenset(starts[k] for k in picked)
        self.glances = max(1, GLANCED_AT // (scene.size[0] * scene.size[1]))

    @cached_property
    def addressed(self) -> bool:
        """Whether the data layer holds surface addresses, as it has since they were introduced."""
        return self.scene.layer(self.scene.frames[0]).addressed

    @cached_property
    def vector_reason(self) -> str:
        """Why the Vector pass is not used at all, empty if it is.

        Some Blender versions write it wrong for orthographic cameras, animated lenses or sensor shifts.
        """
        if self.scene.vector_reason:
            return self.scene.vector_reason
        systems = np.array([order[0] for order in self._orders(trusted=True)], np.int8)
        systems[self.unfit] = System.UNKNOWN
        pairs = ((f, f + 1) for f in sorted(self.sample))
        wrong = any(self.contradicted(i, j, self.book.flow(i, j, systems), systems) for i, j in pairs)
        return f"The Vector pass {CONTRADICTS}." if wrong else ""

    def contradicted(self, i: int, j: int, flow: np.ndarray, systems: np.ndarray) -> bool:
        """Tell whether the Vector pass between neighbours ``i`` and ``j`` is wrong, given the ``flow`` by ``systems``.

        It is where most of it disagrees, also where two coordinates that know nothing of one another agree against it:
        matrices and Generated coordinates of rigid objects, Generated coordinates and rest positions of the others.
        """
        difference = apart(flow, neighbour_flow(self.scene.layer(i), j - i))
        known = np.isfinite(difference)
        if known.sum() < ENOUGH or (difference[known] <= SLIDE[0]).mean() > 0.5:
            return False
        second = np.full_like(systems, System.UNKNOWN)
        second[(systems == System.MATRICES) & ~self.unfit] = System.GENERATED
        second[(systems == System.GENERATED) & ~self.unfit] = System.REST
        _, sure = self.book.agreement(i, j, flow, second, SURE)
        told = sure & known
        wrong = bool(told.sum() >= ENOUGH and (difference[told] <= SLIDE[0]).mean() <= 0.5)
        if wrong:
            self._wrong.add(min(i, j))
        return wrong

    @cached_property
    def alone(self) -> np.ndarray:
        """Owners ``(owners,)`` bool of which the Vector pass proves nothing."""
        return self.changing | bool(self.vector_reason)

    def systems(self, i: int, j: int) -> np.ndarray:
        """Return the coordinate of every owner ``(objects + 2,)`` int8 for motion between frames ``i`` and ``j``.

        It is the first that agrees with the Vector pass on the sample and on the way from one to the other, and that
        jumps nowhere between them, so that what goes wrong in the middle of a shot is found when that is asked for. It
        depends on nothing asked before.
        """
        frames = self._way(i, j, self.stops)
        place, last = self._sampled, self._last
        while True:
            systems = self._at(place)
            failing = (self._fails(self.sample, systems) | self._fails(frames, systems)) & (place < last)
            if not failing.any():
                failing = self._jumps_between(i, j, systems) & (place < last)
            if not failing.any():
                self._chosen.add(systems.tobytes())
                return systems
            place = place + failing

    @cached_property
    def _chain(self) -> list[list[System]]:
        """The coordinates that every owner may use, the best first."""
        return self._orders(trusted=not self.vector_reason)

    @cached_property
    def _last(self) -> np.ndarray:
        """The place of every owner's last coordinate, ``(owners,)``."""
        return np.array([len(order) - 1 for order in self._chain])

    @cached_property
    def _sampled(self) -> np.ndarray:
        """The place of the first coordinate of every owner that agrees on the sample, ``(owners,)``: the same for all.

        What already fails there need not be tried on the way between any two frames.
        """
        place = np.zeros_like(self._last)
        while (failing := self._fails(self.sample, self._at(place)) & (place < self._last)).any():
            place = place + failing
        return place

    def _at(self, place: np.ndarray) -> np.ndarray:
        return np.array([order[k] for order, k in zip(self._chain, place, strict=True)], np.int8)

    def _way(self, i: int, j: int, most: int) -> list[int]:
        """Return frames between ``i`` and ``j``, ``most`` of them and one more at most, the same for many pairs."""
        first, last = min(i, j), max(i, j)
        stride = 1
        while last - first > stride * most:
            stride *= 2
        return [frame for frame in range(first, max(last, first + 1)) if frame == first or frame % stride == 0]

    def _jumps_between(self, i: int, j: int, systems: np.ndarray) -> np.ndarray:
        """Tell whose coordinate jumps between two neighbours on the way from ``i`` to ``j``, ``(owners,)`` bool."""
        failing = np.zeros(len(systems), bool)
        objects = np.arange(len(self.scene.objects))
        followed = ~self.alone[objects]
        for frame in self._way(i, j, self.glances) if i != j and followed.any() else ():
            if (self._jumps.get(frame)[systems[objects], objects] & followed).any():
                failing |= self._fails([frame], systems)
        return failing

    def describe(self) -> dict[str, dict[str, str]]:
        """Return object name -> source and, where one of its instances had to fall back, the reason, for the artist."""
        self.systems(self.scene.frames[0], self.scene.frames[0])
        found: dict[str, dict[str, str]] = {}
        for systems in map(np.frombuffer, sorted(self._chosen), repeat(np.int8)):
            for entry, twin, system in zip(self.scene.objects, self.twins, systems, strict=False):
                reason = self._reason(entry, twin, System(system))
                if entry.name not in found or reason:
                    found[entry.name] = {"source": NAMES[System(system)], "reason": reason}
        return found

    def describe_vector(self) -> str:
        """Return why the Vector pass is not used, or between which frames it was found wrong; empty if it is right."""
        wrong = sorted(self._wrong)
        if self.vector_reason or not wrong:
            return self.vector_reason
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return f"The Vector pass between frames {wrong[0]} and {wrong[0] + 1}{more} {CONTRADICTS}."

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

    def _fails(self, frames: Collection[int], systems: np.ndarray) -> np.ndarray:
        """Tell whose coordinate disagrees with the Vector pass on ``frames`` taken together, ``(owners,)`` bool."""
        counts = (self._counts.get((frame, systems.tobytes())) for frame in frames)
        return disagrees(sum(counts, np.zeros((4, len(systems)))))

    def _count(self, key: tuple[int, bytes]) -> np.ndarray:
        """Count each owner's pixels: compared, off by over ``SLIDE``, by over ``DRIFT``, not found; (4, owners).

        Where the Vector pass proves nothing, what counts as off is a coordinate that occurs twice in the frame.
        """
        frame, systems = key[0], np.frombuffer(key[1], np.int8)
        page = self.book.page(frame, systems)
        counts = np.zeros((4, len(systems)))
        for number in np.flatnonzero(self.alone & np.isin(systems, PULLED)):
            counts[:2, number] = repeats(page, self.book.slopes(frame, systems), int(number))
        compared = (page.owner >= 0) & (page.owner < self.book.sky) & ~self.alone[page.owner]
        compared &= systems[page.owner] < System.VECTORS
        other = self._neighbour(frame)
        if other is None or not compared.any():
            return counts
        vector = self._vectors.get((frame, other))
        compared &= vector.strict & (vector.valid > 0)
        flow = self.book.flow(frame, other, systems)
        off = apart(flow, vector.flow)
        wrong = (compared, compared & (off > SLIDE[0]), compared & ~(off <= DRIFT[0]), compared & np.isnan(off))
        found = np.array([np.bincount(page.owner[which], minlength=len(systems)) for which in wrong])
        if disagrees(found).any() and self.contradicted(frame, other, flow, systems):
            return counts
        return counts + found

    def _vector(self, key: tuple[int, int]) -> Correspondence:
        """Return the Vector pass between neighbours, checked there and back."""
        here, there = (self.scene.layer(frame) for frame in key)
        step = key[1] - key[0]
        return checked(neighbour_flow(here, step), neighbour_flow(there, -step), *map(self.book.owner, key))

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
