"""Jobs of one Blender: cancelled, killed, queued and resumed, by real processes, they end like an unbroken run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from sequencer_kit import read_png, rendered
from session_kit import (
    FRAMES,
    OPENS_A_JOB,
    build_scene,
    contents,
    drive,
    new_job,
    painted_keys,
    session,
    some_frames,
    unbroken,
)

ROOT = Path(__file__).resolve().parents[2]


def worker_pid(extension: str) -> int:
    return session(extension)._worker._process.pid


def gone(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return False
    return True


def test_frames_reach_the_sequencer_while_the_rest_runs(extension: str, tmp_path: Path) -> None:
    expected = unbroken(extension)
    scene = build_scene()
    job = new_job(extension, tmp_path / "job", scene).resume()
    lengths = set()
    while not job.wait(timeout=0.0):
        lengths.add(len(job.strip.elements) if job.strip else 0)
    assert lengths & set(range(1, len(FRAMES)))
    assert contents(job) == expected
    assert (job.state, job.message, job.progress) == ("done", "", 1.0)
    for frame in FRAMES:
        seen = rendered(scene, frame, tmp_path)
        assert np.array_equal(seen, read_png(job.files.frame_path(frame)))


def test_what_goes_wrong_in_the_sequencer_stops_no_run(
    extension: str, tmp_path: Path, module: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, here = new_job(extension, tmp_path / "job", build_scene()), session(extension)

    def broken(*_: Any) -> None:
        raise TypeError("a strip that nobody thought of")

    for place, name in (("following", "follow"), ("timeline", "place")):
        monkeypatch.setattr(module(f"operators.{place}"), name, broken)
    job.resume()
    here.look_after_strips()
    timer, end = module("operators.session")._timer, time.monotonic() + 90
    while job.active:
        assert time.monotonic() < end
        timer()  # which is never called again once it raises
        time.sleep(0.02)
    assert (job.state, contents(job)) == ("done", unbroken(extension))
    assert capsys.readouterr().err.count("a strip that nobody thought of") >= 2
    assert "could not be brought up to date (a strip that nobody thought of)" in job.message
    monkeypatch.undo()
    bpy.ops.tempera.show_result(folder=str(job.folder))
    assert job.strip is not None and job.message == ""


def test_run_again_shows_every_old_frame_until_it_is_made_anew(
    extension: str, tmp_path: Path, module: Any
) -> None:
    scene = build_scene()
    job = new_job(extension, tmp_path / "job", scene).resume()
    assert job.wait()
    before = contents(job)
    swapped = dict(zip(painted_keys(), reversed(painted_keys().values()), strict=True))
    module("operators.stylize").restyle(job, job.files.settings, swapped)
    drive(job, some_frames(job))
    made = {path.name for path in job.frames}
    assert [element.filename for element in job.strip.elements] == sorted(before)
    assert {path.name: path.read_bytes() for path in job.files.frames_folder.iterdir() if path.name not in made} == {
        name: content for name, content in before.items() if name not in made
    }
    job.cancel()
    assert job.wait() and job.progress < 1 and job.resume().wait()
    assert sorted(contents(job)) == sorted(before) and contents(job) != before
    assert not any(job.files.outdated_folder.iterdir())
    for frame in FRAMES:
        assert np.array_equal(rendered(scene, frame, tmp_path), read_png(job.files.frame_path(frame)))


def test_a_killed_worker_is_told_and_a_new_one_goes_on(extension: str, tmp_path: Path) -> None:
    expected = unbroken(extension)
    job = new_job(extension, tmp_path / "job", build_scene()).resume()
    drive(job, some_frames(job))
    os.kill(worker_pid(extension), signal.SIGKILL)
    with pytest.raises(Exception, match="stopped unexpectedly"):
        job.wait()
    assert (job.state, job.files.state.state) == ("failed", "failed")
    before = {path: path.stat().st_mtime_ns for path in job.frames}
    assert 2 <= len(before) < len(FRAMES)
    assert job.resume().wait()
    assert contents(job) == expected
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(job.strip.elements) == len(FRAMES)


def test_cancel_stops_the_worker_and_resume_goes_on(extension: str, tmp_path: Path) -> None:
    expected = unbroken(extension)
    job = new_job(extension, tmp_path / "job", build_scene()).resume()
    drive(job, some_frames(job))
    pid = worker_pid(extension)
    job.cancel()
    assert job.stopping
    assert job.wait()
    assert job.state == "cancelled"
    assert len(job.frames) < len(FRAMES)
    assert job.resume().wait()
    assert contents(job) == expected
    assert worker_pid(extension) == pid  # kept warm


def test_a_render_gets_the_machine_and_the_job_goes_on_after_it(
    extension: str, module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = unbroken(extension)
    job = new_job(extension, tmp_path / "job", build_scene()).resume()
    drive(job, some_frames(job))
    pid = worker_pid(extension)
    monkeypatch.setattr(module("operators.session"), "rendering", lambda: True)  # in background none is a job
    drive(job, lambda: session(extension)._worker is None)
    assert job.active and job.state == "ready"
    end = time.monotonic() + 20
    while not gone(pid):
        assert time.monotonic() < end
        time.sleep(0.01)
    monkeypatch.undo()
    assert job.wait() and job.state == "done"
    assert contents(job) == expected


def test_a_second_cancel_stops_at_once(extension: str, tmp_path: Path) -> None:
    unbroken(extension)  # captures the shot, in a file of its own
    job = new_job(extension, tmp_path / "job", build_scene()).resume()
    drive(job, some_frames(job))
    pid = worker_pid(extension)
    os.kill(pid, signal.SIGSTOP)  # a step that never ends
    job.cancel()
    job.cancel()
    assert job.wait() and job.state == job.files.state.state == "cancelled"
    assert gone(pid) and "Resume to go on" in job.message
    assert job.resume().wait()


def test_a_second_cancel_after_the_worker_is_done_with_the_job_harms_no_other(
    extension: str, module: Any, tmp_path: Path
) -> None:
    scene, timer = build_scene(), module("operators.session")._timer
    job, other = (new_job(extension, tmp_path / name, scene).resume() for name in ("one", "other"))
    drive(job, some_frames(job))
    job.cancel()
    end = time.monotonic() + 60
    while job.files.state.state != "cancelled" or job.files.held:  # which this Blender does not hear of meanwhile
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)  # the worker tells it
    job.cancel()
    while other.active:
        assert time.monotonic() < end + 60
        timer()
        time.sleep(0.02)
    assert (job.state, other.state, other.message) == ("cancelled", "done", "")
    assert contents(other) == unbroken(extension)


@pytest.mark.parametrize("by", ["switched off", "an error of Tempera's own"])
def test_a_worker_that_takes_long_to_end_is_waited_for(
    by: str, extension: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, here = unbroken(extension), session(extension)
    job = new_job(extension, tmp_path / "job", build_scene()).resume()
    drive(job, some_frames(job))
    pid, kill = worker_pid(extension), os.killpg
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().split()[2] != "T":
        time.sleep(0.01)
    monkeypatch.setattr(os, "killpg", lambda *_: None)  # giving back much memory takes a while
    here.close() if by == "switched off" else here.fail(by)
    monkeypatch.undo()
    assert not job.active
    job.resume()
    assert not job.wait(timeout=0.5) and job.state == "ready"
    assert here._worker is None and not gone(pid) and "the last worker to end" in job.note
    kill(pid, signal.SIGKILL)
    assert job.wait() and job.state == "done"
    assert contents(job) == expected


def test_cancel_while_capturing_ends_the_child_and_resume_captures(extension: str, tmp_path: Path) -> None:
    scene = build_scene((1, 3))
    files = make_uncaptured(extension, tmp_path / "job", scene)
    job = session(extension).add(files, scene).resume()
    drive(job, lambda: any(files.shot_folder.glob("beauty/*.png")))
    child = job._capture._process.pid
    job.cancel()
    assert (job.state, job.files.state.state) == ("cancelled", "cancelled")
    assert gone(child)
    with pytest.raises(RuntimeError, match="is not whole yet"):
        bpy.ops.tempera.restyle(folder=str(job.folder))
    assert job.resume().wait()
    assert len(job.frames) == 3


def make_uncaptured(extension: str, folder: Path, scene: bpy.types.Scene) -> object:
    import importlib

    bridge = importlib.import_module(f"{extension}.backend.bridge.job")
    run = bridge.settings.from_keywords("exemplar")
    files = bridge.Job.create(folder, "job", run, {"id": "x", "scene": scene.name, "frames": [1, 2, 3]})
    files.add_key(1, painted_keys()[1])
    return files


def test_jobs_wait_for_each_other_and_share_one_worker(extension: str, tmp_path: Path) -> None:
    scene = build_scene()
    jobs = [new_job(extension, tmp_path / name, scene) for name in ("one", "two", "three")]
    for job in jobs:
        job.resume()
    drive(jobs[0], some_frames(jobs[0]))
    pid = worker_pid(extension)
    assert [job.state for job in jobs] == ["running", "ready", "ready"]
    assert jobs[0].elapsed > 0.0 and [job.elapsed for job in jobs[1:]] == [0.0, 0.0]  # waiting takes no time
    jobs[1].cancel()
    assert jobs[2].wait()
    assert [job.state for job in jobs] == ["done", "cancelled", "done"]
    assert jobs[1].frames == []
    assert worker_pid(extension) == pid
    channels = {job.strip.channel for job in jobs if job.strip}
    assert channels == {1, 2}


def test_two_blenders_do_not_run_one_job(extension: str, tmp_path: Path) -> None:
    job = new_job(extension, tmp_path / "job", build_scene())
    other = subprocess.Popen([sys.executable, "-c", HOLD, str(job.folder)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Exception, match="already running"):
            job.resume().wait()
    finally:
        other.kill()
        other.wait()
    assert job.resume().wait()


HOLD = """
import sys, time, pathlib
from backend.bridge.job import Job
with Job.open(pathlib.Path(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_when_blender_is_killed_the_worker_leaves_and_the_job_goes_on_elsewhere(
    extension: str, tmp_path: Path
) -> None:
    expected = unbroken(extension)
    scene = build_scene()
    job = new_job(extension, tmp_path / "job", scene)
    python = [bpy.app.binary_path, "-b", "--python-expr"] if bpy.app.binary_path else [sys.executable, "-c"]
    paths = [Path(pytest.__file__).parents[1], Path(__file__).parent, job.folder]
    blender = subprocess.Popen([*python, OTHER_BLENDER, "--", *map(str, paths)], stdout=subprocess.PIPE)
    pid = next(int(line.split()[1]) for line in blender.stdout if line.startswith(b"worker"))
    blender.kill()
    blender.wait()
    end = time.monotonic() + 20
    while not gone(pid):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert 2 <= len(job.frames) < len(FRAMES)
    assert job.resume().wait()
    assert contents(job) == expected


OTHER_BLENDER = f"""{OPENS_A_JOB}
session_kit.drive(job.resume(), session_kit.some_frames(job))
print("worker", session._worker._process.pid, flush=True)
sys.stdin.read()
"""
