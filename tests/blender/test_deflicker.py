"""The operator that takes the flicker out of strips."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import pytest
from sequencer_kit import image_strip, small_scene
from session_kit import build_scene, captured_shot, new_job, session


@pytest.fixture(autouse=True)
def no_jobs_before(extension: str) -> None:
    session(extension).jobs.clear()


def test_a_result_is_deflickered_along_the_motion_of_its_shot(extension: str, module: Any, tmp_path: Path) -> None:
    captured_shot(extension)  # which leaves an empty file behind
    build_scene()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    scene = bpy.context.scene
    made = new_job(extension, tmp_path / "made", scene, blend=bpy.data.filepath)
    assert made.resume().wait()
    made.strip.select = True
    chosen = module("preferences").preferences()
    chosen.worker_python = str(tmp_path / "none")
    with pytest.raises(RuntimeError, match="There is no Python"):
        bpy.ops.tempera.deflicker()
    chosen.worker_python = ""
    assert session(extension).jobs == [made] and not (tmp_path / "tempera").exists()
    assert bpy.ops.tempera.deflicker() == {"FINISHED"}
    job = session(extension).jobs[-1]
    assert (job.state, job.files.settings.method) == ("done", "deflicker")
    assert Path(job.files.settings.deflicker.stylized) == made.files.frames_folder
    assert (job.files.shot_folder / "shot.json").samefile(made.files.shot_folder / "shot.json")
    assert len(job.frames) == len(made.frames)
    assert job.strip.channel > made.strip.channel


def test_any_other_strip_is_taken_as_it_is(extension: str, tmp_path: Path) -> None:
    scene = small_scene()
    source = image_strip(scene, tmp_path / "a", range(1, 4), channel=1, name="a")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "strips.blend"))
    scene.tempera.method = "deflicker"
    assert bpy.ops.tempera.deflicker() == {"FINISHED"}
    job = session(extension).jobs[-1]
    assert (job.state, job.files.settings.method) == ("done", "deflicker")
    assert job.files.settings.deflicker.stylized == ""
    assert len(job.frames) == 3
    source.select = False
    assert not bpy.ops.tempera.deflicker.poll()
