"""Measures how long Blender's main thread works for a job at each tick, on the demo shot of ``make demo``.

Run ``.venv/bin/python tools/bench_ticks.py demo/job FILE``: FILE gets the milliseconds of every tick as a JSON list.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

# Blender's own preferences and caches stay out of the newcomer's home folder.
os.environ.setdefault("BLENDER_USER_RESOURCES", tempfile.mkdtemp(prefix="tempera-user-"))

import bpy
from extension import load_extension

WAIT = 0.1  # seconds between two ticks, as Blender's timer keeps them


def run_timed(source: Path) -> list[float]:
    """Paint the shot of the job in ``source`` again, with its strip growing, and return each tick's milliseconds."""
    package = load_extension().__name__
    here = importlib.import_module(f"{package}.operators.session").current()
    folders = importlib.import_module(f"{package}.backend.bridge.job")
    given = folders.Job.open(source)
    with tempfile.TemporaryDirectory() as folder:
        origin = {"id": "ticks", "scene": bpy.context.scene.name}
        files = folders.Job.create(Path(folder) / "job", "job", given.settings, origin)
        shutil.copytree(given.shot_folder, files.shot_folder, dirs_exist_ok=True)
        for frame in given.key_frames():
            files.add_key(frame, given.key_path(frame))
        job = here.add(files, bpy.context.scene).resume()
        ticks = []
        while job.active or job.stale:
            began = time.perf_counter()
            here.tick()
            ticks.append(1000 * (time.perf_counter() - began))
            time.sleep(WAIT)
        here.close()
    if job.state != "done":
        raise RuntimeError(job.message)
    return ticks


def main(source: Path, target: Path) -> int:
    """Measure, write, and return the exit status."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps([round(tick, 3) for tick in run_timed(source)]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
