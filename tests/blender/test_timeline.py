"""Finished frames in the sequencer: rendered back they are the files on disk, at their frames, in their place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
import pytest
from sequencer_kit import captured_job, image_strip, picture, rendered, small_scene, write_png


@pytest.fixture
def timeline(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("operators.timeline")


@pytest.fixture
def versions(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("operators.versions")


@pytest.fixture
def bridge(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("backend.bridge.job")


def test_what_is_seen_is_what_is_on_disk(timeline: ModuleType, bridge: ModuleType, tmp_path: Path) -> None:
    scene = small_scene()
    job = captured_job(bridge, tmp_path / "Künstler 日本", range(5, 11), range(5, 11))
    strip = timeline.place(scene, job, range(5, 11), range(5, 11))
    assert (strip.blend_type, strip.select) == ("REPLACE", False)
    assert strip.colorspace_settings.name == "sRGB"
    assert (strip.transform.scale_x, strip.transform.scale_y) == (1.0, 1.0)
    for frame in range(5, 11):
        assert np.array_equal(rendered(scene, frame, tmp_path), picture(frame))
    assert not rendered(scene, 11, tmp_path).any()
    assert not rendered(scene, 4, tmp_path).any()


def test_a_strip_is_made_though_blenders_own_folder_was_cleaned_away(
    timeline: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene, temporary = small_scene(), Path(bpy.app.tempdir)
    job = captured_job(bridge, tmp_path / "job", [1], [1])
    shutil.rmtree(temporary)
    try:
        strip = timeline.place(scene, job, [1], [1])
    finally:
        temporary.mkdir()
    assert strip.elements[0].filename == job.frame_path(1).name
    assert np.array_equal(rendered(scene, 1, tmp_path), picture(1))


@pytest.mark.parametrize("alpha", [False, True])
def test_a_strip_is_as_blender_makes_it_though_no_picture_is_decoded_for_it(
    timeline: ModuleType, bridge: ModuleType, versions: ModuleType, tmp_path: Path, alpha: bool
) -> None:
    scene = small_scene()
    job = captured_job(bridge, tmp_path / "job", [1], [])
    path = job.frame_path(1)
    rgb = picture(1, 50, 30)
    image = bpy.data.images.new("made", 50, 30, alpha=alpha)
    image.pixels = np.dstack([rgb / 255, np.full((30, 50), 0.5 if alpha else 1.0)])[::-1].astype(np.float32).ravel()
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    whole = path.read_bytes()
    by_blender = versions.strips(scene.sequence_editor).new_image("made", str(path), 9, 1, fit_method="FIT")
    path.write_bytes(whole[: len(whole) // 2])  # what cannot be decoded
    strip = timeline.place(scene, job, [1], [1])
    path.write_bytes(whole)
    assert Path(strip.directory) == path.parent and strip.elements[0].filename == path.name

    def told(strip: object) -> dict[str, object]:
        names = ("alpha_mode", "directory", "use_flip_x", "color_saturation", "use_float")
        found = {name: getattr(strip, name) for name in names}
        found |= {name: getattr(strip.transform, name) for name in ("scale_x", "scale_y", "offset_x", "filter")}
        found |= {name: getattr(strip.elements[0], name) for name in ("filename", "orig_width", "orig_height")}
        return found | {"colours": strip.colorspace_settings.name, "handles": versions.handles(strip)}

    assert told(strip) == told(by_blender)
    assert list(Path(bpy.app.tempdir).glob("tempera-*/black.png")) == []


@pytest.mark.parametrize(("width", "height", "percentage"), [(64, 36, 50), (66, 34, 50), (128, 72, 25)])
def test_a_smaller_render_fills_the_picture(
    timeline: ModuleType, bridge: ModuleType, tmp_path: Path, width: int, height: int, percentage: int
) -> None:
    scene = small_scene()
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = width, height, percentage
    job = captured_job(bridge, tmp_path / "job", [1], [])
    image = picture(1, width * percentage // 100, height * percentage // 100)
    write_png(job.frame_path(1), image)
    timeline.place(scene, job, [1], [1])
    assert np.array_equal(rendered(scene, 1, tmp_path), image)
    render.resolution_percentage = 100
    near_corners = rendered(scene, 1, tmp_path)[[4, 4, -5, -5], [4, -5, 4, -5]]
    assert near_corners.any(axis=1).all()


def test_it_lies_above_its_source_with_the_same_handles(
    timeline: ModuleType, versions: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    source = image_strip(scene, tmp_path / "source", range(20, 26), channel=2)
    scene.sequence_editor.channels[3].lock = True
    image_strip(scene, tmp_path / "title", range(23, 30), channel=4, name="title")
    image_strip(scene, tmp_path / "before", range(10, 20), channel=5, name="before")
    job = captured_job(bridge, tmp_path / "job", range(20, 26), range(20, 26), strip="source")
    strip = timeline.place(scene, job, range(20, 26), range(20, 26))
    assert strip.channel == 5  # 3 is locked, 4 taken in part of the span, and 5 only before it
    assert versions.handles(strip) == versions.handles(source) == (20, 26)
    assert not source.mute


def test_inside_a_meta_it_lies_beside_its_source(
    timeline: ModuleType, versions: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    meta = versions.strips(scene.sequence_editor).new_meta("meta", 1, 1)
    source = image_strip(scene, tmp_path / "source", range(1, 5), channel=1)
    source.move_to_meta(meta)
    job = captured_job(bridge, tmp_path / "job", range(1, 5), range(1, 5), strip="source")
    strip = timeline.place(scene, job, range(1, 5), range(1, 5))
    assert strip.parent_meta() == meta
    assert strip.channel == 2
    assert timeline.find(scene, job) == [strip]


def test_no_free_channel_is_told(timeline: ModuleType, bridge: ModuleType, tmp_path: Path) -> None:
    scene = small_scene()
    for channel in scene.sequence_editor.channels:
        channel.lock = True
    job = captured_job(bridge, tmp_path / "job", [1, 2], [1])
    with pytest.raises(Exception, match="No channel is free from frame 1 to 2") as raised:
        timeline.place(scene, job, [1, 2], {1})
    assert type(raised.value).__name__ == "UserError"
    scene.sequence_editor.channels[128].lock = False
    assert timeline.place(scene, job, [1, 2], {1}).channel == 128


def test_it_grows_and_never_shows_a_frame_at_a_wrong_time(
    timeline: ModuleType, versions: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    frames = range(1, 6)
    job = captured_job(bridge, tmp_path / "job", frames, [])
    assert timeline.place(scene, job, frames, set()) is None
    write_png(job.frame_path(3), picture(3))
    assert timeline.place(scene, job, frames, {3}) is None  # its first file is not there yet
    write_png(job.frame_path(1), picture(1))
    strip = timeline.place(scene, job, frames, {1, 3})
    assert versions.handles(strip) == (1, 4)
    assert [int(np.array_equal(rendered(scene, frame, tmp_path), picture(frame))) for frame in (1, 2, 3)] == [1, 0, 1]
    assert np.array_equal(rendered(scene, 2, tmp_path), picture(1002))  # the source, at its own time
    for frame in (5, 2, 4):
        write_png(job.frame_path(frame), picture(frame))
    assert timeline.update(scene, job, frames, {1, 2, 3, 5}, {2, 5})
    assert versions.handles(strip) == (1, 6)
    assert np.array_equal(rendered(scene, 2, tmp_path), picture(2))
    assert np.array_equal(rendered(scene, 4, tmp_path), picture(1004))
    assert timeline.update(scene, job, frames, set(frames), {4})
    assert [element.filename for element in strip.elements] == [f"{frame:06d}.png" for frame in frames]
    assert np.array_equal(rendered(scene, 4, tmp_path), picture(4))


def test_a_frame_step_holds_each_frame(timeline: ModuleType, bridge: ModuleType, tmp_path: Path) -> None:
    scene = small_scene()
    frames = [-3, 0, 3]
    job = captured_job(bridge, tmp_path / "job", frames, frames)
    timeline.place(scene, job, frames, set(frames))
    seen = {frame: rendered(scene, frame, tmp_path) for frame in range(-3, 4)}
    for frame, shown in zip(range(-3, 4), (-3, -3, -3, 0, 0, 0, 3), strict=True):
        assert np.array_equal(seen[frame], picture(shown))


def test_a_new_run_is_shown_in_place(
    timeline: ModuleType, versions: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    frames = range(1, 4)
    job = captured_job(bridge, tmp_path / "job", frames, frames)
    strip = timeline.place(scene, job, frames, set(frames))
    for frame in frames:
        rendered(scene, frame, tmp_path)  # so that Blender holds the old pictures
    strip.name, strip.channel = "renamed", 9
    job.change(bridge.settings.from_keywords("exemplar", seed=8), {})
    timeline.update(scene, job, frames, set(), set())
    assert np.array_equal(rendered(scene, 2, tmp_path), picture(1002))
    for frame in frames:
        write_png(job.frame_path(frame), picture(frame + 50))
    assert timeline.update(scene, job, frames, set(frames), set(frames))
    assert (strip.channel, versions.handles(strip)) == (9, (1, 4))
    assert strip["tempera"]["seed"] == 8
    assert len(versions.all_strips(scene.sequence_editor)) == 1
    for frame in frames:
        assert np.array_equal(rendered(scene, frame, tmp_path), picture(frame + 50))


def test_a_single_frame_that_is_painted_anew_is_read_anew(
    timeline: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    job = captured_job(bridge, tmp_path / "job", [1], [1])
    timeline.place(scene, job, [1], {1})
    assert np.array_equal(rendered(scene, 1, tmp_path), picture(1))
    write_png(job.frame_path(1), picture(2))
    timeline.update(scene, job, [1], {1}, {1})
    assert np.array_equal(rendered(scene, 1, tmp_path), picture(2))


def test_a_strip_that_grows_into_another_moves_up(
    timeline: ModuleType, versions: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    frames = range(1, 6)
    job = captured_job(bridge, tmp_path / "job", frames, frames)
    strip = timeline.place(scene, job, frames, {1})
    title = image_strip(scene, tmp_path / "title", range(4, 8), channel=1, name="title")
    timeline.update(scene, job, frames, {1, 2, 3}, {2, 3})
    assert (strip.channel, title.channel) == (1, 1)
    timeline.update(scene, job, frames, set(frames), {4, 5})
    assert (strip.channel, title.channel) == (2, 1)
    assert (versions.handles(strip), versions.handles(title)) == ((1, 6), (4, 8))


def test_the_strip_keeps_its_job_through_save_and_load(
    timeline: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    job = captured_job(bridge, tmp_path / "tempera" / "job", [1, 2, 3], [1, 3])
    timeline.place(scene, job, [1, 2, 3], {1, 3})
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    scene = bpy.context.scene
    (strip,) = timeline.find(scene, job)
    note = strip["tempera"]
    assert (note["id"], note["folder"], note["seed"], note["method"]) == ("job", str(job.folder), 7, "exemplar")
    assert note["exemplar"]["patch_size"] == 5
    write_png(job.frame_path(2), picture(2))
    timeline.update(scene, job, [1, 2, 3], {1, 2, 3}, {2})
    for frame in (1, 2, 3):
        assert np.array_equal(rendered(scene, frame, tmp_path), picture(frame))


def test_cut_in_two_both_halves_follow(
    timeline: ModuleType, versions: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    job = captured_job(bridge, tmp_path / "job", range(1, 7), range(1, 7))
    strip = timeline.place(scene, job, range(1, 7), set(range(1, 7)))
    strip.split(4, "SOFT")
    job.change(bridge.settings.from_keywords("exemplar", seed=8), {})
    for frame in range(1, 7):
        write_png(job.frame_path(frame), picture(frame + 50))
    timeline.update(scene, job, range(1, 7), set(range(1, 7)), set(range(1, 7)))
    assert sorted(versions.handles(half) for half in timeline.find(scene, job)) == [(1, 4), (4, 7)]
    for frame in range(1, 7):
        assert np.array_equal(rendered(scene, frame, tmp_path), picture(frame + 50))


def test_undo_takes_the_strip_away_in_one_step(
    timeline: ModuleType, bridge: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    bpy.ops.ed.undo_push(message="before")
    job = captured_job(bridge, tmp_path / "job", [1, 2], [1, 2])
    timeline.place(scene, job, [1, 2], {1, 2})
    bpy.ops.ed.undo()
    assert timeline.find(bpy.context.scene, job) == []
    bpy.ops.ed.redo()
    assert len(timeline.find(bpy.context.scene, job)) == 1
