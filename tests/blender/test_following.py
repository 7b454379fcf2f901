"""Where a source strip is moved, trimmed or cut, its result is too; one that was moved away by itself stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from sequencer_kit import captured_job, effect, image_strip, picture, rendered, small_scene, trim
from session_kit import session

SHOT = range(10, 30)


@pytest.fixture
def versions(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("operators.versions")


@pytest.fixture
def source(tmp_path: Path) -> Any:
    return image_strip(small_scene(), tmp_path / "source", SHOT, channel=1)


@pytest.fixture
def job(source: Any, module: Callable[[str], ModuleType], tmp_path: Path) -> Any:
    """A job of the source, all of whose frames are finished."""
    at = list(module("operators.following").place_of(source))
    return captured_job(module("backend.bridge.job"), tmp_path / "job", SHOT, SHOT, strip="source", at=at)


@pytest.fixture
def result(job: Any, module: Callable[[str], ModuleType]) -> Any:
    return module("operators.timeline").place(bpy.context.scene, job, SHOT, set(SHOT))


@pytest.fixture
def settle(extension: str) -> Callable[[], None]:
    """Let the depsgraph tell what changed, and the session's timer do what is due."""

    def settled() -> None:
        bpy.context.view_layer.update()
        session(extension).tick()

    return settled


def pieces(scene: bpy.types.Scene, timeline: ModuleType, job: Any, versions: ModuleType) -> list[tuple[int, int]]:
    return sorted(versions.handles(each) for each in timeline.find(scene, job))


def test_it_is_moved_and_trimmed_as_its_source_is(
    source: Any, result: Any, versions: ModuleType, settle: Callable[[], None], tmp_path: Path
) -> None:
    versions.move_to(source, 50)
    settle()
    assert versions.handles(result) == (50, 70)
    trim(source, 3, 5)
    settle()
    assert versions.handles(result) == versions.handles(source) == (53, 65)
    assert np.array_equal(rendered(bpy.context.scene, 53, tmp_path), picture(13))
    trim(source, -8, -9)  # beyond what was made: there the source is seen
    settle()
    assert (versions.handles(source), versions.handles(result)) == ((45, 74), (50, 70))
    trim(source, 8, 0)
    versions.move_to(source, 0)
    settle()
    assert versions.handles(result) == (3, 20)
    assert np.array_equal(rendered(bpy.context.scene, 7, tmp_path), picture(17))


def test_it_is_cut_where_its_source_is_and_each_piece_follows_its_own(
    source: Any, result: Any, job: Any, versions: ModuleType, module: Any, settle: Callable[[], None], tmp_path: Path
) -> None:
    scene, timeline = bpy.context.scene, module("operators.timeline")
    second = source.split(16, "SOFT")
    third = second.split(22, "SOFT")
    settle()
    assert pieces(scene, timeline, job, versions) == [(10, 16), (16, 22), (22, 30)]
    versions.move_to(third, content(third, versions) + 100)
    trim(second, 1, 0)
    settle()
    assert pieces(scene, timeline, job, versions) == [(10, 16), (17, 22), (122, 130)]
    assert np.array_equal(rendered(scene, 125, tmp_path), picture(25))
    assert np.array_equal(rendered(scene, 17, tmp_path), picture(17))
    assert np.array_equal(rendered(scene, 16, tmp_path), np.zeros_like(picture(0)))


def test_a_source_without_contents_is_trimmed_moved_and_cut_alike(
    versions: ModuleType, module: Any, settle: Callable[[], None], tmp_path: Path
) -> None:
    scene, timeline = small_scene(), module("operators.timeline")
    source = effect(versions.strips(scene.sequence_editor), "COLOR", 1, 10, 20, ())
    at = list(module("operators.following").place_of(source))
    job = captured_job(module("backend.bridge.job"), tmp_path / "job", SHOT, SHOT, strip=source.name, at=at)
    timeline.place(scene, job, SHOT, set(SHOT))
    trim(source, 3, 0)
    settle()
    assert pieces(scene, timeline, job, versions) == [(13, 30)]
    assert np.array_equal(rendered(scene, 13, tmp_path), picture(13))
    versions.trim_to(source, 13, 25)
    source.split(20, "SOFT")
    settle()
    assert pieces(scene, timeline, job, versions) == [(13, 20), (20, 25)]
    versions.move_to(source, 40)
    settle()
    assert (40, 47) in pieces(scene, timeline, job, versions)
    assert np.array_equal(rendered(scene, 41, tmp_path), picture(14))


def test_cut_both_at_once_each_piece_finds_its_own(
    source: Any, result: Any, job: Any, versions: ModuleType, module: Any, settle: Callable[[], None]
) -> None:
    scene, timeline = bpy.context.scene, module("operators.timeline")
    second = source.split(16, "SOFT")
    result.split(16, "SOFT")
    settle()
    assert pieces(scene, timeline, job, versions) == [(10, 16), (16, 30)]
    versions.move_to(second, content(second, versions) + 40)
    trim(source, 0, 2)
    settle()
    assert pieces(scene, timeline, job, versions) == [(10, 14), (56, 70)]


def test_what_the_artist_moved_by_itself_or_locked_stays_and_moved_together_is_not_moved_twice(
    source: Any, result: Any, versions: ModuleType, settle: Callable[[], None]
) -> None:
    for strip in (source, result):
        versions.move_to(strip, 20)
    settle()
    assert versions.handles(result) == (20, 40)
    versions.trim_to(result, 25, 40)  # a part alone: its left handle is the artist's from now on
    settle()
    trim(source, 2, 3)
    settle()
    assert versions.handles(result) == (25, 37)
    result.lock = True
    versions.move_to(source, 30)
    settle()
    assert versions.handles(result) == (25, 37)
    result.lock = False
    settle()
    assert versions.handles(result) == (35, 47)
    versions.move_to(result, 100)
    versions.move_to(source, 0)
    settle()
    assert content(result, versions) == 100


def test_it_keeps_its_channel_and_covers_no_other_strip(
    source: Any, result: Any, versions: ModuleType, settle: Callable[[], None], tmp_path: Path
) -> None:
    title = image_strip(bpy.context.scene, tmp_path / "title", range(45, 60), channel=2, name="title")
    versions.move_to(source, 30)
    settle()
    assert (result.channel, title.channel, versions.handles(result)) == (3, 2, (30, 50))
    versions.move_to(source, 60)
    settle()
    assert (result.channel, versions.handles(result)) == (3, (60, 80))


def test_a_strip_that_gets_the_name_of_a_source_that_is_gone_takes_no_result_along(
    source: Any, result: Any, versions: ModuleType, settle: Callable[[], None], tmp_path: Path
) -> None:
    scene = bpy.context.scene
    versions.strips(scene.sequence_editor).remove(source)
    settle()
    image_strip(scene, tmp_path / "other", range(70, 75), channel=1)
    settle()
    assert versions.handles(result) == (10, 30)


def test_a_source_is_known_by_whatever_name_it_has(
    source: Any, result: Any, job: Any, versions: ModuleType, module: Any, settle: Callable[[], None]
) -> None:
    source.name = "Take 7"
    versions.move_to(source, 50)  # before anyone looked: Blender tells nobody of names
    settle()
    assert versions.handles(result) == (50, 70)
    second = source.split(60, "SOFT")
    settle()
    source.name, second.name = "first half", "second half"
    settle()
    versions.move_to(second, content(second, versions) + 100)
    settle()
    assert pieces(bpy.context.scene, module("operators.timeline"), job, versions) == [(50, 60), (160, 170)]
    second.name = "source"  # as the whole was called once
    trim(source, 1, 0)
    settle()
    assert pieces(bpy.context.scene, module("operators.timeline"), job, versions) == [(51, 60), (160, 170)]


@pytest.mark.parametrize("kept_by", ["lock", "speeds", "place"])
def test_what_does_not_follow_just_now_learns_names_all_the_same(
    kept_by: str, source: Any, result: Any, job: Any, versions: ModuleType, module: Any, settle: Callable[[], None]
) -> None:
    settle()
    bond = json.loads(result["tempera_source"])
    if kept_by == "lock":
        result.lock = True
    elif kept_by == "speeds":
        result["tempera_source"] = json.dumps(bond | {"timing": [99.0]})
    else:
        versions.move_to(result, 100)
    source.name = "Take 7"
    settle()
    second = source.split(16, "SOFT")
    settle()
    result.lock = False
    if kept_by == "speeds":
        result["tempera_source"] = json.dumps(json.loads(result["tempera_source"]) | {"timing": bond["timing"]})
    versions.move_to(result, 10)
    versions.move_to(second, content(second, versions) + 40)
    settle()
    assert pieces(bpy.context.scene, module("operators.timeline"), job, versions)[0][0] == 10
    versions.move_to(source, 0)
    settle()
    assert pieces(bpy.context.scene, module("operators.timeline"), job, versions)[0][0] == 0


def test_a_job_knows_its_source_among_pieces_and_copies_by_the_names_that_they_had(
    source: Any, versions: ModuleType, module: Any
) -> None:
    scene, following = bpy.context.scene, module("operators.following")
    following.mark(source)
    piece = source.split(20, "SOFT")
    noted = following.standing_of(piece)
    assert (noted["strip"], noted["others"]) == (piece.name, ["source"])
    piece.name = "Take 7"
    assert following.source_of(scene, noted) == piece
    versions.strips(scene.sequence_editor).remove(piece)
    assert following.source_of(scene, noted) is None


def test_a_copy_of_a_source_is_another_strip(
    source: Any, result: Any, versions: ModuleType, settle: Callable[[], None], tmp_path: Path, module: Any
) -> None:
    copy = image_strip(bpy.context.scene, tmp_path / "copy", range(80, 100), channel=1, name="source.001")
    copy["tempera_mark"] = source["tempera_mark"]  # as Blender does where it is duplicated
    settle()
    versions.move_to(copy, 200)
    settle()
    assert versions.handles(result) == (10, 30)
    versions.strips(bpy.context.scene.sequence_editor).remove(source)
    settle()
    assert versions.handles(result) == (10, 30)


def test_what_nobody_wrote_is_no_bond(source: Any, result: Any, versions: ModuleType, settle: Any) -> None:
    kept = json.loads(result["tempera_source"])
    wrong = [{"lag": "x"}, {"channel": "seven"}, {"mark": ["a"]}, {"timing": 3}, {"at": [float("nan"), 10, 30]}]
    for spoilt in (5, "[]", '{"at": [1, 2, 3]}', {"strip": "source"}, *(json.dumps(kept | each) for each in wrong)):
        result["tempera_source"] = spoilt
        versions.move_to(source, content(source, versions) + 10)
        settle()
        assert versions.handles(result) == (10, 30) and "tempera_source" not in result


def test_a_source_in_another_channel_never_covers_its_result(
    source: Any, result: Any, versions: ModuleType, settle: Callable[[], None], tmp_path: Path
) -> None:
    source.channel = 5
    settle()
    assert (result.channel, versions.handles(result)) == (6, (10, 30))
    assert np.array_equal(rendered(bpy.context.scene, 12, tmp_path), picture(12))
    source.channel = 1
    settle()
    assert result.channel == 6  # it covers it still
    image_strip(bpy.context.scene, tmp_path / "title", range(25, 60), channel=8, name="title")
    source.channel = 7
    versions.move_to(source, 30)
    settle()
    assert (result.channel, versions.handles(result)) == (9, (30, 50))
    result.channel = 2  # the artist wants to see the source
    settle()
    assert result.channel == 2
    source.channel = 4
    settle()
    assert result.channel == 2


def test_a_source_that_was_given_other_speeds_leaves_its_result_alone_and_that_is_told(
    source: Any, result: Any, job: Any, versions: ModuleType, settle: Callable[[], None], extension: str, tmp_path: Path
) -> None:
    known = session(extension).add(job, bpy.context.scene)
    settle()
    assert known.message == ""
    retime(source, "retiming_key_add", timeline_frame=20)
    retime(source, "retiming_segment_speed_set", speed=50.0)
    versions.move_to(source, 12)
    settle()
    assert versions.handles(source)[0] == 12 and versions.handles(source)[1] > 36
    assert versions.handles(result) == (10, 30)
    assert known.message == "source was given other speeds since. Choose Render Again to have a result that fits."
    versions.move_to(source, 40)
    retime(source, "retiming_reset")
    settle()
    assert (versions.handles(source), versions.handles(result), known.message) == ((40, 60), (40, 60), "")
    session(extension).jobs.clear()


def retime(strip: Any, operator: str, **values: float) -> None:
    """Give ``strip`` other speeds by one of Blender's operators, which want a sequencer."""
    window = bpy.context.window_manager.windows[0]
    area = window.screen.areas[0]
    area.type = "SEQUENCE_EDITOR"
    if hasattr(bpy.context.workspace, "sequencer_scene"):
        window.workspace.sequencer_scene = strip.id_data
    strip.id_data.sequence_editor.active_strip = strip
    strip.select = True
    with bpy.context.temp_override(window=window, area=area, region=area.regions[-1]):
        assert getattr(bpy.ops.sequencer, operator)(**values) == {"FINISHED"}


def test_a_source_that_gets_more_pictures_has_its_speeds_still(
    source: Any, result: Any, job: Any, versions: ModuleType, settle: Callable[[], None], extension: str
) -> None:
    known = session(extension).add(job, bpy.context.scene)
    for name in ("000010.png", "000011.png"):  # as a result does, too, that is stylized while it is made
        source.elements.append(name)
    trim(source, 2, -2)
    settle()
    versions.move_to(source, 50)
    second = source.split(60, "HARD")
    settle()
    assert known.message == "" and versions.handles(source) == (52, 60) and versions.handles(second)[0] == 60
    assert versions.handles(result) == (52, 60)
    session(extension).jobs.clear()


def test_a_job_goes_on_with_a_source_that_was_renamed(
    source: Any, versions: ModuleType, module: Any, extension: str, tmp_path: Path, capfd: Any
) -> None:
    scene, stylize = bpy.context.scene, module("operators.stylize")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    job = stylize.stylize(source, module("backend.bridge.settings").from_keywords("deflicker"), {})
    job.cancel()
    source.name = "Take 7"
    image_strip(scene, tmp_path / "another", range(40, 45), channel=1)  # with the name that the source had
    assert job.resume().wait()
    assert job.files.source["strip"] == "Take 7" and job.shot_frames == tuple(SHOT)
    again = stylize.rerun(job)
    again.cancel()
    assert again.files.source["strip"] == "Take 7" and job.strip.channel == 2
    source.split(12, "SOFT").name = "rest"
    versions.strips(scene.sequence_editor).remove(source)
    capfd.readouterr()
    assert bpy.ops.tempera.rerun(folder=str(job.folder)) == {"FINISHED"}
    assert "No strip is called Take 7 any more. rest is rendered" in capfd.readouterr().out
    session(extension).jobs.clear()


def test_a_shot_that_is_captured_anew_lies_where_its_source_is_by_then(
    source: Any, versions: ModuleType, module: Any, extension: str, tmp_path: Path
) -> None:
    scene, stylize = bpy.context.scene, module("operators.stylize")
    settings = module("backend.bridge.settings").from_keywords("exemplar")
    files = stylize.make_files(tmp_path / "job", settings, stylize.origin_of(source), {})
    job = session(extension).add(files, scene).resume()
    job.cancel()
    versions.move_to(source, 50)
    job.resume().cancel()
    frames = range(*versions.handles(source))
    result = module("operators.timeline").place(scene, type(files).open(files.folder), frames, {50})
    assert versions.handles(result) == (50, 51)
    session(extension).jobs.clear()


def test_undo_takes_both_back(
    source: Any, result: Any, job: Any, versions: ModuleType, module: Any, settle: Callable[[], None]
) -> None:
    timeline = module("operators.timeline")
    bpy.ops.ed.undo_push(message="before")
    versions.move_to(source, 50)
    bpy.ops.ed.undo_push(message="Move")  # as after the artist's own: what follows, follows later
    settle()
    bpy.ops.ed.undo()
    settle()
    assert pieces(bpy.context.scene, timeline, job, versions) == [(10, 30)]
    bpy.ops.ed.redo()
    settle()
    assert pieces(bpy.context.scene, timeline, job, versions) == [(50, 70)]


def test_a_source_moved_while_its_job_runs_is_found_where_it_is(
    source: Any, job: Any, versions: ModuleType, module: Any
) -> None:
    timeline, scene = module("operators.timeline"), bpy.context.scene
    versions.move_to(source, 40)
    trim(source, 0, 6)
    result = timeline.place(scene, job, SHOT, {10, 11})
    assert versions.handles(result) == (40, 42)
    timeline.update(scene, job, SHOT, set(SHOT), set(SHOT))
    assert versions.handles(result) == versions.handles(source) == (40, 54)


def content(strip: Any, versions: ModuleType) -> float:
    return versions.content_start(strip)
