"""Jobs of files that were never saved are told with their size, and removed together when that is asked for."""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import bpy
import pytest
from sequencer_kit import captured_job
from session_kit import OPENS_A_JOB, session


@pytest.fixture
def place(module: Any) -> Path:
    return module("preferences").user_folder() / "jobs"


def rested(job: Any, days: float = 2.0) -> Path:
    then = time.time() - days * 86400
    os.utime(job.folder / "state.json", (then, then))
    return job.folder


def test_only_jobs_that_nothing_leads_to_are_told_and_removed(extension: str, module: Any, place: Path) -> None:
    bridge, here = module("backend.bridge.job"), module("operators.leftovers").current()
    session(extension).jobs.clear()

    def job(name: str, **source: str) -> Any:
        return captured_job(bridge, place / name, range(1, 3), [1], **source)

    kept = {rested(job("saved", blend="/there/shot.blend")), rested(job("young"), days=0.5)}
    known, held = job("known"), job("held")
    session(extension).add(known, None)
    left, own = rested(job("left")), rested(job("own"))
    (own / "notes.txt").write_text("the artist's")
    kept |= {rested(known), rested(held)}
    with held.locked():
        here.refresh()
        before = set(here.found)
        assert {left, own} <= before and not before & kept
        assert here.found[left] == sum(path.stat().st_size for path in left.rglob("*") if path.is_file())
        assert bpy.ops.tempera.remove_leftovers() == {"FINISHED"}
    assert not left.exists() and [path.name for path in own.iterdir()] == ["notes.txt"]
    assert all((folder / "frames" / "000001.png").is_file() for folder in kept)
    assert here.found == {} and not bpy.ops.tempera.remove_leftovers.poll()
    session(extension).jobs.clear()


def test_what_another_blender_has_open_is_no_leftover_however_long_it_rests(module: Any, place: Path) -> None:
    here, bridge = module("operators.leftovers").current(), module("backend.bridge.job")
    scene = bpy.context.scene.name
    files = captured_job(bridge, place / "elsewhere", range(1, 3), [1], blend="", scene=scene)
    files.write_state(bridge.State("cancelled"))
    rested(files)
    python = [bpy.app.binary_path, "-b", "--python-expr"] if bpy.app.binary_path else [sys.executable, "-c"]
    paths = [Path(pytest.__file__).parents[1], Path(__file__).parent, files.folder]
    other = subprocess.Popen(
        [*python, OTHER_BLENDER, "--", *map(str, paths)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    found = module("operators.file_events").Search.here
    try:
        assert any(line == b"open\n" for line in other.stdout)
        here.refresh()
        assert files.folder not in here.found
        assert files.folder not in [each.folder for each, _ in found().run()]
    finally:
        other.kill()  # with no chance to tidy up
        other.wait()
    here.refresh()
    assert files.folder in here.found
    assert files.folder in [each.folder for each, _ in found().run()]
    here.remove()
    assert not files.folder.exists()


OTHER_BLENDER = f"""{OPENS_A_JOB}
print("open", flush=True)
sys.stdin.read()
"""


def test_a_job_is_let_go_while_tempera_is_switched_off(extension: str, module: Any, tmp_path: Path) -> None:
    files = captured_job(module("backend.bridge.job"), tmp_path / "job", range(1, 3), [1], blend="")
    session(extension).add(files, None)
    tempera = importlib.import_module(extension)
    for _ in range(2):
        assert files.in_use
        tempera.unregister()
        try:
            assert not files.in_use and not list(files.folder.glob("open-*"))
        finally:
            tempera.register()
    assert files.in_use
    session(extension).jobs.pop().let_go()


def test_what_belongs_to_a_file_since_somebody_looked_is_kept(extension: str, module: Any, place: Path) -> None:
    here = module("operators.leftovers").current()
    files = captured_job(module("backend.bridge.job"), place / "saved later", range(1, 3), [1])
    rested(files)
    here.refresh()
    assert files.folder in here.found
    files.note_source(blend="/there/shot.blend")  # by another Blender
    here.remove()
    assert files.frame_path(1).is_file() and here.found == {}


def test_a_job_whose_strip_came_from_a_file_that_was_never_saved_belongs_to_the_one_that_has_it(
    extension: str, module: Any, place: Path, tmp_path: Path
) -> None:
    scene, bridge = bpy.context.scene, module("backend.bridge.job")
    files = captured_job(bridge, place / "pasted", range(1, 3), [1], blend="", scene="Elsewhere")
    module("operators.timeline").place(scene, files, range(1, 3), {1})
    session(extension).jobs.clear()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert bridge.Job.open(files.folder).source["blend"] == str(tmp_path / "shot.blend")
    session(extension).jobs.clear()


def test_saving_a_file_waits_for_no_folder_and_changes_none_that_knows_it(
    extension: str, module: Any, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene, bridge = bpy.context.scene, module("backend.bridge.job")
    homes = {"fresh": "", "other": "", "at home": str(tmp_path / "shot.blend")}
    jobs = {
        name: captured_job(bridge, place / f"of {name}", range(1, 3), [1], blend=blend, scene=scene.name)
        for name, blend in homes.items()
    }
    written: list[tuple[str, bool]] = []
    write = bridge.write_json

    def noted(path: Path, plain: Any) -> None:
        written.append((path.parent.name, threading.current_thread() is threading.main_thread()))
        write(path, plain)

    for files in jobs.values():
        session(extension).add(files, scene)
    monkeypatch.setattr(bridge, "write_json", noted)
    for _ in range(2):
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert sorted(written) == [("of fresh", False), ("of other", False)]
    for files in jobs.values():
        assert bridge.Job.open(files.folder).source["blend"] == str(tmp_path / "shot.blend")
        files.remove()
    session(extension).jobs.clear()


def test_a_job_belongs_to_its_file_once_that_is_saved(extension: str, module: Any, place: Path, tmp_path: Path) -> None:
    scene, bridge = bpy.context.scene, module("backend.bridge.job")
    files = captured_job(bridge, place / "first", range(1, 3), [1], blend="", scene=scene.name)
    job = session(extension).add(files, scene)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    assert bridge.Job.open(job.folder).source["blend"] == str(tmp_path / "shot.blend")
    session(extension).jobs.clear()
    rested(files)
    module("operators.leftovers").current().refresh()
    assert job.folder not in module("operators.leftovers").current().found


def test_a_job_on_a_drive_that_is_gone_can_be_forgotten(extension: str, module: Any, tmp_path: Path) -> None:
    files = captured_job(module("backend.bridge.job"), tmp_path / "job", range(1, 3), [1], blend="")
    job, here = session(extension).add(files, None), session(extension)
    assert files.in_use
    shutil.rmtree(files.folder)
    files.folder.write_bytes(b"")  # a path below which nothing can be removed
    here.forget(job)
    assert job not in here.jobs
