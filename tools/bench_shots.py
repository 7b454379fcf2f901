"""Captures the small shots on which the diffusion methods are measured.

    .venv/bin/python tools/bench_shots.py FOLDER

Writes ``FOLDER/NAME/shot`` for the demo shot, a body that deforms, and things that pass before each other. A shot that
is there already is kept.
"""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from pathlib import Path

# Blender's own preferences and caches stay out of the newcomer's home folder.
os.environ.setdefault("BLENDER_USER_RESOURCES", tempfile.mkdtemp(prefix="tempera-user-"))

import bpy  # noqa: F401 - it brings the modules of Blender's own add-ons
from extension import load_extension

SIZE, FRAMES = (256, 144), 16


def main(folder: Path) -> int:
    """Capture what is missing and return the exit status."""
    missing = [name for name in ("demo", "deform", "occluders") if not (folder / name / "shot" / "shot.json").is_file()]
    if not missing:
        return 0
    package = f"{load_extension().__name__}.operators"
    demo, shots, capture = (importlib.import_module(f"{package}.{name}") for name in ("demo", "demo_shots", "capture"))
    builders = {"demo": demo.build, "deform": shots.build_deform, "occluders": shots.build_occluders}
    for name in missing:
        sys.stdout.write(f"capturing {name}\n")
        sys.stdout.flush()
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        scene = builders[name](f"Tempera Bench {name}", FRAMES, SIZE)
        capture.capture_scene(scene, target / "shot").wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
