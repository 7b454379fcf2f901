"""Captures a probe shot and ray-casts its truth, in Blender's Python: ``probe_scene.py FOLDER [key=value ...]``.

The scene holds what motion must get right: a camera that moves and turns, a sky, a rotating cube, a sphere that
vanishes behind it and returns, a grid deformed by a shape key, two instances of a collection, an array and a Geometry
Nodes deformation. ``scene=hard`` is about Blender's known defects instead: a mesh whose vertex count changes, an object
that is hidden in one frame, an animated lens or orthographic scale, a cut. ``truth.npz`` follows each pixel's triangle
into other frames by its barycentric coordinates, and knows nothing of any render pass.
"""

from __future__ import annotations

import importlib
import math
import os
import sys
import types
from pathlib import Path

import bpy
import numpy as np
from mathutils import Vector
from mathutils.bvhtree import BVHTree

ROOT = Path(__file__).resolve().parents[2]
SKY, VISIBLE, HIDDEN, OUTSIDE, UNKNOWN = range(5)


def keyed(target, path: str, values: dict[int, object], index: int = -1) -> None:
    """Keyframes ``target.path`` at the given frames."""
    for frame, value in values.items():
        if index < 0:
            setattr(target, path, value)
        else:
            getattr(target, path)[index] = value
        target.keyframe_insert(path, index=index, frame=frame)


def mesh_object(name: str, primitive, collection=None, **kwargs) -> bpy.types.Object:
    """Adds a triangulated primitive, so that Cycles and the truth below cut every face along the same diagonal."""
    primitive(**kwargs)
    obj = bpy.context.object
    obj.name = name
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.quads_convert_to_tris()
    bpy.ops.object.mode_set(mode="OBJECT")
    if collection is not None:
        bpy.context.scene.collection.objects.unlink(obj)
        collection.objects.link(obj)
    return obj


def texture_material() -> bpy.types.Material:
    """A busy texture in Generated coordinates, emitted so that the beauty frames carry no sampling noise."""
    material = bpy.data.materials.new("Texture")
    material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    nodes, links = material.node_tree.nodes, material.node_tree.links
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 9
    links.new(nodes.new("ShaderNodeTexCoord").outputs["Generated"], noise.inputs["Vector"])
    nodes["Principled BSDF"].inputs["Base Color"].default_value = (0, 0, 0, 1)
    nodes["Principled BSDF"].inputs["Emission Strength"].default_value = 1
    links.new(noise.outputs["Color"], nodes["Principled BSDF"].inputs["Emission Color"])
    return material


def wave_nodes(obj) -> None:
    """A Geometry Nodes modifier that moves every point with time (Set Position)."""
    group = bpy.data.node_groups.new("Wave", "GeometryNodeTree")
    group.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
    group.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
    nodes, links = group.nodes, group.links
    set_position = nodes.new("GeometryNodeSetPosition")
    kinds = ("ShaderNodeTexNoise", "GeometryNodeInputSceneTime", "ShaderNodeVectorMath")
    wave, time, scale = (nodes.new(kind) for kind in kinds)
    wave.noise_dimensions = "4D"
    wave.inputs["Scale"].default_value = 0.8
    scale.operation = "SCALE"
    scale.inputs["Scale"].default_value = 0.7
    links.new(nodes.new("NodeGroupInput").outputs[0], set_position.inputs["Geometry"])
    links.new(time.outputs["Seconds"], wave.inputs["W"])
    links.new(wave.outputs["Color"], scale.inputs[0])
    links.new(scale.outputs[0], set_position.inputs["Offset"])
    links.new(set_position.outputs["Geometry"], nodes.new("NodeGroupOutput").inputs[0])
    obj.modifiers.new("Wave", "NODES").node_group = group


def build_deforming() -> None:
    """A grid bent by a shape key, an array that is bent as a whole, and a Geometry Nodes wave."""
    ops = bpy.ops.mesh
    grid = mesh_object("Cloth", ops.primitive_grid_add, x_subdivisions=24, y_subdivisions=24, size=3,
                       location=(-3.7, 1.2, 1.6), rotation=(1.1, 0, 0.3))
    grid.shape_key_add(name="Basis")
    bend = grid.shape_key_add(name="Bend")
    for point in bend.data:
        x, y, z = point.co
        point.co = (x + 0.15 * math.sin(2 * y), y, z + 0.5 * math.sin(2.2 * x) * math.cos(1.3 * y))
    keyed(bend, "value", {1: 0.0, 8: 1.0})
    array = mesh_object("Array", ops.primitive_uv_sphere_add, segments=14, ring_count=8, radius=0.35,
                        location=(-1.4, -2.4, 0.4))
    modifier = array.modifiers.new("Array", "ARRAY")
    modifier.count, modifier.relative_offset_displace = 3, (1.15, 0, 0)
    wave = array.modifiers.new("Bend", "SIMPLE_DEFORM")
    wave.deform_method = "BEND"
    wave.deform_axis = "Z"
    keyed(wave, "angle", {1: 0.0, 8: 0.7})
    wave_nodes(mesh_object("Nodes", ops.primitive_ico_sphere_add, subdivisions=3, radius=0.8, location=(3.3, 2.2, 1.0)))


def build_rigid() -> None:
    """Ground, cube, the sphere behind it, two instances of one collection."""
    ops = bpy.ops.mesh
    mesh_object("Ground", ops.primitive_grid_add, x_subdivisions=10, y_subdivisions=10, size=16)
    cube = mesh_object("Cube", ops.primitive_cube_add, size=1.4, location=(0, 0, 1))
    keyed(cube, "location", {1: (-0.2, 0, 1.1), 8: (0.5, -0.3, 1.0)})
    keyed(cube, "rotation_euler", {1: (0, 0, 0.2), 8: (0.1, 0.3, 0.8)})
    sphere = mesh_object("Sphere", ops.primitive_uv_sphere_add, segments=48, ring_count=24, radius=0.6)
    keyed(sphere, "location", {1: (-1.7, 2.4, 0.85), 8: (2.2, 2.4, 0.85)})
    prop = bpy.data.collections.new("Prop")
    mesh_object("Cone", ops.primitive_cone_add, prop, vertices=24, radius1=0.45, depth=1.0)
    for k, x in enumerate((1.7, 2.6)):
        empty = bpy.data.objects.new(f"Instance{k}", None)
        empty.instance_type, empty.instance_collection = "COLLECTION", prop
        bpy.context.scene.collection.objects.link(empty)
        keyed(empty, "location", {1: (x, -1.4 + k, 0.5), 8: (x - 0.3, -1.8 + k, 0.6)})
        keyed(empty, "rotation_euler", {1: (0, 0, 0), 8: (0.2 * k, 0.3, 1.0 - k)})


def build_camera(options: dict[str, str], x: float = 0.2) -> bpy.types.Object:
    """A camera that moves and turns."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(camera)
    camera.data.type = options.get("camera", "PERSP")
    camera.data.ortho_scale, camera.data.shift_x = 9, 0.04
    keyed(camera, "location", {1: (x, -8.5, 2.6), 8: (x + 1, -8.0, 2.9)})
    keyed(camera, "rotation_euler", {1: (1.38, 0, 0), 8: (1.36, 0.02, 0.14)})
    if options.get("lens") == "animated":
        keyed(camera.data, "lens", {1: 40.0, 8: 52.0})
        keyed(camera.data, "shift_y", {1: 0.0, 8: 0.1})
        keyed(camera.data, "ortho_scale", {1: 8.0, 8: 10.0})
    return camera


def build_sky() -> None:
    """A noise sky."""
    world = bpy.data.worlds.new("Sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.cycles.sampling_method = "NONE"  # its map would take seconds a frame
    noise = world.node_tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 12
    world.node_tree.links.new(noise.outputs["Color"], world.node_tree.nodes["Background"].inputs["Color"])


def build_hard() -> None:
    """A turning cube, one that hides in frame 3, and a mesh that deforms while its vertex count changes."""
    ops = bpy.ops.mesh
    mesh_object("Ground", ops.primitive_grid_add, x_subdivisions=10, y_subdivisions=10, size=16)
    cube = mesh_object("Cube", ops.primitive_cube_add, size=1.6, location=(0, 0, 1))
    keyed(cube, "rotation_euler", {1: (0, 0, 0.2), 8: (0.1, 0.3, 1.2)})
    blinking = mesh_object("Blinking", ops.primitive_cube_add, size=1.4, location=(2.4, 0, 1))
    keyed(blinking, "location", {1: (2.4, 0, 1), 8: (2.8, -1.0, 1)})
    for switch in ("hide_render", "hide_viewport"):
        keyed(blinking, switch, {1: False, 3: True, 4: False})
    changing = mesh_object("Changing", ops.primitive_grid_add, x_subdivisions=12, y_subdivisions=12, size=2,
                           location=(-2.4, 0, 1.3), rotation=(1.2, 0, 0.2))
    bend = changing.modifiers.new("Bend", "SIMPLE_DEFORM")
    bend.deform_method, bend.deform_axis = "BEND", "Z"
    keyed(bend, "angle", {1: 0.0, 8: 2.4})
    levels = changing.modifiers.new("Levels", "SUBSURF")
    levels.subdivision_type = "SIMPLE"
    keyed(levels, "render_levels", {1: 0, 2: 1, 3: 2, 4: 0, 5: 1, 6: 2, 7: 0, 8: 1})
    keyed(levels, "levels", {1: 0, 2: 1, 3: 2, 4: 0, 5: 1, 6: 2, 7: 0, 8: 1})


def build(options: dict[str, str]) -> None:
    """Builds the scene in an empty file, every curve linear."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.edit.keyframe_new_interpolation_type = "LINEAR"
    scene = bpy.context.scene
    if options.get("scene") == "hard":
        build_hard()
    elif options.get("scene") == "inside":
        mesh_object("Room", bpy.ops.mesh.primitive_cube_add, size=20)
    else:
        build_rigid()
        build_deforming()
    scene.camera = build_camera(options)
    build_sky()
    if "cut" in options:
        for frame, camera in ((1, scene.camera), (int(options["cut"]), build_camera(options, x=2.0))):
            scene.timeline_markers.new(camera.name, frame=frame).camera = camera
    material = texture_material()
    for obj in bpy.data.objects:
        if obj.type == "MESH":
            obj.data.materials.append(material)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 4, False
    scene.render.resolution_x, scene.render.resolution_y = map(int, options.get("size", "192x108").split("x"))
    scene.frame_start, scene.frame_end = 1, int(options.get("frames", 8))


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
        """World origins on the near plane and unit directions through image positions ``(N, 2)``."""
        ndc = (xy + 0.5) / self.size * 2 - 1
        ends = []
        for depth in (-1.0, 0.0):
            point = np.stack([ndc[:, 0], -ndc[:, 1], np.full(len(xy), depth), np.ones(len(xy))], -1)
            point = point @ np.linalg.inv(self.clip).T
            ends.append(point[:, :3] / point[:, 3:])
        direction = ends[1] - ends[0]
        return ends[0], direction / np.linalg.norm(direction, axis=-1, keepdims=True)

    def project(self, points: np.ndarray, w: float = 1.0) -> np.ndarray:
        """Image positions ``(N, 2)`` of points, or of directions where ``w`` is 0; NaN behind the camera."""
        clip = np.concatenate([points, np.full((len(points), 1), w)], -1) @ self.clip.T
        xy = clip[:, :2] / clip[:, 3:]
        seen = np.stack([xy[:, 0] + 1, 1 - xy[:, 1]], -1) / 2 * self.size - 0.5
        return np.where(clip[:, 3:] > 0, seen, np.nan)

    def cast(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The triangle hit (-1: none) and the distance to it, at image positions ``(N, 2)``."""
        origins, directions = self.rays(xy)
        triangle, distance = np.full(len(xy), -1), np.full(len(xy), np.inf)
        for k in np.flatnonzero(np.isfinite(xy).all(-1)):
            _, _, index, length = self.tree.ray_cast(Vector(origins[k]), Vector(directions[k]))
            if index is not None:
                triangle[k], distance[k] = index, length
        return triangle, distance

    def barycentrics(self, triangle: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Barycentric coordinates of the rays' hits (Moeller and Trumbore 1997), and the cosine of face and ray."""
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
    """The mesh's triangles in world space ``(N, 3, 3)``."""
    mesh.calc_loop_triangles()
    points = np.empty(len(mesh.vertices) * 3)
    mesh.vertices.foreach_get("co", points)
    triangles = np.empty(len(mesh.loop_triangles) * 3, np.int64)
    mesh.loop_triangles.foreach_get("vertices", triangles)
    return (points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3])[triangles.reshape(-1, 3)]


def same_triangles(source: Geometry, target: Geometry) -> np.ndarray:
    """Each triangle of ``source`` in ``target``: -1 where its object is absent, -2 where the mesh has another size."""
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


def write_truth(path: Path, frames: list[int]) -> None:
    """Ray-cast every pixel centre once and follow its surface point into every other frame of the same camera."""
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
            wanted = abs(i - j) == 1 or {i, j} & {frames[0], frames[-1]}
            if i != j and wanted and source.camera == target.camera:
                flow, state, cosine = truth_of_pair(source, target, xy, hit)
                result[f"flow_{i}_{j}"] = flow.reshape(height, width, 2)
                result[f"state_{i}_{j}"] = state.reshape(height, width)
                result[f"cosine_{i}_{j}"] = cosine.reshape(height, width)
    np.savez_compressed(path, **result)


def main() -> None:
    """Build, capture with Tempera's own capture, and write the truth."""
    folder = Path(sys.argv[1])
    options = dict(item.split("=") for item in sys.argv[2:])
    build(options)
    package = types.ModuleType("tempera")  # the extension's modules, without registering it
    package.__path__ = [str(ROOT)]
    sys.modules["tempera"] = package
    scene = bpy.context.scene
    importlib.import_module("tempera.operators.capture").capture_scene(scene, folder / "shot").wait()
    write_truth(folder / "truth.npz", list(range(scene.frame_start, scene.frame_end + 1)))
    sys.stdout.flush()
    os._exit(0)  # Blender's own way out can hang


main()
