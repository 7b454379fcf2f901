"""Simulations move in the child Blender as they do here, baked on disk or not baked at all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
from capture_probe import Captured, new_scene


def falling_cloth(scene: bpy.types.Scene) -> bpy.types.Object:
    """A sheet that falls and, having nothing to hold it, stays flat: its height says which frame was simulated."""
    mesh = bpy.data.meshes.new("Sheet")
    points = [(x, y, 0) for y in range(3) for x in range(3)]
    faces = [(i, i + 1, i + 4, i + 3) for i in (0, 1, 3, 4)]
    mesh.from_pydata([(x - 1, y, 2.2) for x, y, _ in points], [], faces)
    sheet = bpy.data.objects.new("Sheet", mesh)
    scene.collection.objects.link(sheet)
    cache = sheet.modifiers.new("Cloth", "CLOTH").point_cache
    cache.frame_start, cache.frame_end = 1, 12
    return sheet


def height(shot: Captured, frame: int) -> float:
    return float(np.median(shot.surface(frame)[2]["Position"][:, 2]))


def evaluated_height(scene: bpy.types.Scene, sheet: bpy.types.Object, frame: int) -> float:
    for at in range(1, frame + 1):
        scene.frame_set(at)
    mesh = sheet.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return float(np.median([point.co.z for point in mesh.vertices]))


def test_a_simulation_that_is_not_baked_is_played_from_its_start(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((12, 12))
    sheet = falling_cloth(scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "cloth.blend"))
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    wanted = evaluated_height(scene, sheet, 12)
    assert wanted < 2.0 and abs(height(shot, 12) - wanted) < 1e-4
    assert any("not baked" in note for note in shot.info["notes"])
    assert shot.objects[0]["rigid"]


def test_a_bake_on_disk_is_found_and_left_alone(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((12, 12))
    sheet = falling_cloth(scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "cloth.blend"))
    cache = sheet.modifiers["Cloth"].point_cache
    cache.use_disk_cache = True
    with bpy.context.temp_override(scene=scene, object=sheet, active_object=sheet, point_cache=cache):
        bpy.ops.ptcache.bake(bake=True)
    wanted = evaluated_height(scene, sheet, 12)
    scene.gravity = (0.0, 0.0, 0.0)  # simulated anew, the sheet would hang where it is
    folder = tmp_path / "blendcache_cloth"
    before = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}
    assert len(before) >= 12
    shot = Captured(capture.capture_scene(scene, tmp_path / "shot").wait())
    assert wanted < 2.0 and abs(height(shot, 12) - wanted) < 1e-4
    assert not any("not baked" in note for note in shot.info["notes"])
    assert before == {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir()}


def test_a_cache_is_copied_as_far_as_it_is_there_until_it_is_no_longer_wanted(
    module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    cache, stopped = tmp_path / "blendcache_cloth", threading.Event()
    cache.mkdir()
    (cache / "1.bphys").write_bytes(b"frame")
    (cache / "2.bphys").symlink_to(tmp_path / "gone")  # as one that is deleted while others are copied
    for name, expected in (("copied", ["1.bphys"]), ("unwanted", [])):
        scratch = tmp_path / name
        scratch.mkdir()
        module("operators.capture_copy").lend_cache(cache, scratch, True, stopped)
        assert [path.name for path in (scratch / cache.name).iterdir()] == expected
        stopped.set()
