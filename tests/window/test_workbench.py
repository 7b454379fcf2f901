"""The rough render that DiffSynth refines (arXiv 2308.03463, 3D rendering): Workbench, by the real Blender, no display.

Blender as a module has no Workbench without one.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from conftest import ROOT
from real_window import PLACE, PROGRAM

SCRIPT = """
import json
import bpy
from bl_ext.user_default import tempera

scene = bpy.context.scene
scene.render.engine = "BLENDER_WORKBENCH"
scene.render.resolution_x, scene.render.resolution_y = 192, 108
scene.frame_start, scene.frame_end = 1, 4
cube = bpy.data.objects["Cube"]
for frame in (1, 4):
    cube.rotation_euler.z = 0.1 * frame
    cube.keyframe_insert("rotation_euler", frame=frame)
bpy.ops.wm.save_as_mainfile(filepath={path!r})
job = tempera.stylize(scene, method="diffsynth", prompt="an oil painting", strength=0.7, steps=5, deflicker_every=2)
job.wait()
print("TOLD", json.dumps([str(job.folder), sorted(path.name for path in job.frames)]))
"""


def test_a_workbench_render_is_refined_along_its_own_motion(package: Path, tmp_path: Path) -> None:
    script = tmp_path / "refine.py"
    script.write_text(SCRIPT.format(path=str(PLACE / "rough.blend")))
    settings = {"BLENDER_USER_RESOURCES": str(PLACE / "settings")}
    python = {"TEMPERA_WORKER_PYTHON": os.environ.get("TEMPERA_WORKER_PYTHON", str(ROOT / ".venv-worker/bin/python"))}
    words = subprocess.run(
        [PROGRAM, "-b", "--python-exit-code", "1", "--python", str(script)],
        env=os.environ | settings | python, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert words.returncode == 0, words.stdout[-2000:] + words.stderr[-2000:]
    folder, frames = json.loads(words.stdout.split("TOLD ", 1)[1].splitlines()[0])
    assert frames == [f"{frame:06d}.png" for frame in (1, 2, 3, 4)]
    measured = subprocess.run(
        [str(ROOT / ".venv-worker/bin/python"), "-m", "backend", "measure", folder],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "exact" in measured.stdout
