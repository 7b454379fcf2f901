"""The probe shots: rendered by a real Blender and captured by Tempera once a session, with their ray-cast truth."""

from __future__ import annotations

import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest

from backend.measure.ray_truth import RayTruth

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ".venv", ".venv-bpy42", ".venv-bpy45", ".venv-bpy52"
BLENDERS = [name for name in FOLDERS if (ROOT / name / "bin" / "python").exists()]
_folders: list[tempfile.TemporaryDirectory] = []


@cache
def probe(*options: str, blender: str = ".venv") -> RayTruth:
    """Render a probe shot (see ``tools/probe_scene.py`` for the options), once a session."""
    python = ROOT / blender / "bin" / "python"
    if not python.exists():
        pytest.skip("needs Blender as a Python module: make environments")
    _folders.append(tempfile.TemporaryDirectory())
    folder = Path(_folders[-1].name)
    command = [str(python), str(ROOT / "tools" / "bench_truth.py"), str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (folder / "truth.npz").exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return RayTruth(folder)
