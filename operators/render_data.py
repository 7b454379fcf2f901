"""The data layer: one sample in the middle of each pixel, and no light, so that every pass is exact.

Runs in the child Blender only (see render_passes). What Blender writes into the passes, in which version it is wrong,
and why the beauty's own passes will not do, is told where the setting stands.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import addon_utils
import bpy
import numpy as np

from .render_tools import CaptureError, ShotFolder, assign, place, render_frame, run_render, set_output, visits

MAX_ROWS = 4096  # of matrices.npy: 250 frames of so many instances take 130 MB
MAX_INDEX = 32767  # Object.pass_index is a short
# Motion blur empties the Vector pass; a filter wider than the pixel blends surfaces that lie side by side.
RENDER = {
    "use_motion_blur": False,
    "use_compositing": False,
    "use_sequencer": False,
    "use_freestyle": False,
    "dither_intensity": 0.0,
    "film_transparent": False,
}
CYCLES = {
    "device": "CPU",
    "samples": 1,
    "use_layer_samples": "IGNORE",
    "use_sample_subset": False,
    "sample_offset": 0,
    "time_limit": 0.0,
    "use_adaptive_sampling": False,
    "use_denoising": False,
    "use_guiding": False,
    "pixel_filter_type": "BLACKMAN_HARRIS",
    "filter_width": 0.01,
    "seed": 0,
    "use_animated_seed": False,
    "max_bounces": 0,
    "rolling_shutter_type": "NONE",
    "shading_system": False,
}
PINNED = {f"render.{name}" for name in RENDER} | {f"cycles.{name}" for name in CYCLES} | {"dof.use_dof", "pass_index"}
PASSES = {"z", "normal", "vector", "position", "uv", "object_index"}
LOOKUP3_FINAL = (
    ("c", "b", 14), ("a", "c", 11), ("b", "a", 25), ("c", "b", 16), ("a", "c", 4), ("b", "a", 14), ("c", "b", 24),
)  # fmt: skip
ADDRESSES = {"TemperaGenerated": "COLOR", "TemperaRest": "COLOR", "TemperaRandom": "VALUE"}


def prepare_data(scene: bpy.types.Scene) -> bpy.types.ViewLayer:
    """Turn ``scene`` of the copy into one that renders the data layer only, and return the view layer that does."""
    if not hasattr(scene, "cycles"):
        addon_utils.enable("cycles")
    if not hasattr(scene, "cycles"):
        raise CaptureError("The motion data is rendered by Cycles, which this Blender lacks. Use one with it.")
    scene.render.engine = "CYCLES"
    assign(scene.render, RENDER)
    assign(scene.cycles, CYCLES)
    scene.world = None  # no light is wanted, and a large sky texture takes long to load
    set_output(scene, "OPEN_EXR_MULTILAYER")
    for camera in bpy.data.cameras:
        camera.dof.use_dof = False
    for index, item in enumerate(bpy.data.objects, start=1):
        item.pass_index = min(index, MAX_INDEX)
        if item.type == "MESH":
            item.add_rest_position_attribute = True
        if is_volume(item):  # the override material would make a solid box of it
            item.visible_camera = False
    return prepare_layer(scene)


def is_volume(item: bpy.types.Object) -> bool:
    """Return whether an object is smoke, fire or fog: it has no surface."""
    domain = any(
        modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN" and modifier.domain_settings.domain_type == "GAS"
        for modifier in item.modifiers
    )
    trees = [slot.material.node_tree for slot in item.material_slots if slot.material and slot.material.node_tree]
    outputs = [tree.get_output_node("CYCLES") for tree in trees]
    fog = bool(outputs) and all(
        output and output.inputs["Volume"].is_linked and not output.inputs["Surface"].is_linked for output in outputs
    )
    return item.type == "VOLUME" or domain or fog


def prepare_layer(scene: bpy.types.Scene) -> bpy.types.ViewLayer:
    """Leave one view layer to render, with all that any enabled one shows, the passes and the address material."""
    enabled = [layer for layer in scene.view_layers if layer.use] or [scene.view_layers[0]]
    layer = enabled[0]
    if len(enabled) > 1:
        layer = scene.view_layers.new("Tempera")
        show_any(layer.layer_collection, [each.layer_collection for each in enabled])
    for each in scene.view_layers:
        each.use = each == layer
    for owner in (layer, layer.cycles):
        for name in (each.identifier for each in owner.bl_rna.properties if each.type == "BOOLEAN"):
            if name.startswith("use_pass_"):
                setattr(owner, name, name.removeprefix("use_pass_") in PASSES)
    layer.pass_alpha_threshold = 0.0
    for aov in list(layer.aovs):
        layer.aovs.remove(aov)
    for name, kind in ADDRESSES.items():
        aov = layer.aovs.add()
        aov.name, aov.type = name, kind
    layer.material_override = address_material()
    return layer


def show_any(target: bpy.types.LayerCollection, sources: Sequence[bpy.types.LayerCollection]) -> None:
    """Let ``target`` and its children show what any of ``sources``, the same collection in other layers, shows."""
    for name in ("exclude", "indirect_only", "holdout"):
        setattr(target, name, all(getattr(source, name) for source in sources))
    for child in target.children:
        show_any(child, [source.children[child.name] for source in sources])


def address_material() -> bpy.types.Material:
    """Make the material that writes each surface point's address: rest coordinates and the instance's random number.

    It emits, without light sampling: a surface with no shader at all would let the ray pass, and then the AOVs of
    everything behind it would add up.
    """
    material = bpy.data.materials.new("Tempera address")
    if material.node_tree is None:
        material.use_nodes = True
    material.cycles.emission_sampling = "NONE"
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    emission, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    links.new(emission.outputs["Emission"], output.inputs["Surface"])
    rest = nodes.new("ShaderNodeAttribute")
    rest.attribute_name = "rest_position"
    sources = {
        "TemperaGenerated": nodes.new("ShaderNodeTexCoord").outputs["Generated"],
        "TemperaRest": rest.outputs["Vector"],
        "TemperaRandom": nodes.new("ShaderNodeObjectInfo").outputs["Random"],
    }
    for name, socket in sources.items():
        aov = nodes.new("ShaderNodeOutputAOV")
        aov.aov_name = name
        links.new(socket, aov.inputs["Color" if ADDRESSES[name] == "COLOR" else "Value"])
    return material


def render_data(shot: ShotFolder, scene: bpy.types.Scene, frames: Sequence[int], offset: int) -> Recorder:
    """Render the data layer of every frame that has none, and return what was recorded at all of them.

    Frame f of the shot is frame f + ``offset`` of ``scene``.
    """
    with Recorder(scene) as recorder:
        for inner in visits(scene, [frame + offset for frame in frames]):
            frame = inner - offset
            recorder.frame, recorder.draw = frame, not shot.data(frame).exists()
            if recorder.draw:
                place(render_frame(scene, inner, shot.scratch), shot.data(frame))
            else:
                run_render(scene, inner, write_still=False)
            if frame not in recorder.cameras:
                raise CaptureError(f"The camera of frame {frame} cannot be read. Give {scene.name} a camera.")
            shot.report.step(f"Motion data, frame {frame}")
    return recorder


class Recorder:
    """Notes the camera and every object instance that Cycles is given, frame by frame.

    It listens at CyclesRender.render, because only a final render's own dependency graph has the render visibility,
    render levels and instances that the pixels show; the viewport's differs.
    """

    def __init__(self, scene: bpy.types.Scene) -> None:
        self.scene = scene
        self.frame = 0
        self.draw = True
        self.cameras: dict[int, dict[str, Any]] = {}
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.matrices: dict[int, dict[tuple[str, str], np.ndarray]] = {}
        self.shapes: dict[tuple[str, str], tuple[int, ...]] = {}
        self.left_out = False

    def __enter__(self) -> Recorder:
        import cycles

        self.engine, self.original = cycles.CyclesRender, cycles.CyclesRender.render

        def render(engine: bpy.types.RenderEngine, depsgraph: bpy.types.Depsgraph) -> None:
            self.take(depsgraph)
            if self.draw:
                self.original(engine, depsgraph)

        self.engine.render = render
        return self

    def __exit__(self, *error: object) -> None:
        self.engine.render = self.original

    def take(self, depsgraph: bpy.types.Depsgraph) -> None:
        """Record the present frame."""
        self.matrices[self.frame] = {}
        shapes: dict[int, tuple[int, ...] | None] = {}  # instances share their data: look at each once
        for instance in depsgraph.object_instances:
            data = instance.object.data
            if not instance.show_self or data is None:
                continue
            pointer = data.as_pointer()
            if pointer not in shapes:
                shapes[pointer] = shape_of(data)
            shape = shapes[pointer]
            if shape is not None:
                self.take_instance(instance, shape)
        self.cameras[self.frame] = camera_entry(self.scene, depsgraph)

    def take_instance(self, instance: bpy.types.DepsgraphObjectInstance, shape: tuple[int, ...]) -> None:
        """Record where one instance is, and whether its shape is still what it was."""
        item = instance.object
        key = item.name_full, instance_name(instance)
        if key not in self.objects:
            if len(self.objects) >= MAX_ROWS:
                self.left_out = True
                return
            self.shapes[key] = shape
            self.objects[key] = {
                "name": key[0],
                "instance": key[1],
                "random": object_random(instance),
                "index": item.pass_index,
                "rigid": True,
                "type": item.type,
                "topology": "constant",
            }
        if shape != self.shapes[key]:
            self.objects[key]["rigid"] = False
        if shape[1:] != self.shapes[key][1:]:
            self.objects[key]["topology"] = "changes"
        self.matrices[self.frame][key] = np.array(instance.matrix_world, np.float64)

    def stacked(self, frames: Sequence[int]) -> np.ndarray:
        """Return (objects, frames, 4, 4) float64 object-to-world matrices, NaN where an object is absent."""
        rows = {key: row for row, key in enumerate(self.objects)}
        stack = np.full((len(rows), len(frames), 4, 4), np.nan)
        for column, frame in enumerate(frames):
            for key, matrix in self.matrices[frame].items():
                stack[rows[key], column] = matrix
        return stack


def camera_entry(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> dict[str, Any]:
    """Describe the camera that renders: world matrix, projection matrix (camera to clip space) and clip end."""
    camera = scene.camera.evaluated_get(depsgraph)
    render = scene.render
    scale = render.resolution_percentage
    projection = camera.calc_matrix_camera(
        depsgraph,
        x=render.resolution_x * scale // 100,
        y=render.resolution_y * scale // 100,
        scale_x=render.pixel_aspect_x,
        scale_y=render.pixel_aspect_y,
    )
    return {
        "name": scene.camera.name_full,
        "type": camera.data.type,
        "matrix_world": [list(row) for row in camera.matrix_world],
        "projection": [list(row) for row in projection],
        "clip_end": camera.data.clip_end,
    }


def shape_of(data: bpy.types.ID) -> tuple[int, ...] | None:
    """Return a checksum of the coordinates, then the counts that Cycles compares; None where there is no surface."""
    if isinstance(data, bpy.types.Mesh):
        counts = len(data.vertices), len(data.loops), len(data.polygons)
    elif isinstance(data, bpy.types.Curves | bpy.types.PointCloud):
        counts = len(data.points), 0, len(data.points)
    else:
        return None
    if not counts[2]:
        return None
    coordinates = np.empty(3 * counts[0], np.float32)
    data.attributes["position"].data.foreach_get("vector", coordinates)
    return zlib.crc32(coordinates.tobytes()), *counts


def instance_name(instance: bpy.types.DepsgraphObjectInstance) -> str:
    """Return "" for an object itself, else its instancer and its number there: the same in every frame."""
    if not instance.is_instance:
        return ""
    numbers = [str(number) for number in instance.persistent_id if number != 0x7FFFFFFF]
    return f"{instance.parent.name_full}:{'.'.join(numbers)}"


def object_random(instance: bpy.types.DepsgraphObjectInstance) -> float:
    """Return Object Info's Random of an instance, the very float32 that Cycles writes into the AOV.

    Instances bring their random id, an object itself has a hash of its name (Cycles, blender/object.cpp); the shader
    divides it by 2**32 - 1. Measured equal in 4.2, 4.5, 5.0 and 5.2.
    """
    number = instance.random_id & 0xFFFFFFFF if instance.is_instance else name_hash(instance.object.name)
    return float(np.float32(number) * np.float32(1 / np.float32(0xFFFFFFFF)))


def name_hash(name: str) -> int:
    """Return Cycles' 32-bit hash of a name: a polynomial of base 37, then the final mix of B. Jenkins' lookup3."""
    key = 0
    for byte in name.encode():
        key = (key * 37 + byte) & 0xFFFFFFFF
    start = 0xDEADBEEF + (2 << 2) + 13
    state = {"a": (start + key) & 0xFFFFFFFF, "b": start, "c": start}
    for target, source, turn in LOOKUP3_FINAL:
        word = state[source]
        turned = word << turn | word >> (32 - turn)
        state[target] = ((state[target] ^ word) - turned) & 0xFFFFFFFF
    return state["c"]
