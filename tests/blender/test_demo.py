"""The demo shots: they are what they promise to show, and the artist's own file is as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from capture_probe import box, dump, new_scene, read_png, spin
from mathutils import Vector

Module = Callable[[str], ModuleType]
KINDS = ("scenes", "objects", "meshes", "materials", "worlds", "cameras", "lights", "actions", "collections")


@pytest.fixture
def build(module: Module) -> Callable[..., bpy.types.Scene]:
    """Builds a shot by its name and shows it, so that ray casts and renders see its animation."""

    def built(name: str = "demo", **options: Any) -> bpy.types.Scene:
        made = module("operators.demo").build if name == "demo" else getattr(module("operators.demo_shots"), name)
        scene = made(**options)
        bpy.context.window.scene = scene
        return scene

    return built


def at_frames(scene: bpy.types.Scene) -> Iterator[int]:
    for frame in range(scene.frame_start, scene.frame_end + 1):
        scene.frame_set(frame)
        yield frame


def own_points(obj: bpy.types.Object) -> np.ndarray:
    """Vertices (n, 3) as modifiers and shape keys leave them, in the object's own space."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
    points = np.empty(3 * len(mesh.vertices), np.float32)
    mesh.vertices.foreach_get("co", points)
    return points.reshape(-1, 3)


def world_points(obj: bpy.types.Object) -> np.ndarray:
    matrix = np.array(obj.matrix_world)
    return own_points(obj) @ matrix[:3, :3].T + matrix[:3, 3]


def pieces(mesh: bpy.types.Mesh) -> int:
    """Number of connected parts."""
    label = np.arange(len(mesh.vertices))
    edges = np.array([edge.vertices for edge in mesh.edges])
    while True:
        least = label[edges].min(1)
        before = label.copy()
        np.minimum.at(label, edges.ravel(), np.repeat(least, 2))
        if (label == before).all():
            return len(np.unique(label))


def hidden_behind(scene: bpy.types.Scene, front: str, back: str, across: int = 40) -> int:
    """How many of ``across`` x ``across`` rays through the picture meet ``front`` and, further on, ``back``."""
    graph, camera = bpy.context.evaluated_depsgraph_get(), scene.camera
    corners = [camera.matrix_world @ corner for corner in camera.data.view_frame(scene=scene)]
    eye, found = camera.matrix_world.translation, 0
    for u, v in np.random.default_rng(0).random((across * across, 2)):
        aim = corners[2] + float(u) * (corners[1] - corners[2]) + float(v) * (corners[3] - corners[2])
        origin, names, ahead = eye.copy(), [], (aim - eye).normalized()
        while True:
            hit, point, _, _, obj, _ = scene.ray_cast(graph, origin, ahead)
            if not hit:
                break
            names.append(obj.name)
            origin = point + 1e-3 * ahead
        found += front in names and back in names[names.index(front) :]
    return found


def test_the_artists_file_is_as_it_was(module: Module) -> None:
    mine = new_scene()
    cube = box("Tempera Demo", (0, 0, 0))
    spin(cube)
    bpy.context.view_layer.objects.active = cube
    bpy.ops.object.mode_set(mode="EDIT")
    before = {(kind, item.name): dump(item) for kind in KINDS for item in getattr(bpy.data, kind)}
    scene = module("operators.demo").build()
    assert scene != mine and bpy.context.scene == mine
    assert cube.mode == "EDIT" and bpy.context.object == cube
    assert {(kind, name): dump(getattr(bpy.data, kind)[name]) for kind, name in before} == before
    assert not {item.name for item in scene.objects} & {item.name for item in mine.objects}


def test_the_scene_is_a_whole_shot(build: Callable[..., bpy.types.Scene]) -> None:
    scene = build(frames=41, size=(320, 180))
    assert scene.name == "Tempera Demo"
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (1, 41, 24)
    assert (scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage) == (320, 180, 100)
    assert scene.camera is not None and scene.world is not None
    assert not [image for image in bpy.data.images if image.filepath], "a picture from a file"
    places = {frame: scene.camera.matrix_world.copy() for frame in at_frames(scene)}
    assert (places[41].translation - places[1].translation).length > 1.0
    assert not np.allclose(places[41].to_3x3(), places[1].to_3x3(), atol=0.05)


def test_the_fox_walks_without_sliding_and_stays_in_the_picture(build: Callable[..., bpy.types.Scene]) -> None:
    scene = build()
    fox = scene.objects["Fox"]
    assert fox.find_armature() is not None and pieces(fox.data) == 1
    assert all(vertex.groups for vertex in fox.data.vertices)
    soles = {}
    for side in "LR":
        group = fox.vertex_groups[f"foot.{side}"].index
        weights = [next((g.weight for g in vertex.groups if g.group == group), 0.0) for vertex in fox.data.vertices]
        soles[side] = np.array(weights) > 0.95
    own, world = [], []
    for frame in at_frames(scene):
        own.append(own_points(fox))
        world.append(world_points(fox))
        seen = np.array([world_to_camera_view(scene, scene.camera, Vector(p)) for p in world[-1][::7]])
        assert seen[:, :2].min() > 0 and seen[:, :2].max() < 1, f"the fox leaves the picture at frame {frame}"
    own, world = np.array(own), np.array(world)
    assert np.ptp(own, axis=0).max() > 0.3, "the armature does not deform it"
    steps = np.linalg.norm(np.diff(world, axis=0), axis=2)
    assert steps.max() < 0.15, "it jumps"
    standing = {side: steps[:, sole].max(1) < 2e-3 for side, sole in soles.items()}
    assert all(12 < still.sum() < 40 for still in standing.values()), "no foot stands still for half of the time"
    assert (standing["L"] | standing["R"]).all(), "at some frame no foot stands"
    assert -0.02 < world[:, :, 2].min() < 0.02, "it floats or sinks"


def test_the_balloon_passes_before_the_fox_and_the_sails_turn(build: Callable[..., bpy.types.Scene]) -> None:
    scene = build()
    covered, angles = {}, {}
    for frame in at_frames(scene):
        angles[frame] = scene.objects["Sails"].rotation_euler.y
        if frame % 8 == 0 or frame == 1:
            covered[frame] = hidden_behind(scene, "Balloon", "Fox")
    assert covered[1] == 0 and covered[48] == 0
    assert max(covered.values()) > 15
    assert np.ptp(np.diff(list(angles.values()))) < 1e-4 and abs(angles[48] - angles[1]) > 2


def test_it_renders(build: Callable[..., bpy.types.Scene], tmp_path: Path) -> None:
    scene = build(frames=2, size=(64, 36))
    scene.render.image_settings.file_format = "PNG"
    scene.render.filepath = f"{tmp_path}/##"
    bpy.ops.render.render(animation=True, scene=scene.name)
    first, second = (read_png(tmp_path / f"{frame:02d}.png")[..., :3].astype(float) for frame in (1, 2))
    assert first.shape == (36, 64, 3)
    assert np.abs(first - second).mean() > 0.2, "nothing moves"
    assert 60 < first.mean() < 200 and first.std(axis=(0, 1)).min() > 25, "dark, pale or flat"


def test_the_operator_builds_a_scene_of_its_own_and_shows_it(extension: str) -> None:
    mine = bpy.context.scene
    assert bpy.ops.tempera.build_demo() == {"FINISHED"}
    first = bpy.context.window.scene
    assert first != mine and first.name == "Tempera Demo"
    assert bpy.ops.tempera.build_demo() == {"FINISHED"}
    assert bpy.context.window.scene not in {mine, first}


def test_without_cycles_it_says_so_and_leaves_nothing(module: Module) -> None:
    import addon_utils  # which only exists once bpy does

    error = module("backend.bridge.errors").UserError
    addon_utils.disable("cycles")
    try:
        with pytest.raises(error, match="Cycles is switched off"):
            module("operators.demo").build()
        assert "Tempera Demo" not in bpy.data.scenes
    finally:
        addon_utils.enable("cycles")


def test_the_deform_shot_bends_before_a_still_camera(build: Callable[..., bpy.types.Scene]) -> None:
    scene = build("build_deform")
    assert scene.frame_end == 24
    points, cameras = [], []
    for _ in at_frames(scene):
        points.append(own_points(scene.objects["Totem"]))
        camera = scene.camera.evaluated_get(bpy.context.evaluated_depsgraph_get())
        cameras.append([tuple(row) for row in camera.matrix_world])
    assert np.ptp(points, axis=0).max() > 1.5 and np.abs(np.diff(points, axis=0)).max() < 0.45
    assert np.ptp(cameras, axis=0).max() == 0


def test_in_the_occluders_shot_things_pass_before_each_other(build: Callable[..., bpy.types.Scene]) -> None:
    scene = build("build_occluders")
    pairs = (("Crate", "Ball"), ("Crate", "Ring"), ("Ring", "Ball"), ("Pillar", "Ball"))
    most = dict.fromkeys(pairs, 0)
    for frame in at_frames(scene):
        if frame % 3 == 1:
            most = {pair: max(most[pair], hidden_behind(scene, *pair)) for pair in pairs}
    assert min(most.values()) > 5
    assert not any(obj.modifiers or obj.data.shape_keys for obj in scene.objects if obj.type == "MESH"), "not rigid"
