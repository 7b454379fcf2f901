"""Captures a shot and ray-casts its truth, in Blender's Python: ``bench_truth.py FOLDER [key=value ...]``.

Writes ``FOLDER/shot`` by Tempera's own capture, and ``FOLDER/truth.npz``, which follows each pixel's triangle into
other frames by its barycentric coordinates and knows nothing of any render pass (``backend.measure.ray_truth`` reads
both). For the options see ``probe_scene.build``; ``lag`` adds pairs of frames that far apart. A truth that is there
already is kept.
"""

from __future__ import annotations

import importlib
import os
import sys
import types
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree
from probe_scene import build

ROOT = Path(__file__).resolve().parents[1]
SKY, VISIBLE, HIDDEN, OUTSIDE, UNKNOWN = range(5)


class Geometry:
    """One frame's triangles in world space, with the rays of its camera."""

    def __init__(self, frame: int) -> None:
        scene = bpy.context.scene
        scene.frame_set(frame)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        camera = scene.camera.evaluated_get(depsgraph)
        self.camera = scene.camera.name
        self.size = scene.render.resolution_x, scene.render.resolution_y
        # float64: what mathutils hands to numpy is float32
        projection = np.array(camera.calc_matrix_camera(depsgraph, x=self.size[0], y=self.size[1]), np.float64)
        self.clip = projection @ np.linalg.inv(np.array(camera.matrix_world, np.float64))
        self.spans: dict[tuple[str, float], slice] = {}
        corners, owners = [np.empty((0, 3, 3))], [np.empty(0, np.int64)]
        for item in depsgraph.object_instances:
            if item.object.type == "MESH" and item.show_self:
                # An instance is told by its Random, which both this and the shot know it by.
                random = float(np.float32(item.random_id & 0xFFFFFFFF) * np.float32(1 / 0xFFFFFFFF))
                triangles = world_triangles(item.object.data, np.array(item.matrix_world, np.float64))
                first = sum(map(len, corners))
                owners.append(np.full(len(triangles), len(self.spans)))
                self.spans[item.object.name, random if item.is_instance else 0.0] = slice(first, first + len(triangles))
                corners.append(triangles)
        self.corners, self.owners = np.concatenate(corners), np.concatenate(owners)
        flat = self.corners.reshape(-1, 3)
        faces = np.arange(len(flat)).reshape(-1, 3)
        self.tree = BVHTree.FromPolygons(flat.tolist(), faces.tolist(), all_triangles=True)

    def rays(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return world origins on the near plane and unit directions through image positions ``(N, 2)``."""
        ndc = (xy + 0.5) / self.size * 2 - 1
        ends = []
        for depth in (-1.0, 0.0):
            point = np.stack([ndc[:, 0], -ndc[:, 1], np.full(len(xy), depth), np.ones(len(xy))], -1)
            point = point @ np.linalg.inv(self.clip).T
            ends.append(point[:, :3] / point[:, 3:])
        direction = ends[1] - ends[0]
        return ends[0], direction / np.linalg.norm(direction, axis=-1, keepdims=True)

    def project(self, points: np.ndarray, w: float = 1.0) -> np.ndarray:
        """Return the image positions ``(N, 2)`` of points, or of directions where ``w`` is 0; NaN behind the camera."""
        clip = np.concatenate([points, np.full((len(points), 1), w)], -1) @ self.clip.T
        xy = clip[:, :2] / clip[:, 3:]
        seen = np.stack([xy[:, 0] + 1, 1 - xy[:, 1]], -1) / 2 * self.size - 0.5
        return np.where(clip[:, 3:] > 0, seen, np.nan)

    def cast(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the triangle hit (-1: none) and the distance to it, at image positions ``(N, 2)``."""
        origins, directions = self.rays(xy)
        triangle, distance = np.full(len(xy), -1), np.full(len(xy), np.inf)
        for k in np.flatnonzero(np.isfinite(xy).all(-1)):
            _, _, index, length = self.tree.ray_cast(Vector(origins[k]), Vector(directions[k]))
            if index is not None:
                triangle[k], distance[k] = index, length
        return triangle, distance

    def barycentrics(self, triangle: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the hits' barycentric coordinates (Moeller and Trumbore 1997), and the cosine of face and ray."""
        origin, direction = self.rays(xy)
        a, b, c = np.moveaxis(self.corners[triangle], 1, 0)
        ab, ac, ao = b - a, c - a, origin - a
        side, normal = np.cross(direction, ac), np.cross(ab, ac)
        determinant = np.sum(ab * side, -1)
        u = np.sum(ao * side, -1) / determinant
        v = np.sum(direction * np.cross(ao, ab), -1) / determinant
        cosine = np.abs(np.sum(normal * direction, -1)) / np.linalg.norm(normal, axis=-1)
        return np.stack([1 - u - v, u, v], -1), cosine


def world_triangles(mesh: bpy.types.Mesh, matrix: np.ndarray) -> np.ndarray:
    """Return the mesh's triangles in world space ``(N, 3, 3)``."""
    mesh.calc_loop_triangles()
    points = np.empty(len(mesh.vertices) * 3)
    mesh.vertices.foreach_get("co", points)
    triangles = np.empty(len(mesh.loop_triangles) * 3, np.int64)
    mesh.loop_triangles.foreach_get("vertices", triangles)
    return (points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])[triangles.reshape(-1, 3)]


def same_triangles(source: Geometry, target: Geometry) -> np.ndarray:
    """Return ``source``'s triangles in ``target``: -1 where its object is absent, -2 if its size is another."""
    found = np.full(len(source.corners), -1)
    for key, span in source.spans.items():
        there = target.spans.get(key)
        if there is not None:
            alike = there.stop - there.start == span.stop - span.start
            found[span] = np.arange(there.start, there.stop) if alike else -2
    return found


def truth_of_pair(source: Geometry, target: Geometry, xy: np.ndarray, hit: np.ndarray) -> tuple[np.ndarray, ...]:
    """Follow each pixel ``xy`` ``(N, 2)`` of ``source``, which shows triangle ``hit``, into ``target``.

    Returns the flow ``(N, 2)``, what became of it ``(N,)``, and the cosine at which it is seen there ``(N,)``.
    """
    there = np.where(hit >= 0, same_triangles(source, target)[hit], -1)
    on = there >= 0
    bary, _ = source.barycentrics(hit[on], xy[on])
    points = np.einsum("nk,nkc->nc", bary, target.corners[there[on]])
    seen, cosine = np.full(xy.shape, np.nan), np.ones(len(xy))
    seen[on] = target.project(points)
    sky = hit < 0
    seen[sky] = target.project(source.rays(xy[sky])[1], w=0.0)
    inside = (np.abs(seen - (np.array(target.size) - 1) / 2) <= np.array(target.size) / 2).all(-1)
    first, distance = target.cast(seen)
    reach = np.full(len(xy), np.inf)
    reach[on] = np.linalg.norm(points - target.rays(seen[on])[0], axis=-1)
    clear = np.where(sky, first < 0, (first == there) | (distance > reach * (1 - 1e-4)))
    state = np.where(inside, np.where(clear, VISIBLE, HIDDEN), OUTSIDE)
    state[(hit >= 0) & (there == -1)], state[there == -2] = HIDDEN, UNKNOWN
    ok = on & np.isfinite(seen).all(-1)
    cosine[ok] = target.barycentrics(there[ok], seen[ok])[1]
    return seen - xy, state, cosine


def write_truth(path: Path, frames: list[int], lag: int) -> None:
    """Ray-cast every pixel centre once and follow its surface point into other frames of the same camera.

    Those are the neighbours, the first and the last frame, and frames ``lag`` away.
    """
    geometries = {frame: Geometry(frame) for frame in frames}
    width, height = geometries[frames[0]].size
    xy = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).reshape(-1, 2).astype(np.float64)
    result: dict[str, np.ndarray] = {}
    for i, source in geometries.items():
        hit, _ = source.cast(xy)
        result[f"owner_{i}"] = np.where(hit >= 0, source.owners[hit], -1).reshape(height, width)
        result[f"names_{i}"] = np.array([f"{name}|{random!r}" for name, random in source.spans])
        result[f"cosine_{i}"] = source.barycentrics(hit, xy)[1].reshape(height, width)
        for j, target in geometries.items():
            wanted = abs(i - j) in (1, lag) or {i, j} & {frames[0], frames[-1]}
            if i != j and wanted and source.camera == target.camera:
                flow, state, cosine = truth_of_pair(source, target, xy, hit)
                result[f"flow_{i}_{j}"] = flow.reshape(height, width, 2).astype(np.float32)
                result[f"state_{i}_{j}"] = state.reshape(height, width).astype(np.int8)
                result[f"cosine_{i}_{j}"] = cosine.reshape(height, width).astype(np.float32)
    np.savez_compressed(path, **result)  # type: ignore[arg-type]  # numpy takes its own flag by keyword too


def main(folder: Path, options: dict[str, str]) -> None:
    """Build, capture with Tempera's own capture, and write the truth."""
    build(options)
    package = types.ModuleType("tempera")  # the extension's modules, without registering it
    package.__path__ = [str(ROOT)]
    sys.modules["tempera"] = package
    scene = bpy.context.scene
    importlib.import_module("tempera.operators.capture").capture_scene(scene, folder / "shot").wait()
    write_truth(folder / "truth.npz", list(range(scene.frame_start, scene.frame_end + 1)), int(options.get("lag", 0)))


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not (target / "truth.npz").is_file():
        main(target, dict(item.split("=") for item in sys.argv[2:]))
    sys.stdout.flush()
    os._exit(0)  # Blender's own way out can hang
