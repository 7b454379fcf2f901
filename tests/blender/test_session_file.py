"""What happens to the file while a job runs: undo, redo, load, save, rename, switching Tempera off."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bpy
import pytest
from sequencer_kit import captured_job
from session_kit import FRAMES, build_scene, contents, drive, new_job, session, some_frames, unbroken


@pytest.fixture(autouse=True)
def captured_before(extension: str) -> None:
    """The shot, and what a run makes of it, before the test's own file is there."""
    unbroken(extension)
    bpy.ops.wm.read_homefile(use_empty=True)


@pytest.fixture
def running(extension: str, tmp_path: Path) -> Iterator[Any]:
    """A job that has finished some frames and shows them in a scene that was saved before."""
    scene = build_scene()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.ed.undo_push(message="before")
    job = new_job(extension, tmp_path / "job", scene).resume()
    drive(job, lambda: some_frames(job)() and job.strip is not None)
    yield job
    job.cancel()
    with contextlib.suppress(Exception):
        job.wait()


def all_strips(scene: bpy.types.Scene) -> list[Any]:
    editor = scene.sequence_editor
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all) if editor else []


def test_undo_takes_the_strip_away_and_the_job_goes_on(running: Any, extension: str) -> None:
    bpy.ops.ed.undo()
    assert running.strip is None
    assert running.wait()
    assert contents(running) == unbroken(extension)
    assert running.strip is None  # the artist took it away
    bpy.ops.tempera.show_result(folder=str(running.folder))
    assert len(running.strip.elements) == len(FRAMES)


def test_redo_brings_the_strip_back_and_it_catches_up(running: Any) -> None:
    bpy.ops.ed.undo()
    assert running.wait()
    bpy.ops.ed.redo()
    assert running.wait()
    assert len(running.strip.elements) == len(FRAMES)


def test_undoing_something_else_does_not_shrink_the_strip(running: Any) -> None:
    assert running.wait()
    running.scene.frame_end = 99
    bpy.ops.ed.undo_push(message="something else")
    bpy.ops.ed.undo()
    assert running.scene.frame_end != 99
    assert len(running.strip.elements) < len(FRAMES)  # as it was when it was made
    assert running.wait()
    assert len(running.strip.elements) == len(FRAMES)


def test_a_renamed_scene_is_found(running: Any) -> None:
    running.scene.name = "Renamed"
    assert running.wait()
    assert len(running.strip.elements) == len(FRAMES)


def test_another_file_gets_no_strip_and_the_own_file_gets_it_when_it_is_opened(running: Any, tmp_path: Path) -> None:
    bpy.ops.wm.read_homefile(use_empty=True)
    assert bpy.context.scene.name == "Scene"
    assert running.wait()
    assert running.state == "done"
    assert (running.scene, running.strip) == (None, None)
    assert not all_strips(bpy.context.scene)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))  # saved before there was a strip
    assert str(running.folder) in [job.folder for job in bpy.context.window_manager.tempera.jobs]
    assert running.wait()
    assert len(running.strip.elements) == len(FRAMES)


def test_reloading_during_the_job_goes_on_with_the_saved_strip(running: Any, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "elsewhere" / "renamed.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "elsewhere" / "renamed.blend"))
    assert str(running.folder) in [job.folder for job in bpy.context.window_manager.tempera.jobs]
    assert running.wait()
    assert len(running.strip.elements) == len(FRAMES)
    assert len(all_strips(running.scene)) == 1


def test_a_removed_strip_stays_removed(running: Any) -> None:
    editor = running.scene.sequence_editor
    (editor.strips if hasattr(editor, "strips") else editor.sequences).remove(running.strip)
    assert running.wait()
    assert running.strip is None


def test_a_strip_moved_during_the_job_stays_where_it_was_put(running: Any, extension: str) -> None:
    strip = running.strip
    strip.channel, strip.name = 7, "mine"
    setattr(strip, "content_start" if hasattr(strip, "content_start") else "frame_start", 100)
    assert running.wait()
    handles = importlib.import_module(f"{extension}.operators.versions").handles
    assert (running.strip.channel, running.strip.name) == (7, "mine")
    assert handles(running.strip) == (100, 100 + len(FRAMES))


def test_switching_off_ends_the_worker_and_resume_goes_on(running: Any, extension: str) -> None:
    worker = session(extension)._worker
    bpy.ops.preferences.addon_disable(module=extension)
    assert worker.wait(20)
    with pytest.raises(ProcessLookupError):
        os.kill(worker._process.pid, 0)
    state = json.loads((running.folder / "state.json").read_text())
    assert state["state"] == "cancelled"
    assert not hasattr(bpy.types.Scene, "tempera")
    assert [handler for handler in bpy.app.handlers.undo_post if "tempera" in handler.__module__] == []
    bpy.ops.preferences.addon_enable(module=extension)
    job = session(extension).find(running.folder) or session(extension).add(running.files, bpy.context.scene)
    assert job.resume().wait()
    assert contents(job) == unbroken(extension)


def test_an_interrupted_job_is_known_again_when_its_file_is_opened(extension: str, tmp_path: Path) -> None:
    scene = build_scene()
    job = new_job(extension, tmp_path / "job", scene)
    scene.tempera.last_job = str(job.folder)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    session(extension).forget(job)
    (job.folder / "state.json").write_text('{"state": "running", "message": ""}')  # as a crash leaves it
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    known = session(extension).find(job.folder)
    assert (known.state, known.scene) == ("cancelled", bpy.context.scene)
    assert "Resume" in known.message
    bpy.ops.tempera.resume(folder=str(job.folder))
    assert known.state == "done"
    assert len(known.strip.elements) == len(FRAMES)


def test_a_job_whose_strip_was_never_saved_is_known_again(extension: str, tmp_path: Path) -> None:
    new_job(extension, tmp_path / "before", None)  # captured before the test's own file is there
    scene, blend = build_scene(), tmp_path / "project" / "shot.blend"
    blend.parent.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    place = blend.parent / "tempera"
    jobs = [new_job(extension, place / name, scene, blend=str(blend)) for name in ("Scene-001", "Scene-002")]
    new_job(extension, place / "Other-001", scene, blend=str(tmp_path / "other.blend"))
    new_job(extension, place / "Gone-001", None, blend=str(blend))
    session(extension).jobs.clear()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    known = session(extension).jobs
    assert [job.folder for job in known] == [job.folder for job in jobs]
    assert {job.scene for job in known} == {bpy.context.scene} and known[0].strip is None
    assert known[0].resume().wait() and len(known[0].strip.elements) == len(FRAMES)
    session(extension).jobs.clear()
    blend.parent.rename(tmp_path / "moved")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "shot.blend"))
    assert [job.folder.parent.parent.name for job in session(extension).jobs] == ["moved", "moved"]


def test_what_was_interrupted_in_a_file_that_was_never_saved_is_known_again(extension: str, module: Any) -> None:
    scene, place = build_scene(), module("preferences").jobs_folder()
    jobs = [new_job(extension, place / f"never-saved-{state}", scene, blend="") for state in ("done", "cancelled")]
    for job, state in zip(jobs, ("done", "running"), strict=True):  # the second as a crash leaves it
        (job.folder / "state.json").write_text(f'{{"state": "{state}", "message": ""}}')
        session(extension).forget(job)
    bpy.ops.wm.read_homefile(use_empty=True)
    known = {job.folder: job.message for job in session(extension).jobs}
    assert jobs[0].folder not in known and "Interrupted" in known[jobs[1].folder]
    for job in jobs:
        job.files.remove()


def test_a_job_whose_shot_is_damaged_does_not_hinder_the_others(extension: str, module: Any, tmp_path: Path) -> None:
    scene, blend = build_scene(), tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))
    bridge, place = module("backend.bridge.job"), tmp_path / "tempera"
    files = [captured_job(bridge, place / each, [1], [1], blend=str(blend), scene=scene.name) for each in "ab"]
    (files[0].shot_folder / "shot.json").write_text("")
    session(extension).jobs.clear()
    bpy.ops.wm.open_mainfile(filepath=str(blend))
    assert [job.folder for job in session(extension).jobs] == [files[1].folder]


def test_a_last_job_that_is_gone_does_not_hinder_opening(extension: str, tmp_path: Path) -> None:
    bpy.context.scene.tempera.last_job = str(tmp_path / "gone")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert session(extension).find(tmp_path / "gone") is None


def test_every_job_whose_strip_is_in_the_file_is_known_again(running: Any, extension: str, tmp_path: Path) -> None:
    assert running.wait()
    bpy.context.scene.tempera.last_job = ""  # as when another job came after it
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "later.blend"))
    session(extension).forget(running)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "later.blend"))
    known = session(extension).find(running.folder)
    assert (known.state, len(known.strip.elements)) == ("done", len(FRAMES))
