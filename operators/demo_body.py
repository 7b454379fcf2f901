"""A body grown from limbs: one table of rounded cones gives the surface, its colours and its skin weights.

The surface is the zero set of the limbs' smooth minimum; a limb's share in that minimum is its weight at a point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from .demo_kit import Colour, Point

CELL = 0.035  # metres: edge of a cell of the sampled distance field
BLEND = 0.018  # metres: width of the smooth minimum of the surface
SKIN = 0.035  # metres: width of the smooth minimum of the weights
TINT = 0.004  # metres: width of the border between two colours
BONES_PER_POINT = 4


@dataclass(frozen=True)
class Limb:
    """A rounded cone from ``a`` (radius ``ra``) to ``b`` (radius ``rb``), carried by ``bone``; metres."""

    bone: str
    paint: Colour
    a: Point
    b: Point
    ra: float
    rb: float

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Return the signed distance (n,) of points (n, 3), negative inside; exact for equal radii, close otherwise."""
        start, axis = np.array(self.a), np.array(self.b) - np.array(self.a)
        along = np.clip((points - start) @ axis / float(axis @ axis), 0, 1)
        return np.linalg.norm(points - start - along[:, None] * axis, axis=1) - (self.ra + (self.rb - self.ra) * along)

    def mirrored(self) -> Limb:
        """Return the limb of the other side: x negated, bone ".L" to ".R"."""
        flip = (-self.a[0], *self.a[1:]), (-self.b[0], *self.b[1:])
        return Limb(self.bone.replace(".L", ".R"), self.paint, *flip, self.ra, self.rb)


def distances(limbs: Sequence[Limb], points: np.ndarray) -> np.ndarray:
    """Return the signed distance (limbs, n) of every limb to points (n, 3)."""
    return np.stack([limb.distance(points) for limb in limbs])


def shares(distance: np.ndarray, width: float) -> np.ndarray:
    """Return each limb's share (limbs, n) in the smooth minimum of ``width``: the softmax of the negative distances."""
    weight = np.exp(-(distance - distance.min(0)) / width)
    return weight / weight.sum(0)


def union(limbs: Sequence[Limb], points: np.ndarray) -> np.ndarray:
    """Return the signed distance (n,) of the smooth union: the exponential soft minimum of width ``BLEND``."""
    distance = distances(limbs, points)
    least = distance.min(0)
    return least - BLEND * np.log(np.exp(-(distance - least) / BLEND).sum(0))


def surface_net(
    inside: Callable[[np.ndarray], np.ndarray], low: Point, high: Point
) -> tuple[np.ndarray, np.ndarray]:
    """Return vertices (v, 3) and outward quads (q, 4) of the zero set of a distance function in a box.

    Naive surface nets (Gibson 1998): one vertex in each cell that the surface crosses, at the mean of the crossings of
    the cell's edges; then one Newton step onto the surface. ``inside`` maps points (n, 3) to signed distances (n,).
    """
    axes = [np.arange(lo, hi, CELL) for lo, hi in zip(low, high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    value = inside(grid.reshape(-1, 3)).reshape(grid.shape[:3])
    cells = np.subtract(value.shape, 1)
    total, count = np.zeros((*cells, 3)), np.zeros(cells)
    for start, end in cell_edges():
        here, there = (tuple(slice(o, o + n) for o, n in zip(corner, cells, strict=True)) for corner in (start, end))
        crossed = (value[here] < 0) != (value[there] < 0)
        share = np.where(crossed, value[here] / np.where(crossed, value[here] - value[there], 1), 0)[..., None]
        total += crossed[..., None] * (grid[here] * (1 - share) + grid[there] * share)
        count += crossed
    active = count > 0
    number = np.full(cells, -1)
    number[active] = np.arange(active.sum())
    return onto_surface(inside, total[active] / count[active][:, None]), net_quads(value < 0, number)


def cell_edges() -> list[tuple[Point, Point]]:
    """Return the twelve edges of the unit cell as pairs of corners."""
    corners = list(np.ndindex(2, 2, 2))
    return [(a, b) for a in corners for b in corners if a < b and np.abs(np.subtract(a, b)).sum() == 1]


def net_quads(solid: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Return quads (q, 4) of vertices (``number``): the four cells around each grid edge that crosses the surface."""
    quads = []
    for axis in range(3):
        order = (axis, (axis + 1) % 3, (axis + 2) % 3)
        filled, cell = solid.transpose(order), number.transpose(order)
        here, there = filled[:-1, 1:-1, 1:-1], filled[1:, 1:-1, 1:-1]
        around = np.stack([cell[:, :-1, :-1], cell[:, 1:, :-1], cell[:, 1:, 1:], cell[:, :-1, 1:]], -1)
        quads += [around[here & ~there], around[~here & there][:, ::-1]]
    return np.concatenate(quads)


def onto_surface(inside: Callable[[np.ndarray], np.ndarray], points: np.ndarray, reach: float = 1e-3) -> np.ndarray:
    """Return points (n, 3) moved towards the zero set by one Newton step along the gradient (central differences)."""
    steps = reach * np.eye(3)
    gradient = np.stack([(inside(points + s) - inside(points - s)) / (2 * reach) for s in steps], 1)
    return points - inside(points)[:, None] * gradient / (gradient**2).sum(1, keepdims=True)


def body_mesh(name: str, limbs: Sequence[Limb]) -> bpy.types.Mesh:
    """Make the limbs' union one smooth mesh with the attributes "Colour" and "rest" on its points."""
    ends = np.array([(limb.a, limb.b) for limb in limbs]).reshape(-1, 3)
    margin = max(max(limb.ra, limb.rb) for limb in limbs) + 3 * CELL
    points, quads = surface_net(lambda p: union(limbs, p), tuple(ends.min(0) - margin), tuple(ends.max(0) + margin))
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(points.tolist(), [], quads.tolist())
    mesh.polygons.foreach_set("use_smooth", [True] * len(quads))
    paint = shares(distances(limbs, points), TINT).T @ np.array([limb.paint for limb in limbs])
    mesh.attributes.new("Colour", "FLOAT_COLOR", "POINT").data.foreach_set("color", paint.astype(np.float32).ravel())
    mesh.attributes.new("rest", "FLOAT_VECTOR", "POINT").data.foreach_set("vector", points.astype(np.float32).ravel())
    return mesh


def limb_weights(limbs: Sequence[Limb], points: np.ndarray) -> dict[str, np.ndarray]:
    """Return skin weights (n,) for each bone at points (n, 3): the strongest four at a point, adding up to one."""
    share = shares(distances(limbs, points), SKIN)
    bones = list(dict.fromkeys(limb.bone for limb in limbs))
    weight = np.stack([share[[limb.bone == bone for limb in limbs]].sum(0) for bone in bones])
    weight[weight < np.sort(weight, 0)[-BONES_PER_POINT]] = 0
    return dict(zip(bones, weight / weight.sum(0), strict=True))


def skin(obj: bpy.types.Object, armature: bpy.types.Object, weights: Mapping[str, np.ndarray]) -> None:
    """Bind a mesh object to ``armature``: one vertex group a bone with its weights (n,), and the modifier."""
    for bone, weight in weights.items():
        group = obj.vertex_groups.new(name=bone)
        for index in np.flatnonzero(weight > 1e-3):
            group.add([int(index)], float(weight[index]), "REPLACE")
    obj.parent = armature
    obj.modifiers.new("Armature", "ARMATURE").object = armature
