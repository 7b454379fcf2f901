"""One small shot, captured once, and jobs on it that a real worker paints."""

from __future__ import annotations

import functools
import importlib
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy
from capture_probe import SIZE, box, new_scene, spin
from sequencer_kit import picture, write_png

FRAMES = range(1, 13)
OPENS_A_JOB = """
import importlib, pathlib, sys
sys.path[:0] = sys.argv[-3:-1]
import conftest, session_kit
class Folders:
    def mktemp(self, name):
        return pathlib.Path(__import__("tempfile").mkdtemp())
extension = next(conftest.extension.__wrapped__(Folders()))
bridge = importlib.import_module(extension + ".backend.bridge.job")
session = session_kit.session(extension)
job = session.add(bridge.Job.open(pathlib.Path(sys.argv[-1])), None)
"""  # for a Blender of its own, whose last arguments are two folders to import from and the job's


def build_scene(frames: tuple[int, int] = (FRAMES[0], FRAMES[-1])) -> bpy.types.Scene:
    """A turning box before a still one, in the open file; the view changes no pixel of the sequencer."""
    scene = new_scene(frames)
    scene.view_settings.view_transform = "Standard"
    scene.render.dither_intensity = 0.0
    spin(box("Turning", (0.5, 0.0, 1.0)))
    box("Still", (-0.7, 1.0, 1.0))
    return scene


@functools.cache
def captured_shot(extension: str) -> Path:
    """Capture the scene, once, and return the shot's folder. Leaves an empty file open."""
    folder = Path(tempfile.mkdtemp(prefix="tempera-shot-")) / "shot"
    importlib.import_module(f"{extension}.operators.capture").capture_scene(build_scene(), folder).wait()
    bpy.ops.wm.read_homefile(use_empty=True)
    return folder


@functools.cache
def painted_keys() -> dict[int, Path]:
    """Two key frames of the shot's size."""
    folder = Path(tempfile.mkdtemp(prefix="tempera-keys-"))
    return {frame: write_png(folder / f"{frame}.png", picture(frame, *SIZE)) for frame in (FRAMES[0], FRAMES[-1])}


def new_job(extension: str, folder: Path, scene: bpy.types.Scene | None, **source: Any) -> Any:
    """Return a job in ``folder`` whose shot is captured and which is not started, known to the session."""
    job = importlib.import_module(f"{extension}.backend.bridge.job")
    settings = importlib.import_module(f"{extension}.backend.bridge.settings").from_keywords("exemplar")
    name = scene.name if scene else ""
    files = job.Job.create(folder, folder.name, settings, {"id": folder.name, "scene": name, **source})
    shutil.copytree(captured_shot(extension), files.shot_folder, dirs_exist_ok=True)
    for frame, path in painted_keys().items():
        files.add_key(frame, path)
    return session(extension).add(files, scene)


def session(extension: str) -> Any:
    """Return the session of this Blender."""
    return importlib.import_module(f"{extension}.operators.session").current()


@functools.cache
def unbroken(extension: str) -> dict[str, bytes]:
    """Return the files that a run without any trouble leaves, by name."""
    job = new_job(extension, Path(tempfile.mkdtemp(prefix="tempera-unbroken-")) / "job", None)
    assert job.resume().wait()
    return contents(job)


def contents(job: Any) -> dict[str, bytes]:
    """Return the finished frames' files, by name."""
    return {path.name: path.read_bytes() for path in job.frames}


def drive(job: Any, until: Callable[[], bool], seconds: float = 90.0) -> None:
    """Let the session work until something has happened."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, f"{job.state} {job.note} {job.message}"
        job.wait(timeout=0.0)


def some_frames(job: Any) -> Callable[[], bool]:
    """Return whether the job has finished some frames, and not yet all."""
    return lambda: 2 <= len(job.frames) < len(FRAMES)
