"""A capture that cannot be made, or is broken off, says so in one sentence and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import pytest
from capture_probe import box, new_scene


def test_what_cannot_be_captured_is_refused_at_once(
    capture: ModuleType, refused: Callable[[str], Any], tmp_path: Path
) -> None:
    scene = new_scene((1, 3))
    box("Cube", (0, 0, 1), 2)
    (tmp_path / "file").write_text("")
    folder = tmp_path / "shot"
    with refused("file cannot be written .*another folder"):
        capture.capture_scene(scene, tmp_path / "file" / "shot")
    with refused("no frame to capture"):
        capture.capture_scene(scene, folder, frames=[])
    with refused(r"lacks shot_0001.png, shot_0002.png, shot_0003.png\."):
        capture.capture_scene(scene, folder, beauty=tmp_path / "shot_####.png")
    with refused("has no frame number"):
        capture.capture_scene(scene, folder, beauty=tmp_path / "shot.png")
    scene.camera.data.type = "PANO"
    with refused("Camera is a panoramic camera"):
        capture.capture_scene(scene, folder)
    scene.camera = bpy.data.objects["Cube"]
    with refused("no camera at frame 1"):
        capture.capture_scene(scene, folder)
    scene.camera = None
    with refused("no camera at frame 1"):
        capture.capture_scene(scene, folder)
    assert not folder.exists()


def test_a_picture_that_is_none_is_named(capture: ModuleType, refused: Callable[[str], Any], tmp_path: Path) -> None:
    scene = new_scene((1, 1))
    (tmp_path / "shot_1.jpg").write_text("not a picture")
    with refused(r"shot_1.jpg cannot be read as a picture"):
        capture.capture_scene(scene, tmp_path / "shot", beauty=tmp_path / "shot_#.jpg").wait()


def test_a_folder_that_fails_on_the_way_is_named(
    capture: ModuleType, refused: Callable[[str], Any], tmp_path: Path
) -> None:
    scene = new_scene((1, 3))
    (tmp_path / "shot" / "beauty" / "000002.png.part").mkdir(parents=True)
    running = capture.capture_scene(scene, tmp_path / "shot")
    for _ in range(2):
        with refused(r"The shot cannot be written \(.*000002.png.part\)\. Make room there"):
            running.wait()
    assert (tmp_path / "shot" / "beauty" / "000001.png").is_file()
    assert not list(Path(bpy.app.tempdir).glob("tempera-*"))


def test_the_window_does_not_wait_for_copies(capture: ModuleType, tmp_path: Path) -> None:
    scene = new_scene((1, 1))
    part = tmp_path / "shot" / "scene.part"
    part.parent.mkdir()
    os.mkfifo(part)  # a disk that takes nothing as long as nobody reads
    late = threading.Timer(20.0, part.read_bytes)
    late.start()
    running = capture.capture_scene(scene, part.parent)
    assert late.is_alive() and not running.poll().done and running._process is None
    late.cancel()
    assert part.read_bytes()[:7] == b"BLENDER"
    running.cancel()
    assert not list(Path(bpy.app.tempdir).glob("tempera-*"))


def test_a_child_that_dies_says_why(capture: ModuleType, refused: Callable[[str], Any], tmp_path: Path) -> None:
    scene = new_scene((1, 50))
    running = capture.capture_scene(scene, tmp_path / "shot")
    while not running.poll().done:
        time.sleep(0.005)
    os.kill(running._process.pid, signal.SIGKILL)
    with refused("Blender stopped while it rendered the shot .exit code -9.: .*log.txt"):
        running.wait()
    assert not list(Path(bpy.app.tempdir).glob("tempera-*"))


def test_a_child_does_not_outlive_its_blender(capture: ModuleType, tmp_path: Path) -> None:
    new_scene((1, 500))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "file.blend"))
    root = str(Path(capture.__file__).parents[1])
    code = (
        "import importlib, sys, types, time, pathlib, bpy\n"
        "for name, part in (('tempera', '.'), ('tempera.operators', 'operators')):\n"
        f"    package = types.ModuleType(name); package.__path__ = [{root!r} + '/' + part]\n"
        "    sys.modules[name] = package\n"
        f"bpy.ops.wm.open_mainfile(filepath={str(tmp_path / 'file.blend')!r})\n"
        "capture = importlib.import_module('tempera.operators.capture')\n"
        f"running = capture.capture_scene(bpy.context.scene, pathlib.Path({str(tmp_path / 'shot')!r}))\n"
        "while not running.poll().done: time.sleep(0.01)\n"
        "sys.stdout.write(f'child {running._process.pid}\\n'); sys.stdout.flush(); time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    line = next(line for line in owner.stdout if line.startswith("child"))
    owner.kill()
    owner.wait()
    child = int(line.split()[1])
    end = time.monotonic() + 10
    while alive(child) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not yet reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class TEST_OT_complains(bpy.types.Operator):
    """Fails twice for one reason."""

    bl_idname = "test.complains"
    bl_label = "Complain"

    def execute(self, _context: bpy.types.Context) -> set[str]:
        for sentence in ("Out of memory", "Out of memory", "Cannot render, no camera."):
            self.report({"ERROR"}, sentence)
        return {"CANCELLED"}


def test_what_blender_repeats_is_told_once(module: Any) -> None:
    bpy.utils.register_class(TEST_OT_complains)
    with pytest.raises(RuntimeError) as told:
        bpy.ops.test.complains()
    bpy.utils.unregister_class(TEST_OT_complains)
    assert str(told.value).count("Out of memory") == 2
    assert module("operators.render_tools").reason_of(told.value) == "Out of memory. Cannot render, no camera."
