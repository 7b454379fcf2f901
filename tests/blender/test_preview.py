"""A look before the run: the frame as the run will make it, from a shot that is there or from one that is captured."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import numpy as np
import pytest
from sequencer_kit import captured_job, image_strip, picture, read_png, small_scene, write_png
from session_kit import FRAMES, build_scene, captured_shot, drive, new_job, painted_keys, session


@pytest.fixture(autouse=True)
def no_jobs_before(extension: str) -> None:
    session(extension).jobs.clear()
    session(extension).list_jobs()
    session(extension).drop_preview()


@pytest.fixture
def scene(extension: str, tmp_path: Path) -> bpy.types.Scene:
    """Four frames, the first of them painted; the playhead is at the third."""
    made = build_scene((1, 4))
    bpy.ops.tempera.add_key(filepath=str(painted_keys()[FRAMES[0]]), frame=1)
    made.frame_set(3)
    return made


def image_pixels(name: str) -> np.ndarray:
    image = bpy.data.images[name]
    width, height = image.size
    return np.array(image.pixels).reshape(height, width, -1)[::-1]


def test_the_frame_at_the_playhead_is_captured_and_painted_as_the_run_will(
    scene: bpy.types.Scene, extension: str
) -> None:
    assert bpy.ops.tempera.preview() == {"FINISHED"}
    preview = session(extension).preview
    assert (preview.state, [path.stem for path in preview.frames]) == ("done", ["000003"])
    assert sorted(path.stem for path in preview.files.shot_folder.glob("beauty/*.png")) == ["000001", "000003"]
    shown = read_png(preview.files.preview_picture)[..., :3]
    np.testing.assert_allclose(image_pixels("Tempera Preview")[..., :3] * 255, shown, atol=0.01)
    source = read_png(preview.files.shot_folder / "beauty" / "000003.png")[..., :3]
    np.testing.assert_allclose(image_pixels("Tempera Source")[..., :3] * 255, source, atol=0.01)
    assert bpy.ops.tempera.compare(look="WIPE") == {"FINISHED"}
    assert bpy.context.window_manager.tempera.compare == "WIPE"
    assert session(extension).jobs == [] and len(bpy.context.window_manager.tempera.jobs) == 0


def test_a_captured_shot_is_looked_at_without_rendering_and_gives_the_runs_own_frame(
    scene: bpy.types.Scene, extension: str
) -> None:
    bpy.ops.tempera.stylize_render()
    job = session(extension).jobs[0]
    assert bpy.ops.tempera.preview(three=True) == {"FINISHED"}
    preview = session(extension).preview
    assert not any(preview.files.shot_folder.iterdir())
    assert [path.stem for path in preview.frames] == ["000001", "000003", "000004"]
    for path in preview.frames:
        np.testing.assert_allclose(read_png(path), read_png(job.files.frame_path(int(path.stem))), atol=2)
    height, width = read_png(job.frames[0]).shape[:2]
    assert read_png(preview.files.preview_picture).shape[:2] == (height, 3 * width)


@pytest.mark.parametrize("method", ["rerender", "synchronized", "tokenflow", "diffsynth"])
def test_where_frames_are_made_to_agree_a_captured_shot_gives_the_runs_own_picture(
    extension: str, module: Any, tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    captured_shot(extension)  # leaves an empty file open
    scene = build_scene()
    job = new_job(extension, tmp_path / "job", scene, blend="", strip="")
    run = module("backend.bridge.settings").from_keywords(method, prompt="an oil painting of boxes", steps=4, seed=3)
    assert module("operators.stylize").restyle(job, run, {}).wait()
    look = module("operators.preview")
    preview = look.preview(scene, run, {}, [6])
    assert preview.wait() and preview.files.source["whole"]
    (path,) = preview.frames
    assert path.read_bytes() == job.files.frame_path(6).read_bytes()
    monkeypatch.setattr(look, "PATIENCE", 0.0)  # as on a slow machine
    preview = look.preview(scene, run, {}, [6])
    assert preview.wait() and not preview.files.source["whole"]
    assert [path.name for path in preview.frames] == ["000006.png"]
    preview = look.preview(scene, run, {}, [6], whole=True)
    assert preview.wait() and preview.files.source["whole"]
    assert preview.frames[0].read_bytes() == job.files.frame_path(6).read_bytes()


def test_the_runs_own_picture_is_had_by_itself_where_runs_here_were_quick(
    extension: str, module: Any, tmp_path: Path
) -> None:
    captured_shot(extension)  # leaves an empty file open
    scene, look = build_scene(), module("operators.preview")
    job = new_job(extension, tmp_path / "job", scene, blend="", strip="")
    settings = module("backend.bridge.settings")
    run = settings.from_keywords("synchronized", prompt="boxes", model="/of/this/test")
    told = look.outlook(scene, run)
    assert told.cost is None and told.soon and told.captured and 0 < told.evaluations <= look.AFFORDABLE
    long = settings.from_keywords("tokenflow", prompt="boxes", model="/of/this/test", steps=50)
    assert not look.outlook(scene, long).soon and look.outlook(scene, long).evaluations > look.AFFORDABLE
    costs, width = session(extension).costs, module("operators.render_tools").frame_size(scene)[0]
    report = {"size": [width, width], "memory": 1 << 30, "frames_made_in_this_run": len(FRAMES)}
    pixels = width / module("operators.render_tools").frame_size(scene)[1]
    for seconds, soon in ((look.PATIENCE * 1.1, False), (look.PATIENCE * 0.9, True)):
        for each in (run, long):
            taken = {"seconds": seconds * pixels, "evaluations": each.evaluations(len(FRAMES))}
            costs.learn(each, report | taken)
            told = look.outlook(scene, each)
            assert (told.soon, told.cost.seconds) == (soon, pytest.approx(seconds))
    scene.frame_end += 1  # another shot than the one that the job has
    told = look.outlook(scene, run)
    assert not told.soon and not told.captured
    assert look.captured_job(scene, [6]) is job and look.captured_job(scene, FRAMES, whole=True) is job
    scene.frame_end -= 1
    assert look.outlook(scene, run).captured
    scene.render.resolution_percentage //= 2  # another size
    assert not look.outlook(scene, run).captured and look.captured_job(scene, [6]) is None


def test_the_runs_own_picture_is_had_on_demand_before_any_run(
    extension: str, module: Any, tmp_path: Path
) -> None:
    scene = build_scene((1, 4))
    scene.tempera.method, scene.tempera.synchronized.key_every = "synchronized", 2
    scene.tempera.diffusion.prompt, scene.tempera.diffusion.steps = "an oil painting of boxes", 4
    scene.frame_set(3)
    assert bpy.ops.tempera.preview(whole=True) == {"FINISHED"}
    preview = session(extension).preview
    assert preview.files.source["whole"] and len(list(preview.files.shot_folder.glob("beauty/*.png"))) == 4
    assert bpy.ops.tempera.stylize_render() == {"FINISHED"}
    (job,) = session(extension).jobs
    assert [path.read_bytes() for path in preview.frames] == [job.files.frame_path(3).read_bytes()]


def test_a_strip_is_looked_at_where_the_playhead_is(extension: str, module: Any, tmp_path: Path) -> None:
    scene = small_scene()
    strip = image_strip(scene, tmp_path / "source", range(5, 12), channel=1)
    key = write_png(tmp_path / "key.png", picture(7))
    run = module("backend.bridge.settings").from_keywords("exemplar")
    preview = module("operators.preview").preview(strip, run, {7: key}, [7])
    assert preview.wait()
    assert np.array_equal(read_png(preview.files.preview_picture)[..., :3], picture(7)[..., :3])
    assert [path.stem for path in preview.files.shot_folder.glob("beauty/*.png")] == ["000007"]


def test_a_strip_that_was_moved_since_it_was_captured_is_not_looked_at_by_its_old_frames(
    extension: str, module: Any, tmp_path: Path
) -> None:
    scene, look = small_scene(), module("operators.preview")
    strip = image_strip(scene, tmp_path / "source", range(5, 12), channel=1)
    origin = module("operators.stylize").origin_of(strip)
    files = captured_job(module("backend.bridge.job"), tmp_path / "job", range(5, 12), [], **origin)
    job = session(extension).add(files, scene)
    assert look.captured_job(strip, [7]) == job
    module("operators.versions").move_to(strip, 7)
    assert look.captured_job(strip, [7]) is None
    session(extension).jobs.clear()


def test_a_strip_is_known_as_captured_under_a_new_name_and_not_with_other_speeds(
    extension: str, module: Any, tmp_path: Path
) -> None:
    scene, look, shot = small_scene(), module("operators.preview"), range(5, 12)
    strip = image_strip(scene, tmp_path / "source", shot, channel=1)
    module("operators.following").mark(strip)
    origin = module("operators.stylize").origin_of(strip)
    bridge = module("backend.bridge.job")
    job = session(extension).add(captured_job(bridge, tmp_path / "job", shot, [], **origin), scene)
    strip.name = "Take 7"
    assert look.captured_job(strip, shot, whole=True) is job
    image_strip(scene, tmp_path / "another", shot, channel=3)  # with the name that it had
    other = next(each for each in module("operators.versions").strips(scene.sequence_editor) if each != strip)
    assert other.name == "source" and look.captured_job(other, shot, whole=True) is None
    session(extension).jobs.clear()
    retimed = origin | {"timing": [7.0, 19.0]}
    session(extension).add(captured_job(bridge, tmp_path / "retimed", shot, [], **retimed), scene)
    assert look.captured_job(strip, shot, whole=True) is None
    session(extension).jobs.clear()


def test_a_preview_goes_before_jobs_that_wait_and_the_next_one_takes_its_place(
    extension: str, tmp_path: Path, module: Any
) -> None:
    captured_shot(extension)  # leaves an empty file open
    scene = build_scene()
    jobs = [new_job(extension, tmp_path / name, scene, blend="", strip="") for name in ("one", "two")]
    for job in jobs:
        job.resume()
    drive(jobs[0], lambda: bool(jobs[0].frames))
    make = module("operators.preview").preview
    run = jobs[0].files.settings
    first = make(scene, run, painted_keys(), [5])
    second = make(scene, run, painted_keys(), [6])
    assert not first.folder.exists() and not first.active
    drive(second, lambda: second.state == "done")
    assert jobs[1].state in {"ready", "running"} and jobs[1].frames == []
    assert [path.stem for path in second.frames] == ["000006"]
    for job in jobs:
        job.cancel()
        job.wait()


def test_a_preview_is_cancelled_and_switching_off_leaves_nothing(
    scene: bpy.types.Scene, extension: str, module: Any
) -> None:
    run = scene.tempera.settings()
    preview = module("operators.preview").preview(scene, run, scene.tempera.key_paths(), [2])
    drive(preview, lambda: preview.note != "")
    bpy.ops.tempera.cancel(folder=str(preview.folder))
    assert preview.wait() and preview.state == "cancelled"
    folder = preview.folder
    bpy.ops.preferences.addon_disable(module=extension)
    assert not folder.exists() and not list(Path(bpy.app.tempdir).glob("tempera-preview*"))
    bpy.ops.preferences.addon_enable(module=extension)


def test_each_button_tells_what_it_does(module: Any) -> None:
    operator = module("operators.preview").TEMPERA_OT_preview
    choices = [{"three": False, "whole": False}, {"three": True, "whole": False}, {"three": False, "whole": True}]
    told = [operator.description(bpy.context, SimpleNamespace(**each)) for each in choices]
    assert told[0] == operator.bl_description and told[1].startswith("Paint the first, the middle and the last frame")
    assert "as it was captured last" in told[2]


def test_what_is_missing_is_said(scene: bpy.types.Scene) -> None:
    scene.frame_set(9)
    with pytest.raises(RuntimeError, match="Frame 9 is not in the shot"):
        bpy.ops.tempera.preview()
    scene.tempera.keys.clear()
    with pytest.raises(RuntimeError, match="There is no key frame"):
        bpy.ops.tempera.preview()
