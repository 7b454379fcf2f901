"""What can be asked about a job: how consistent it is, where it changes, which frames to paint. By a real worker."""

from __future__ import annotations

import importlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from capture_probe import SIZE
from sequencer_kit import picture, read_png, rendered, write_png
from session_kit import FRAMES, build_scene, captured_shot, drive, new_job, session


@pytest.fixture(autouse=True)
def no_jobs_before(extension: str) -> None:
    session(extension).jobs.clear()


@pytest.fixture
def scene(extension: str) -> bpy.types.Scene:
    captured_shot(extension)  # leaves an empty file open
    return build_scene()


def finished_job(extension: str, folder: Path, scene: bpy.types.Scene, first_picture: int = 1) -> Any:
    """A job whose frames are noise: no two alike."""
    job = new_job(extension, folder, scene)
    for frame in FRAMES:
        write_png(job.files.frame_path(frame), picture(first_picture + frame, *SIZE))
    job.take_stock()
    job.enter("done")
    return job


def frame_by_frame_job(extension: str, module: Any, folder: Path, scene: bpy.types.Scene) -> Any:
    job = finished_job(extension, folder, scene, first_picture=500)
    job.files.settings = module("backend.bridge.settings").from_keywords("framewise", prompt="a fox")
    return job


def cells(job: Any) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in job.numbers}


def test_a_job_is_measured_and_shown_while_the_window_stays_alive(
    scene: bpy.types.Scene, extension: str, tmp_path: Path
) -> None:
    job = finished_job(extension, tmp_path / "job", scene)
    job.measure()
    assert job.active and job.state == "done" and not job.numbers  # only asked
    seen = set()
    while not job.wait(timeout=0.0):
        seen.add((job.note, job.progress))
    assert {note for note, _ in seen} >= {"Comparing frames", "Drawing heat maps"}
    assert len({share for _, share in seen}) > 3
    assert (job.state, job.message, job.files.state.state) == ("done", "", "done")
    change = cells(job)["Change"]
    assert all(0.1 < float(value) < 1.0 for value in change)  # noise changes everywhere
    assert set(cells(job)) == {"", "Change", "Detail"}  # nothing to compare with
    measured = json.loads(job.files.measure_path.read_text())
    job.files.measure_path.write_text(json.dumps(measured | {"clip": {"clip_t": 0.31, "tem_con": None}}))
    answers = importlib.import_module(f"{extension}.operators.answers")
    assert answers.numbers(job.files)[-2:] == (("Fits the Prompt", "0.310"), ("Frames Alike", "-"))


def test_the_frame_by_frame_job_of_the_shot_is_compared_with(
    scene: bpy.types.Scene, extension: str, module: Any, tmp_path: Path
) -> None:
    against = frame_by_frame_job(extension, module, tmp_path / "against", scene)
    job = finished_job(extension, tmp_path / "job", scene)
    assert bpy.ops.tempera.measure(folder=str(job.folder)) == {"FINISHED"}
    measured = module("backend.bridge.job").read_json(job.files.measure_path)
    assert measured["against"] == against.name
    shown = cells(job)
    assert shown["Ratio"] == tuple(f"{measured['ratio'][key]:.3f}" for key in ("1", "8", "first-last", "sigma"))
    assert float(shown["Consistency"][0]) == pytest.approx(measured["consistency"], abs=0.0005)
    assert shown["Consistency"][1] == "at a cost to the look"
    session(extension).jobs.remove(against)
    assert bpy.ops.tempera.measure(folder=str(job.folder)) == {"FINISHED"}
    assert "Ratio" not in cells(job)


def test_the_heat_map_lies_above_the_result_and_is_drawn_anew_in_place(
    scene: bpy.types.Scene, extension: str, module: Any, tmp_path: Path
) -> None:
    job = finished_job(extension, tmp_path / "job", scene)
    with pytest.raises(RuntimeError, match="is not measured yet"):
        bpy.ops.tempera.show_heat_map()
    bpy.ops.tempera.show_result()
    bpy.ops.tempera.measure()
    assert bpy.ops.tempera.show_heat_map() == {"FINISHED"}
    timeline = module("operators.timeline")
    (strip,) = timeline.find(scene, job.files, timeline.HEAT_MAP)
    assert strip.channel == job.strip.channel + 1
    for frame in (FRAMES[0], FRAMES[-1]):
        assert np.array_equal(rendered(scene, frame, tmp_path), read_png(job.folder / "heatmap" / f"{frame:06d}.png"))
    write_png(job.folder / "heatmap" / "000001.png", picture(77, *SIZE))
    bpy.ops.tempera.show_heat_map()
    assert np.array_equal(rendered(scene, 1, tmp_path), picture(77, *SIZE))
    assert timeline.find(scene, job.files, timeline.HEAT_MAP) == [strip]
    bpy.ops.tempera.remove_job(folder=str(job.folder))
    assert module("operators.versions").all_strips(scene.sequence_editor) == []


def test_keys_are_suggested_and_known_again_after_a_new_start(
    scene: bpy.types.Scene, extension: str, tmp_path: Path
) -> None:
    job = new_job(extension, tmp_path / "job", scene)
    assert bpy.ops.tempera.suggest_keys(most=3) == {"FINISHED"}
    assert job.suggestion.startswith("2 key frames cover ") and job.suggestion.endswith(" % of the shot: 1, 12.")
    assert (job.state, job.files.state.state, job.frames) == ("new", "new", [])
    session(extension).jobs.clear()
    assert session(extension).add(job.files, scene).suggestion == job.suggestion


def test_a_contact_sheet_is_written(scene: bpy.types.Scene, extension: str, tmp_path: Path) -> None:
    job, target = finished_job(extension, tmp_path / "job", scene), tmp_path / "sheet.png"
    assert bpy.ops.tempera.contact_sheet(filepath=str(target)) == {"FINISHED"}
    shown = read_png(target)
    first = read_png(job.files.frame_path(FRAMES[0]))
    height, width = first.shape[:2]
    assert shown.shape[:2] == (4 * (height + 4) + 4, 3 * (width + 4) + 4)
    assert np.array_equal(shown[height + 8 : 2 * height + 8, 4 : 4 + width], first)  # below its source
    assert job.state == "done"
    with pytest.raises(RuntimeError, match="cannot be written"):
        bpy.ops.tempera.contact_sheet(filepath=str(tmp_path / "nowhere" / "sheet.png"))


def test_a_run_that_begins_anew_is_measured_no_more(scene: bpy.types.Scene, extension: str, tmp_path: Path) -> None:
    job = finished_job(extension, tmp_path / "job", scene)
    job.measure().wait()
    key = write_png(tmp_path / "key.png", picture(3, *SIZE))
    bpy.ops.tempera.add_key(filepath=str(key), frame=1)
    assert job.numbers and bpy.ops.tempera.restyle() == {"FINISHED"}
    assert job.numbers == () and not job.files.measure_path.exists()


def test_what_cannot_be_answered_is_said_and_changes_nothing(
    scene: bpy.types.Scene, extension: str, tmp_path: Path
) -> None:
    job = new_job(extension, tmp_path / "job", scene)
    with pytest.raises(RuntimeError, match="is not finished"):
        bpy.ops.tempera.measure()
    done = finished_job(extension, tmp_path / "done", scene)
    done.frames[3].unlink()
    with pytest.raises(RuntimeError, match="has 11 of 12 frames"):
        bpy.ops.tempera.measure(folder=str(done.folder))
    assert (done.state, done.numbers) == ("done", ()) and "11 of 12" in done.message
    job.enter("failed", "The disk is full.")
    assert job.suggest_keys(1).wait()
    assert (job.state, job.message) == ("failed", "The disk is full.")


def test_questions_wait_for_runs_and_can_be_cancelled(scene: bpy.types.Scene, extension: str, tmp_path: Path) -> None:
    run = new_job(extension, tmp_path / "run", scene).resume()
    asked = finished_job(extension, tmp_path / "asked", scene).measure()
    dropped = finished_job(extension, tmp_path / "dropped", scene).measure()
    for refused in (asked.resume, asked.measure, asked.suggest_keys):
        with pytest.raises(Exception, match="is running"):
            refused()
    drive(run, lambda: bool(run.frames))
    assert asked.note == "" and run.state == "running"
    dropped.cancel()
    assert not dropped.active
    assert asked.wait() and run.state == "done"
    assert asked.numbers and not dropped.numbers
    asked.measure()
    drive(asked, lambda: asked.progress > 0.1)
    asked.cancel()
    assert asked.stopping
    assert asked.wait()
    assert (asked.state, asked.message, asked.stopping) == ("done", "", False)


def test_a_worker_killed_over_a_question_leaves_the_job_done(
    scene: bpy.types.Scene, extension: str, tmp_path: Path
) -> None:
    job = finished_job(extension, tmp_path / "job", scene).measure()
    drive(job, lambda: job.progress > 0.1)
    os.kill(session(extension)._worker._process.pid, signal.SIGKILL)
    with pytest.raises(Exception, match="stopped unexpectedly"):
        job.wait()
    assert (job.state, job.files.state.state, job.active) == ("done", "done", False)
    assert job.measure().wait() and job.numbers
