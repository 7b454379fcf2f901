"""The scene whose motion is held against ray casting: what exact motion must get right, and what Blender gets wrong.

A camera that moves and turns, a sky, a rotating cube, a sphere that vanishes behind it and returns, a grid deformed by
a shape key, two instances of a collection, an array and a Geometry Nodes deformation. ``scene=hard`` is about Blender's
known defects instead: a mesh whose vertex count changes, an object that is hidden in one frame, an animated lens or
orthographic scale, a cut. ``scene=inside`` is the inside of a box.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import bpy

END = "tempera_probe_end"  # property of the scene: the frame at which all movement ends


def keyed(target: bpy.types.bpy_struct, path: str, values: Mapping[int, Any]) -> None:
    """Keyframe ``target.path`` at the given frames."""
    for frame, value in values.items():
        setattr(target, path, value)
        target.keyframe_insert(path, frame=frame)


def moved(target: bpy.types.bpy_struct, path: str, first: Any, last: Any) -> None:
    """Keyframe ``target.path`` to go from ``first`` in frame 1 to ``last`` in the frame where all movement ends."""
    keyed(target, path, {1: first, bpy.context.scene[END]: last})


def mesh_object(
    name: str, primitive: Callable, collection: bpy.types.Collection | None = None, **options: Any
) -> bpy.types.Object:
    """Add a triangulated primitive, so that Cycles and the truth cut every face along the same diagonal."""
    primitive(**options)
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


def texture_material(alpha: float = 1.0) -> bpy.types.Material:
    """Return a busy texture in Generated coordinates, emitted so that the beauty frames carry no sampling noise."""
    material = bpy.data.materials.new("Texture")
    material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    nodes, links = material.node_tree.nodes, material.node_tree.links
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 9
    links.new(nodes.new("ShaderNodeTexCoord").outputs["Generated"], noise.inputs["Vector"])
    nodes["Principled BSDF"].inputs["Base Color"].default_value = (0, 0, 0, 1)
    nodes["Principled BSDF"].inputs["Emission Strength"].default_value = 1
    nodes["Principled BSDF"].inputs["Alpha"].default_value = alpha
    links.new(noise.outputs["Color"], nodes["Principled BSDF"].inputs["Emission Color"])
    return material


def wave_nodes(obj: bpy.types.Object) -> None:
    """Add a Geometry Nodes modifier that moves every point with time (Set Position)."""
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
    """Build a grid bent by a shape key, an array that is bent as a whole, and a Geometry Nodes wave."""
    ops = bpy.ops.mesh
    grid = mesh_object("Cloth", ops.primitive_grid_add, x_subdivisions=24, y_subdivisions=24, size=3,
                       location=(-3.7, 1.2, 1.6), rotation=(1.1, 0, 0.3))
    grid.shape_key_add(name="Basis")
    bend = grid.shape_key_add(name="Bend")
    for point in bend.data:
        x, y, z = point.co
        point.co = (x + 0.15 * math.sin(2 * y), y, z + 0.5 * math.sin(2.2 * x) * math.cos(1.3 * y))
    moved(bend, "value", 0.0, 1.0)
    array = mesh_object("Array", ops.primitive_uv_sphere_add, segments=14, ring_count=8, radius=0.35,
                        location=(-1.4, -2.4, 0.4))
    modifier = array.modifiers.new("Array", "ARRAY")
    modifier.count, modifier.relative_offset_displace = 3, (1.15, 0, 0)
    wave = array.modifiers.new("Bend", "SIMPLE_DEFORM")
    wave.deform_method = "BEND"
    wave.deform_axis = "Z"
    moved(wave, "angle", 0.0, 0.7)
    wave_nodes(mesh_object("Nodes", ops.primitive_ico_sphere_add, subdivisions=3, radius=0.8, location=(3.3, 2.2, 1.0)))


def build_rigid() -> None:
    """Build ground, cube, the sphere behind it, two instances of one collection."""
    ops = bpy.ops.mesh
    mesh_object("Ground", ops.primitive_grid_add, x_subdivisions=10, y_subdivisions=10, size=16)
    cube = mesh_object("Cube", ops.primitive_cube_add, size=1.4, location=(0, 0, 1))
    moved(cube, "location", (-0.2, 0, 1.1), (0.5, -0.3, 1.0))
    moved(cube, "rotation_euler", (0, 0, 0.2), (0.1, 0.3, 0.8))
    sphere = mesh_object("Sphere", ops.primitive_uv_sphere_add, segments=48, ring_count=24, radius=0.6)
    moved(sphere, "location", (-1.7, 2.4, 0.85), (2.2, 2.4, 0.85))
    prop = bpy.data.collections.new("Prop")
    mesh_object("Cone", ops.primitive_cone_add, prop, vertices=24, radius1=0.45, depth=1.0)
    for k, x in enumerate((1.7, 2.6)):
        empty = bpy.data.objects.new(f"Instance{k}", None)
        empty.instance_type, empty.instance_collection = "COLLECTION", prop
        bpy.context.scene.collection.objects.link(empty)
        moved(empty, "location", (x, -1.4 + k, 0.5), (x - 0.3, -1.8 + k, 0.6))
        moved(empty, "rotation_euler", (0, 0, 0), (0.2 * k, 0.3, 1.0 - k))


def build_camera(options: dict[str, str], x: float = 0.2) -> bpy.types.Object:
    """Build a camera that moves and turns."""
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    bpy.context.scene.collection.objects.link(camera)
    camera.data.type = options.get("camera", "PERSP")
    camera.data.ortho_scale, camera.data.shift_x = 9, 0.04
    moved(camera, "location", (x, -8.5, 2.6), (x + 1, -8.0, 2.9))
    moved(camera, "rotation_euler", (1.38, 0, 0), (1.36, 0.02, 0.14))
    if options.get("lens") == "animated":
        moved(camera.data, "lens", 40.0, 52.0)
        moved(camera.data, "shift_y", 0.0, 0.1)
        moved(camera.data, "ortho_scale", 8.0, 10.0)
    return camera


def build_sky() -> None:
    """Build a noise sky."""
    world = bpy.data.worlds.new("Sky")
    bpy.context.scene.world = world
    world.use_nodes = True
    world.cycles.sampling_method = "NONE"  # its map would take seconds a frame
    noise = world.node_tree.nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 12
    world.node_tree.links.new(noise.outputs["Color"], world.node_tree.nodes["Background"].inputs["Color"])


def build_hard() -> None:
    """Build a turning cube, one that hides in frame 3, and a mesh that deforms while its vertex count changes."""
    ops = bpy.ops.mesh
    mesh_object("Ground", ops.primitive_grid_add, x_subdivisions=10, y_subdivisions=10, size=16)
    cube = mesh_object("Cube", ops.primitive_cube_add, size=1.6, location=(0, 0, 1))
    moved(cube, "rotation_euler", (0, 0, 0.2), (0.1, 0.3, 1.2))
    blinking = mesh_object("Blinking", ops.primitive_cube_add, size=1.4, location=(2.4, 0, 1))
    moved(blinking, "location", (2.4, 0, 1), (2.8, -1.0, 1))
    for switch in ("hide_render", "hide_viewport"):
        keyed(blinking, switch, {1: False, 3: True, 4: False})
    changing = mesh_object("Changing", ops.primitive_grid_add, x_subdivisions=12, y_subdivisions=12, size=2,
                           location=(-2.4, 0, 1.3), rotation=(1.2, 0, 0.2))
    bend = changing.modifiers.new("Bend", "SIMPLE_DEFORM")
    bend.deform_method, bend.deform_axis = "BEND", "Z"
    moved(bend, "angle", 0.0, 2.4)
    levels = changing.modifiers.new("Levels", "SUBSURF")
    levels.subdivision_type = "SIMPLE"
    for level in ("render_levels", "levels"):
        keyed(levels, level, {frame: (frame - 1) % 3 for frame in range(1, 9)})


def build(options: dict[str, str]) -> None:
    """Build the scene in an empty file, every curve linear.

    ``options``: ``scene`` ("hard", "inside" or neither), ``camera`` ("ORTHO" or "PERSP"), ``lens`` ("animated"),
    ``cut`` (the first frame of a second camera), ``alpha`` (of the cube, 1), ``size`` ("192x108"), ``frames``, and
    ``end``, the frame at which all movement ends (8).
    """
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.preferences.edit.keyframe_new_interpolation_type = "LINEAR"
    scene = bpy.context.scene
    scene[END] = int(options.get("end", 8))
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
    material, veil = texture_material(), texture_material(float(options.get("alpha", "1")))
    for obj in bpy.data.objects:
        if obj.type == "MESH":
            obj.data.materials.append(veil if obj.name == "Cube" else material)
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 4, False
    scene.render.resolution_x, scene.render.resolution_y = map(int, options.get("size", "192x108").split("x"))
    scene.frame_start, scene.frame_end = 1, int(options.get("frames", 8))
