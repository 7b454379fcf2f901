"""A real scene, captured by a real child Blender, measured against what Blender shows and against geometry."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from capture_probe import (
    SIZE,
    Captured,
    add_camera,
    add_file_output,
    box,
    dump_file,
    key_shape,
    line_of_cubes,
    new_scene,
    numbered_pictures,
    read_png,
    spin,
)


def rich_scene() -> bpy.types.Scene:
    """Objects that move, deform, change topology, are instanced or hidden, each in its own part of the frame."""
    scene = new_scene()
    spin(box("Turning", (-2.0, 0, 0.2)))
    box("Würfel", (2.0, 0, 1.5), 0.7)
    key_shape(box("Deforming", (0.3, 0, 0.9), 0.7))
    group = bpy.data.collections.new("Group")
    spin(box("Member", (0, 0, 0), 0.6, group))
    for index, x in enumerate((-1.0, 0.8)):
        instancer = bpy.data.objects.new(f"Instancer {index}", None)
        instancer.instance_type, instancer.instance_collection = "COLLECTION", group
        instancer.location = (x, 0, 2.0)
        scene.collection.objects.link(instancer)
    scattered = box("Scattered", (0.6, 0, -0.1))
    scattered.modifiers.new("Nodes", "NODES").node_group = line_of_cubes(3)
    text = bpy.data.objects.new("Text", bpy.data.curves.new("Text", "FONT"))
    text.data.body, text.data.extrude, text.location, text.rotation_euler = "Hi", 0.1, (-0.9, 0, -0.3), (1.57, 0, 0)
    scene.collection.objects.link(text)
    growing = box("Growing", (-2.2, 0, 1.9), 0.8)
    build = growing.modifiers.new("Build", "BUILD")
    build.frame_start, build.frame_duration = 0, 4
    box("Only in the viewport", (0, 0, 0)).hide_render = True
    box("Only in the render", (2.3, 0, 0.6), 0.5).hide_viewport = True
    return scene


def test_a_scene_becomes_a_whole_and_exact_shot(capture: ModuleType, tmp_path: Path) -> None:
    scene = rich_scene()
    scene.frame_step = 2
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    info = shot.info
    assert (info["frames"], info["data_frames"]) == ([1, 3], [1, 2, 3])
    assert (info["format"], info["source"], info["size"], info["alpha"]) == (1, "scene", list(SIZE), False)
    assert info["colour"]["view_transform"] == scene.view_settings.view_transform
    assert info["vector"] == {"trusted": True, "reason": ""}
    assert info["cuts"] == [] and sorted(info["cameras"]) == ["1", "2", "3"]
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [
        "000001.exr", "000001.png", "000002.exr", "000003.exr", "000003.png", "log.txt", "matrices.npy", "shot.json",
    ]  # fmt: skip
    check_objects(shot)
    for frame in (1, 2):
        assert shot.vector_error(frame) < 1e-3
    pixels, _, seen = shot.surface(2)
    assert np.abs(shot.project(seen["Position"], 2) - pixels).max() < 1e-3

    scene.render.filepath = str(tmp_path / "direct")
    scene.frame_set(3)
    bpy.ops.render.render(write_still=True)
    assert (shot.beauty(3) == read_png(tmp_path / "direct.png")[..., :3]).all()


def check_objects(shot: Captured) -> None:
    """Every row is told apart, described and seen as the object that it is."""
    named = {(entry["name"], entry["instance"]): entry for entry in shot.objects}
    assert {name for name, _ in named} == {
        "Turning", "Würfel", "Deforming", "Member", "Scattered", "Text", "Growing", "Only in the render",
    }  # fmt: skip
    assert sum(name == "Member" for name, _ in named) == 2
    assert sum(name == "Scattered" for name, _ in named) == 3
    kinds = {name: (entry["rigid"], entry["topology"]) for (name, _), entry in named.items()}
    assert kinds.pop("Deforming") == (False, "constant")
    assert kinds.pop("Growing") == (False, "changes")
    assert set(kinds.values()) == {(True, "constant")}
    _, rows, seen = shot.surface(2)
    assert set(rows) == set(range(len(shot.objects)))
    assert (seen["Object Index" if "Object Index" in seen else "IndexOB"][:, 0] == [
        shot.objects[row]["index"] for row in rows
    ]).all()  # fmt: skip
    deforming = next(row for row, entry in enumerate(shot.objects) if entry["name"] == "Deforming")
    assert 0.3 < np.abs(seen["TemperaRest"][rows == deforming][:, 3]).max() < 0.36  # x of the undeformed mesh
    assert set(np.unique(shot.data(2)["TemperaGenerated"][..., 0])) == {0, 1}  # one layer, or sky


def test_what_spoils_passes_is_off_in_the_data_and_on_in_the_beauty(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 2), samples=4)
    spin(box("Cube", (0, 0, 1), 2))
    render, camera = scene.render, scene.camera.data
    add_file_output(scene, tmp_path / "artist")
    render.film_transparent = render.use_border = render.use_crop_to_border = render.use_stamp = True
    render.border_min_x, render.border_max_y = 0.4, 0.6
    render.use_multiview, render.resolution_percentage, render.pixel_aspect_x = True, 50, 1.25
    render.dither_intensity, scene.cycles.max_bounces, scene.view_layers[0].samples = 2.0, 4, 16
    render.use_motion_blur = camera.dof.use_dof = True
    camera.dof.focus_distance, camera.dof.aperture_fstop = 2.0, 0.1
    for frame in (0, 10):
        camera.dof.keyframe_insert("use_dof", frame=frame)
        scene.cycles.keyframe_insert("samples", frame=frame)
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    assert shot.info["size"] == [64, 36] and shot.info["pixel_aspect"] == [1.25, 1.0] and shot.info["alpha"]
    assert shot.vector_error(1) < 1e-3
    pixels, _, seen = shot.surface(2)
    assert np.abs(shot.project(seen["Position"], 2) - pixels).max() < 1e-3
    alpha = shot.beauty(1)[..., 3]
    assert shot.beauty(1).shape == (36, 64, 4) and ((alpha > 0) & (alpha < 255)).mean() > 0.2  # blurred it is
    assert not (tmp_path / "artist").exists()
    assert any(note.startswith("Motion blur") for note in shot.info["notes"])


def test_markers_cut_the_shot(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 3))
    spin(box("Cube", (0, 0, 1), 2))
    other = add_camera(scene, "Other", (1.0, -6.0, 1.5))
    for frame, camera in ((0, scene.camera), (3, other)):
        scene.timeline_markers.new("Cut", frame=frame).camera = camera
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    assert shot.info["cuts"] == [3]
    assert [shot.info["cameras"][frame]["name"] for frame in "123"] == ["Camera", "Camera", "Other"]
    for frame in (2, 3):
        pixels, _, seen = shot.surface(frame)
        assert np.abs(shot.project(seen["Position"], frame) - pixels).max() < 1e-3
    assert shot.vector_error(1) < 1e-3


@pytest.mark.parametrize("case", ["orthographic", "zoom", "animated scale"])
def test_vector_is_trusted_only_where_blender_writes_it_right(capture: ModuleType, tmp_path: Path, case: str) -> None:
    scene = new_scene((1, 2))
    spin(box("Cube", (0, 0, 1), 2))
    lens = scene.camera.data
    lens.type = "PERSP" if case == "zoom" else "ORTHO"
    if case != "orthographic":
        name = "lens" if case == "zoom" else "ortho_scale"
        for frame, value in ((0, 40), (10, 90)) if case == "zoom" else ((0, 6), (10, 9)):
            setattr(lens, name, value)
            lens.keyframe_insert(name, frame=frame)
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    assert shot.info["vector"]["trusted"] == (shot.vector_error(1) < 1e-2)
    assert shot.info["vector"]["trusted"] == (not shot.info["vector"]["reason"])


def test_objects_of_a_library_are_followed(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 2))
    group = bpy.data.collections.new("Group")
    for name, x in (("Left", -1), ("Right", 1)):
        key_shape(spin(box(name, (x, 0, 1), 0.8, group)))
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {group})
    bpy.ops.wm.read_homefile(use_empty=True)
    scene = new_scene((1, 2))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "file.blend"))
    with bpy.data.libraries.load("//library.blend", link=True) as (_, wanted):
        wanted.collections = ["Group"]
    instancer = bpy.data.objects.new("Instancer", None)
    instancer.instance_type, instancer.instance_collection = "COLLECTION", wanted.collections[0]
    scene.collection.objects.link(instancer)
    scene.collection.children.link(wanted.collections[0])
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    assert len(shot.objects) == 4 and len({entry["index"] for entry in shot.objects}) == 2
    assert {entry["name"] for entry in shot.objects} == {"Left [library.blend]", "Right [library.blend]"}
    _, rows, seen = shot.surface(1)
    assert np.abs(seen["TemperaRest"][..., 3]).max() > 0.3
    assert (seen["TemperaRandom"][:, 0] == [np.float32(shot.objects[row]["random"]) for row in rows]).all()


def test_every_enabled_view_layer_is_in_the_data(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 1))
    for name, x in (("Left", -2), ("Right", 2), ("Nowhere", 0)):
        collection = bpy.data.collections.new(name)
        scene.collection.children.link(collection)
        box(f"{name} cube", (x, 0, 1), 1, collection)
    second, unused = scene.view_layers.new("Second"), scene.view_layers.new("Unused")
    unused.use = False
    first = scene.view_layers[0]
    for layer, hidden in ((first, ("Right", "Nowhere")), (second, ("Left", "Nowhere"))):
        for name in hidden:
            layer.layer_collection.children[name].exclude = True
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    assert {shot.objects[row]["name"] for row in shot.surface(1)[1]} == {"Left cube", "Right cube"}
    assert any("view layers" in note for note in shot.info["notes"])


def test_fog_hides_nothing_and_the_artist_is_told(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 1))
    behind = box("Behind", (0, 2, 1), 2)
    leaf, fog = bpy.data.materials.new("Leaf"), bpy.data.materials.new("Fog")
    for material in (leaf, fog):
        if material.node_tree is None:
            material.use_nodes = True
    leaf.node_tree.nodes["Principled BSDF"].inputs["Alpha"].default_value = 0.5
    behind.data.materials.append(leaf)
    nodes = fog.node_tree.nodes
    nodes.clear()
    scatter, output = nodes.new("ShaderNodeVolumeScatter"), nodes.new("ShaderNodeOutputMaterial")
    fog.node_tree.links.new(scatter.outputs[0], output.inputs["Volume"])
    box("Cloud", (0, 0, 1), 3).data.materials.append(fog)
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    assert {shot.objects[row]["name"] for row in shot.surface(1)[1]} == {"Behind"}
    assert any(note.startswith("Leaf:") for note in shot.info["notes"])
    assert any(note.startswith("Cloud:") for note in shot.info["notes"])


def render_frames(scene: bpy.types.Scene, pattern: Path, file_format: str) -> list[Path]:
    """Render the scene's frames into files, as an artist would before capture."""
    output = scene.render.image_settings
    if hasattr(output, "media_type"):
        output.media_type = "MULTI_LAYER_IMAGE" if "MULTI" in file_format else "IMAGE"
    output.file_format = file_format
    scene.render.dither_intensity = 0.0
    scene.render.filepath = str(pattern)
    bpy.ops.render.render(animation=True)
    return [Path(scene.render.frame_path(frame=frame)) for frame in range(scene.frame_start, scene.frame_end + 1)]


def test_frames_on_disk_are_the_beauty(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 2))
    spin(box("Cube", (0, 0, 1), 2)).data.materials.append(glowing())
    scene.render.image_settings.color_mode = "RGB"
    pictures = numbered_pictures(tmp_path, 3)[1:]
    pngs = render_frames(scene, tmp_path / "png_##", "PNG")
    for file_format in ("OPEN_EXR", "OPEN_EXR_MULTILAYER", "JPEG"):
        files = render_frames(scene, tmp_path / f"{file_format}_##", file_format)
        shot = Captured(capture.capture_scene(scene, tmp_path / file_format / "shot", beauty=files[1]).wait())
        for frame in (1, 2):
            wanted = read_png(files[frame - 1] if file_format == "JPEG" else pngs[frame - 1])
            assert np.abs(shot.beauty(frame) - wanted).max() <= (0 if file_format == "JPEG" else 1)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    folder = capture.capture_scene(scene, tmp_path / "png" / "shot", beauty=Path("//p###.png")).wait()
    assert [(folder / "beauty" / f"00000{n}.png").read_bytes() for n in (1, 2)] == [p.read_bytes() for p in pictures]


def glowing() -> bpy.types.Material:
    """A material brighter than white, which every view transform brings down in its own way."""
    material = bpy.data.materials.new("Glow")
    if material.node_tree is None:
        material.use_nodes = True
    principled = material.node_tree.nodes["Principled BSDF"]
    principled.inputs["Emission Color"].default_value = (1.0, 0.3, 0.1, 1.0)
    principled.inputs["Emission Strength"].default_value = 3.0
    return material


def test_an_interrupted_capture_goes_on_and_ends_the_same(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 3))
    spin(box("Turning", (0, 0, 1), 2))
    whole = capture.capture_scene(scene, tmp_path / "whole" / "shot").wait()
    broken = tmp_path / "broken" / "shot"
    first = capture.capture_scene(scene, broken)
    while first.poll().done < 4:
        time.sleep(0.005)
    first.cancel()
    kept = {path: path.stat().st_mtime_ns for path in broken.rglob("0*") if path.suffix != ".part"}
    assert len(kept) >= 4 and not (broken / "shot.json").exists()
    bpy.data.objects["Turning"].hide_render = True  # the shot must not become one of two versions of the scene
    assert capture.capture_scene(scene, broken).wait() == broken
    assert kept.items() <= {path: path.stat().st_mtime_ns for path in broken.rglob("0*")}.items()
    assert (broken / "shot.json").read_bytes() == (whole / "shot.json").read_bytes()
    assert (broken / "matrices.npy").read_bytes() == (whole / "matrices.npy").read_bytes()
    for frame in (1, 2, 3):
        assert (Captured(broken).beauty(frame) == Captured(whole).beauty(frame)).all()
        ours, theirs = Captured(broken).data(frame), Captured(whole).data(frame)
        assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert not list(Path(bpy.app.tempdir).glob("tempera-*"))
    before = Captured(whole).beauty(1)
    capture.capture_scene(scene, whole).wait()  # begun anew, it takes the scene as it is now
    assert (Captured(whole).beauty(1) != before).any()


def test_the_artists_file_is_untouched_whatever_happens(
    capture: ModuleType, refused: Callable[[str], Any], tmp_path: Path
) -> None:
    scene = rich_scene()
    scene.frame_end = 1
    wrong = tmp_path / "wrong_1.png"
    scene.render.resolution_percentage = 50
    scene.render.filepath = str(wrong)
    bpy.ops.render.render(write_still=True)
    scene.render.resolution_percentage = 100
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "file.blend"))
    scene.frame_set(2)
    before, files = dump_file(), sorted(tmp_path.iterdir())
    capture.capture_scene(scene, tmp_path / "whole" / "shot").wait()
    assert dump_file() == before
    with refused("wrong_1.png is 64 x 36 pixels, but the scene renders 128 x 72"):
        capture.capture_scene(scene, tmp_path / "error" / "shot", beauty=wrong).wait()
    assert dump_file() == before
    running = capture.capture_scene(scene, tmp_path / "cancelled" / "shot")
    while not running.poll().done:
        time.sleep(0.005)
    running.cancel()
    assert dump_file() == before
    with refused("was cancelled"):
        running.poll()
    assert sorted(path for path in tmp_path.iterdir() if path.is_file()) == files


def test_any_path_will_do(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene()
    scene.name = "Szene Ä 雪"
    box("Cube", (0, 0, 1), 2)
    source = tmp_path / "Ordner ü"
    source.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(source / "Bär 雪.blend"))
    deep = source
    while len(str(deep)) < 1500:
        deep /= "sehr lang ö" * 15
    shot = Captured(capture.capture_scene(scene, deep / "shot", frames=[-1]).wait())
    assert shot.info["name"] == "Szene Ä 雪" and shot.info["frames"] == [-1]
    assert (shot.folder / "beauty" / "-00001.png").is_file() and (shot.folder / "data" / "-00001.exr").is_file()
    (deep / "given_-1.png").write_bytes((shot.folder / "beauty" / "-00001.png").read_bytes())
    again = Captured(capture.capture_scene(scene, deep / "again" / "shot", [-1], deep / "given_##.png").wait())
    assert again.info["frames"] == [-1]


def test_a_path_longer_than_blenders_own_and_in_any_script_works(capture: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*(f"{place} {'x' * 180}" for place in ("Übung", "日本", "a'b c", "d", "e", "f")))
    scene = new_scene((1, 2))
    plain = capture.capture_scene(scene, tmp_path / "plain").wait()
    odd = capture.capture_scene(scene, folder / "shot").wait()
    assert len(str(odd)) > 1024
    for name in ("shot.json", "matrices.npy"):
        assert (odd / name).read_bytes() == (plain / name).read_bytes()
    names = {path.relative_to(odd) for path in odd.rglob("0*")}
    assert names == {path.relative_to(plain) for path in plain.rglob("0*")} and len(names) == 4


def test_a_file_that_was_never_saved_is_captured_from_anywhere(
    capture: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = new_scene((1, 1))
    monkeypatch.chdir("/")
    assert Captured(capture.capture_scene(scene, tmp_path / "shot").wait()).info["frames"] == [1]
