"""The address book: which surface point each pixel shows, and where any surface point is seen.

A surface address is an object (told by its Object Info Random and pass index) and a point in a coordinate that stays
on its surface: object space for what only its matrix moves, else Generated, rest position or UV.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from .cache import Budget, Cache
from .geometry import DataLayer, SceneGeometry, SceneObject
from .kernels import SPREAD, agree, differentiate, pull, push, transform
from .sky import sky_address, sky_matrix
from .tree import grow

NOBODY = -1
TOLERANCE = 1.5  # footprints by which addresses may differ (exact-motion 1.1)
SLOPES = 2 << 27  # bytes of slopes kept: five frames of 1920 x 1080
FLOWS = 64 << 20  # bytes of flows kept: those between neighbours are asked for again, to be judged and to be used
SEEDS = 4096  # pixels of one object that look-ups may start from, about
ASKED = 256  # of an object's addresses are looked at for others like them
APART = 8  # px
SAME_RANDOM = 2.5e-7  # four float32 steps below 1


class System(IntEnum):
    """The coordinate that tells an object's surface points apart."""

    MATRICES = 0  # object space: only its matrix moves it
    GENERATED = 1
    REST = 2
    UV = 3
    VECTORS = 4  # none is stable: the Vector pass is chained
    UNKNOWN = 5  # nothing tells where its points go


PULLED = (System.GENERATED, System.REST, System.UV)


@dataclass(frozen=True)
class Page:
    """One frame as addresses (see ``kernels``), and the tree of seeds that look-ups start from.

    ``owner`` counts the shot's objects from 0; then come the sky and what is not in the list of objects.
    """

    owner: np.ndarray
    address: np.ndarray
    scale: np.ndarray
    tree: np.ndarray
    axes: np.ndarray
    places: np.ndarray


class AddressBook:
    """Pages of a rendered scene, made when asked for and kept within ``memory``; slopes and flows have own bounds."""

    def __init__(self, scene: SceneGeometry, memory: Budget) -> None:
        self.scene, self.memory = scene, memory
        self.sky = len(scene.objects)
        self.unlisted = self.sky + 1
        self._owners: Cache[int, np.ndarray] = Cache(memory, lambda frame: bind(scene.layer(frame), scene.objects))
        self._pages: Cache[tuple[int, bytes], Page] = Cache(memory, self._make_page)
        self._slopes: Cache[tuple[int, bytes], np.ndarray] = Cache(SLOPES, self._differentiate)
        self._flows: Cache[tuple[int, int, bytes], np.ndarray] = Cache(FLOWS, self._find)

    def owner(self, frame: int) -> np.ndarray:
        """Return whose surface each pixel of ``frame`` shows, see :func:`bind`."""
        return self._owners.get(frame)

    def page(self, frame: int, systems: np.ndarray) -> Page:
        """Return ``frame`` as addresses, each owner's in its system (``systems`` ``(owners,)`` int8)."""
        return self._pages.get((frame, systems.tobytes()))

    def slopes(self, frame: int, systems: np.ndarray) -> np.ndarray:
        """Return the slopes of a page, see :func:`~.kernels.differentiate`: larger than it, and made in less time."""
        return self._slopes.get((frame, systems.tobytes()))

    def _differentiate(self, key: tuple[int, bytes]) -> np.ndarray:
        page = self._pages.get(key)
        return differentiate(page.owner, page.address, page.scale)

    def flow(self, i: int, j: int, systems: np.ndarray) -> np.ndarray:
        """Return where each address of frame ``i`` is in frame ``j``, visible or not.

        ``(H, W, 2)`` float32 pixels, NaN where it is not known: rigid objects and the sky are pushed by their matrices,
        the rest is looked up among the addresses of ``j``.
        """
        return self._flows.get((i, j, systems.tobytes())).copy()

    def _find(self, key: tuple[int, int, bytes]) -> np.ndarray:
        i, j, systems = *key[:2], np.frombuffer(key[2], np.int8)
        source, target = self.page(i, systems), self.page(j, systems)
        flow = push(source.address, source.owner, self._to_clip(j, systems))
        if len(source.places) and len(target.places):
            pull(
                flow, source.owner, source.address, np.isin(systems, PULLED),
                target.owner, target.address, target.scale, self.slopes(j, systems),
                target.tree, target.axes, target.places,
            )  # fmt: skip
        return flow

    def agreement(
        self, i: int, j: int, flow: np.ndarray, systems: np.ndarray, tolerance: float = TOLERANCE
    ) -> tuple[np.ndarray, np.ndarray]:
        """Judge a flow (NaN where unknown) by the addresses at its target, within ``tolerance`` footprints.

        Returns two ``(H, W)`` bool arrays: where pixels around the target show the address sought, and where all do
        that a bilinear sample touches.
        """
        source, target, slopes = self.page(i, systems), self.page(j, systems), self.slopes(j, systems)
        verdict = agree(
            flow, source.owner, source.address, target.owner, target.address, target.scale, slopes, tolerance
        )
        return verdict > 0, verdict == 3

    def _matrices(self, frame: int, systems: np.ndarray) -> np.ndarray:
        """``matrix_world`` of every owner ``(owners, 4, 4)``, NaN where it has none that can be used."""
        matrices = np.full((len(systems), 4, 4), np.nan)
        matrices[: self.sky] = self.scene.matrices[:, frame - self.scene.frames[0]]
        matrices[systems != System.MATRICES] = np.nan
        with np.errstate(invalid="ignore"):
            flat = ~(np.abs(np.linalg.det(matrices[:, :3, :3])) > 1e-30)
        matrices[flat] = np.nan
        return matrices

    def _to_clip(self, frame: int, systems: np.ndarray) -> np.ndarray:
        camera = self.scene.cameras[frame]
        to_clip = camera.clip @ self._matrices(frame, systems)
        to_clip[self.sky] = sky_matrix(camera, self.scene.size)
        return to_clip

    def _make_page(self, key: tuple[int, bytes]) -> Page:
        frame, systems = key[0], np.frombuffer(key[1], np.int8)
        layer, camera = self.scene.layer(frame), self.scene.cameras[frame]
        owner = self.owner(frame)
        matrices = self._matrices(frame, systems)
        inverse = np.full_like(matrices, np.nan)
        usable = np.isfinite(matrices).all((1, 2))
        inverse[usable] = np.linalg.inv(matrices[usable])
        address = transform(layer.position, owner, inverse[:, :3])
        address[layer.sky] = sky_address(camera, self.scene.size)[layer.sky]
        system = np.where(owner >= 0, systems[owner], System.UNKNOWN)
        for kind, values in ((System.GENERATED, layer.generated), (System.REST, layer.rest)):
            address[system == kind] = values[system == kind]
        address[system == System.UV] = np.concatenate([layer.uv, 0 * layer.uv[..., :1]], -1)[system == System.UV]
        address[system == System.VECTORS] = 0
        owner = np.where(np.isfinite(address @ np.ones(3, np.float32)), owner, NOBODY).astype(np.int32)
        scale = 1 / np.maximum(layer.depth, 1e-6) if camera.kind == "PERSP" else np.ones_like(layer.depth)
        scale[layer.sky] = 1
        return Page(owner, address, scale.astype(np.float32), *grow_seeds(owner, address, np.isin(system, PULLED)))


def grow_seeds(owner: np.ndarray, address: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Grow the tree that look-ups start from, over about ``SEEDS`` pixels of each object that is ``wanted`` ``(H, W)``.

    Returns the tree ``(N, 4)`` float64 of (address, owner * SPREAD), its axes, and where its pixels are ``(N, 2)``.
    """
    y, x = np.nonzero(wanted & (owner >= 0))
    owners = owner[y, x]
    step = np.clip(np.sqrt(np.bincount(owners, minlength=1) / SEEDS).astype(np.int64), 1, 8)[owners]
    kept = (x % step == 0) & (y % step == 0)
    y, x, owners = y[kept], x[kept], owners[kept]
    keys = np.concatenate([address[y, x].astype(np.float64), owners[:, None] * SPREAD], -1)
    order, axes = grow(keys)
    return keys[order], axes, np.stack([x, y], -1)[order]


def repeats(page: Page, slopes: np.ndarray, number: int) -> tuple[int, int]:
    """Count how many of an owner's addresses were looked at, and how many of them occur elsewhere in the frame too.

    ``slopes`` are the page's, see :func:`~.kernels.differentiate`.

    Elsewhere is ``APART`` pixels away or more; the same is nearer than the smaller side of a pixel in address space.
    """
    own = np.flatnonzero(np.abs(page.tree[:, 3] - number * SPREAD) < 0.5)
    asked = own[:: max(1, len(own) // ASKED)]
    x, y = page.places[asked].T
    sides = (slopes[y, x].reshape(-1, 2, 3).astype(np.float64) ** 2).sum(-1) / page.scale[y, x, None] ** 2
    distance = ((page.tree[asked, None, :3] - page.tree[own, :3]) ** 2).sum(-1)
    apart = np.abs(page.places[asked, None] - page.places[own]).max(-1) >= APART
    return len(asked), int(((distance <= sides.min(-1)[:, None]) & apart).any(-1).sum())


def bind(layer: DataLayer, objects: Sequence[SceneObject]) -> np.ndarray:
    """Return whose surface each pixel shows, ``(H, W)`` int32.

    The place in ``objects``; ``len(objects)`` on the sky; one more where the object is not in the list; ``NOBODY``
    where several layers mix. An object is told by its Random; where that is not in the list, or the file has none, by
    its pass index if a single object has it.
    """
    listed: dict[int, list[int]] = defaultdict(list)
    for number, entry in enumerate(objects):
        listed[entry.index].append(number)
    randoms = np.array([entry.random for entry in objects], np.float32)
    owner = np.full(layer.index.shape, NOBODY, np.int32)
    owner[layer.sky] = len(objects)
    code = layer.index[layer.surface].astype(np.int64) << 32 | layer.random[layer.surface].view(np.uint32)
    runs = np.flatnonzero(np.diff(code, prepend=~code[:1]))  # far fewer than pixels
    codes, place = np.unique(code[runs], return_inverse=True)
    numbers = np.full(len(codes), len(objects) + 1, np.int32)
    for k, index in enumerate(codes >> 32):
        candidates = listed[int(index)]
        offsets = np.abs(randoms[candidates] - (codes[k : k + 1] & 0xFFFFFFFF).astype(np.uint32).view(np.float32))
        if layer.addressed and len(candidates) and offsets.min() <= SAME_RANDOM:
            numbers[k] = candidates[int(offsets.argmin())]
        elif len(candidates) == 1 and (not layer.addressed or not objects[candidates[0]].instance):
            numbers[k] = candidates[0]
    owner[layer.surface] = np.repeat(numbers[place], np.diff(runs, append=len(code)))
    return owner
