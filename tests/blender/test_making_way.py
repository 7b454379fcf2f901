"""The worker's memory is for renders while the worker has nothing to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy
from capture_probe import box, new_scene

ROOT = Path(__file__).resolve().parents[2]


def test_an_idle_worker_leaves_when_blender_renders(module: Callable[[str], ModuleType], tmp_path: Path) -> None:
    session, client = module("operators.session").current(), module("backend.bridge.client")
    python = module("backend.bridge.environment").find_python("", None)
    worker = session._worker = client.Worker.start(python, ROOT, tmp_path / "worker.log")
    assert session.idle
    assert worker.alive
    scene = new_scene((1, 1))
    box("Box", (0.0, 0.0, 0.0))
    scene.render.resolution_x = scene.render.resolution_y = 8
    bpy.ops.render.render(scene=scene.name)
    assert not session.idle
    assert not worker.alive
