"""The operators as an artist or a script calls them: what they do, and the sentence that they refuse with."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from capture_probe import SIZE
from sequencer_kit import image_strip, picture, read_png, rendered, small_scene, write_png
from session_kit import build_scene, painted_keys, session


@pytest.fixture(autouse=True)
def no_jobs_before(extension: str) -> None:
    session(extension).jobs.clear()


@pytest.fixture
def shot(tmp_path: Path) -> bpy.types.Scene:
    """Four frames in a saved file, with a key."""
    scene = build_scene((1, 4))
    shutil.copy(painted_keys()[1], tmp_path / "first.png")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.tempera.add_key(filepath="//first.png", frame=1)
    return scene


def last_job(extension: str) -> Any:
    return session(extension).jobs[-1]


def refused(sentence: str) -> contextlib.AbstractContextManager[Any]:
    return pytest.raises(RuntimeError, match=sentence)


def test_a_render_becomes_a_strip_and_undo_takes_it_away_in_one_step(
    shot: bpy.types.Scene, extension: str, tmp_path: Path
) -> None:
    bpy.ops.ed.undo_push(message="before")
    assert bpy.ops.tempera.stylize_render() == {"FINISHED"}
    job = last_job(extension)
    assert (job.state, job.name) == ("done", "Scene-001")
    assert shot.tempera.last_job == str(job.folder)
    for frame in range(1, 5):
        assert np.array_equal(rendered(shot, frame, tmp_path), read_png(job.files.frame_path(frame)))
    bpy.ops.ed.undo()
    assert job.strip is None
    bpy.ops.ed.redo()
    assert job.wait()
    assert len(job.strip.elements) == 4


def test_selected_strips_become_strips_in_one_run(extension: str, tmp_path: Path) -> None:
    scene = small_scene()
    sources = [
        image_strip(scene, tmp_path / "a", range(1, 4), channel=1, name="a"),
        image_strip(scene, tmp_path / "b", range(4, 7), channel=1, name="b"),
        image_strip(scene, tmp_path / "c", range(7, 9), channel=1, name="c"),
    ]
    sources[2].select = False
    for frame in (2, 5):
        key = write_png(tmp_path / f"{frame}.png", picture(frame))
        bpy.ops.tempera.add_key(filepath=str(key), frame=frame)
    assert bpy.ops.tempera.stylize_strips() == {"FINISHED"}
    first, second = session(extension).jobs
    assert (first.files.source["strip"], second.files.source["strip"]) == ("a", "b")
    assert [first.files.key_frames(), second.files.key_frames()] == [[2], [5]]
    assert {first.strip.channel, second.strip.channel} == {2}
    assert np.array_equal(rendered(scene, 2, tmp_path), picture(2))
    assert np.array_equal(rendered(scene, 5, tmp_path), picture(5))
    assert np.array_equal(rendered(scene, 8, tmp_path), picture(1008))


def test_of_several_strips_those_before_one_that_cannot_be_taken_are_done(extension: str, tmp_path: Path) -> None:
    scene = small_scene()
    first = image_strip(scene, tmp_path / "a", range(1, 4), channel=1, name="a")
    second = image_strip(scene, tmp_path / "b", range(11, 14), channel=1, name="b")
    first.select = second.select = True
    for frame in (1, 11):
        bpy.ops.tempera.add_key(filepath=str(write_png(tmp_path / f"{frame}.png", picture(frame))), frame=frame)
    shutil.rmtree(tmp_path / "b")
    with refused("b has lost"):
        bpy.ops.tempera.stylize_strips()
    assert [(job.files.source["strip"], job.state) for job in session(extension).jobs] == [("a", "done")]


def test_a_job_that_cannot_be_begun_leaves_no_folder(extension: str, module: Any, tmp_path: Path) -> None:
    run = module("backend.bridge.settings").from_keywords("exemplar")
    with pytest.raises(Exception, match="is missing or cannot be read"):
        module("operators.stylize").make_files(tmp_path / "jobs" / "job", run, {}, {1: tmp_path / "gone.png"})
    assert list((tmp_path / "jobs").iterdir()) == []


def test_run_again_takes_the_new_key_without_rendering(shot: bpy.types.Scene, extension: str, tmp_path: Path) -> None:
    bpy.ops.tempera.stylize_render()
    job = last_job(extension)
    strip, rendered_at = job.strip.name, (job.files.shot_folder / "shot.json").stat().st_mtime_ns
    write_png(tmp_path / "other.png", picture(77, *SIZE))
    bpy.ops.tempera.remove_key(frame=1)
    bpy.ops.tempera.add_key(filepath=str(tmp_path / "other.png"), frame=4)
    shot.tempera.exemplar.patch_size = 7
    assert bpy.ops.tempera.restyle() == {"FINISHED"}
    assert session(extension).jobs == [job]
    assert (job.files.shot_folder / "shot.json").stat().st_mtime_ns == rendered_at
    assert job.strip.name == strip
    assert job.strip["tempera"]["exemplar"]["patch_size"] == 7
    assert job.files.key_frames() == [4]
    assert np.array_equal(rendered(shot, 4, tmp_path), picture(77, *SIZE))


def test_render_again_makes_a_new_job_of_the_scene_as_it_is_now(shot: bpy.types.Scene, extension: str) -> None:
    shot.tempera.exemplar.patch_size = 7
    bpy.ops.tempera.stylize_render()
    first = last_job(extension)
    shot.tempera.exemplar.patch_size = 9
    shot.objects["Turning"].hide_render = True
    assert bpy.ops.tempera.rerun(folder=str(first.folder)) == {"FINISHED"}
    again = last_job(extension)
    assert again is not first and again.state == "done"
    assert again.files.settings == first.files.settings
    assert again.files.key_frames() == [1]
    beauty = [job.files.shot_folder / "beauty" / "000003.png" for job in (first, again)]
    assert not np.array_equal(read_png(beauty[0]), read_png(beauty[1]))
    assert bpy.ops.tempera.copy_settings(folder=str(first.folder)) == {"FINISHED"}
    assert shot.tempera.exemplar.patch_size == 7


def test_jobs_are_listed_the_newest_first_with_their_picture_and_what_they_cost(
    shot: bpy.types.Scene, extension: str
) -> None:
    session(extension)._costs = None
    bpy.ops.tempera.stylize_render()
    bpy.ops.tempera.stylize_render()
    older, newer = session(extension).jobs
    window = bpy.context.window_manager.tempera
    assert [item.folder for item in window.jobs] == [str(newer.folder), str(older.folder)]
    assert window.active == 0
    window.active = 1
    assert session(extension).thumbnails._icons[str(older.folder)].image_size[0] > 0  # no icons in background
    assert older.motion[0] == "Exact for 2 of 2 objects."
    assert older.elapsed > 0 and older.remaining is None
    cost = session(extension).costs.of(shot, shot.tempera.settings(), 8)
    report = older.files.report_path.read_text()
    assert cost.seconds > 0 and cost.gigabytes > 0 and '"memory"' in report
    assert session(extension).costs.of(shot, shot.tempera.settings(), 16).seconds == pytest.approx(2 * cost.seconds)
    shot.tempera.method = "framewise"
    assert session(extension).costs.of(shot, shot.tempera.settings(), 8) is None
    bpy.ops.tempera.remove_job(folder=str(older.folder))
    assert [item.folder for item in window.jobs] == [str(newer.folder)]


def test_an_idle_worker_is_let_go_when_asked(shot: bpy.types.Scene, extension: str) -> None:
    bpy.ops.tempera.stylize_render()
    assert session(extension).idle
    assert bpy.ops.tempera.free_memory() == {"FINISHED"}
    with refused("Nothing is held"):
        bpy.ops.tempera.free_memory()
    bpy.ops.tempera.resume()
    assert last_job(extension).state == "done"


def test_a_job_is_removed_with_its_strip_and_folder(shot: bpy.types.Scene, extension: str) -> None:
    bpy.ops.tempera.stylize_render()
    job = last_job(extension)
    assert bpy.ops.tempera.remove_job(folder=str(job.folder)) == {"FINISHED"}
    assert not job.folder.exists()
    assert job.strip is None
    assert session(extension).jobs == []
    with refused("holds no job"):
        bpy.ops.tempera.resume(folder=str(job.folder))


def test_a_job_whose_folder_is_gone_can_be_removed(shot: bpy.types.Scene, extension: str) -> None:
    bpy.ops.tempera.stylize_render()
    job = last_job(extension)
    shutil.rmtree(job.folder)
    assert bpy.ops.tempera.remove_job(folder=str(job.folder)) == {"FINISHED"}
    assert (job.strip, session(extension).jobs) == (None, [])


def test_a_failure_is_one_sentence_in_the_report(shot: bpy.types.Scene, extension: str, tmp_path: Path) -> None:
    write_png(tmp_path / "first.png", picture(1, 9, 5))
    with refused(r"^Error: The key of frame 1 is 9 x 5 pixels, the shot \d+ x \d+\. Paint it at the shot's size\.\n$"):
        bpy.ops.tempera.stylize_render()
    assert session(extension).jobs == []


def test_a_worker_that_cannot_start_is_told_before_the_shot_is_rendered(
    shot: bpy.types.Scene, extension: str, module: Any, tmp_path: Path
) -> None:
    preferences = module("preferences").preferences()
    preferences.worker_python = str(tmp_path / "gone")
    try:
        with refused("There is no Python at"):
            bpy.ops.tempera.stylize_render()
    finally:
        preferences.worker_python = ""


def test_what_is_missing_is_said_by_poll() -> None:
    scene = small_scene()
    with refused("There is no key frame in the shot"):
        bpy.ops.tempera.stylize_render()
    scene.tempera.keys.add().frame = 1
    with refused("The key of frame 1 has no picture yet"):
        bpy.ops.tempera.stylize_render()
    scene.tempera.keys[0].filepath = __file__
    with refused("The scene has no camera"):
        bpy.ops.tempera.stylize_render()
    with refused("No strip is selected"):
        bpy.ops.tempera.stylize_strips()


@pytest.mark.parametrize(
    "name",
    [
        "cancel", "resume", "restyle", "rerun", "copy_settings", "show_result", "remove_job", "measure",
        "show_heat_map", "suggest_keys", "contact_sheet",
    ],
)
def test_without_a_job_there_is_nothing_to_do(name: str) -> None:
    with refused("There is no job yet"):
        getattr(bpy.ops.tempera, name)()


def test_keys_are_kept_in_order_one_for_each_frame() -> None:
    scene = bpy.context.scene
    scene.frame_set(5)
    for frame in (9, 2):
        bpy.ops.tempera.add_key(filepath=f"/{frame}.png", frame=frame)
    bpy.ops.tempera.add_key(filepath="/here.png")
    bpy.ops.tempera.add_key(filepath="/better.png", frame=9)
    assert [(key.frame, key.filepath) for key in scene.tempera.keys] == [
        (2, "/2.png"), (5, "/here.png"), (9, "/better.png"),
    ]  # fmt: skip
    bpy.ops.tempera.remove_key(frame=5)
    assert [key.frame for key in scene.tempera.keys] == [2, 9]
    with refused("Frame 5 has no key"):
        bpy.ops.tempera.remove_key(frame=5)


def test_every_operator_explains_itself() -> None:
    names = [name for name in dir(bpy.ops.tempera) if not name.startswith("_")]
    assert len(names) >= 10
    for name in names:
        rna = getattr(bpy.ops.tempera, name).get_rna_type()
        assert len(rna.description) > 20, name
        for prop in rna.properties:
            assert prop.identifier in {"rna_type", "filter_glob"} or prop.description, (name, prop)
