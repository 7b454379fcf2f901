"""What artists do to a file before or while a job runs: each ends in one sentence, or goes on rightly."""

from __future__ import annotations

import functools
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from capture_probe import SIZE
from sequencer_kit import image_strip, read_png, small_scene
from session_kit import FRAMES, build_scene, drive, new_job, painted_keys, session, some_frames


@pytest.fixture
def tempera(extension: str) -> ModuleType:
    """Tempera as scripts see it, with no job yet."""
    session(extension).jobs.clear()
    return importlib.import_module(extension)


@pytest.fixture
def footage(tmp_path: Path) -> tuple[bpy.types.Scene, Any]:
    """A saved scene with a strip of six pictures."""
    scene = small_scene()
    strip = image_strip(scene, tmp_path / "in", range(1, 7), 1)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "cut.blend"))
    return scene, strip


def refused(sentence: str) -> Any:
    return pytest.raises(Exception, match=sentence)


def handles(strip: Any) -> tuple[int, int]:
    new = hasattr(strip, "left_handle")
    return (strip.left_handle, strip.right_handle) if new else (strip.frame_final_start, strip.frame_final_end)


def strips_of(owner: Any) -> Any:
    return owner.strips if hasattr(owner, "strips") else owner.sequences


def test_the_button_for_a_missing_camera_mends_it(tempera: ModuleType) -> None:
    assert tempera.__name__
    scene = bpy.context.scene

    def told() -> list[str]:
        return [problem.operator for problem in scene.tempera.render_problems() if "camera" in problem.text]

    assert told() == ["tempera.add_camera"]
    bpy.ops.tempera.add_camera()
    made = scene.camera
    assert not told() and made.name in scene.objects
    scene.camera = None
    bpy.ops.tempera.add_camera()
    assert scene.camera == made and len(bpy.data.cameras) == 1
    made.data.type = "PANO"  # its motion cannot be followed
    bpy.ops.tempera.add_camera()
    assert scene.camera != made and scene.camera.data.type == "PERSP"


def test_a_linked_scene_is_refused_since_its_strip_could_not_be_saved(tempera: ModuleType, tmp_path: Path) -> None:
    build_scene((1, 3)).name = "Shot"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "library.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, wanted):
        wanted.scenes = ["Shot"]
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    linked, sentence = bpy.data.scenes["Shot"], "Shot is linked from library.blend.*Open that file, or"
    with refused(sentence):
        tempera.stylize(linked, method="exemplar", keys={1: painted_keys()[1]})
    assert not (tmp_path / "tempera").exists()
    assert "Shot is linked" in linked.tempera.render_problems()[0].text
    with bpy.context.temp_override(scene=linked):
        for change in (bpy.ops.tempera.add_object, bpy.ops.tempera.add_key, bpy.ops.tempera.add_camera):
            assert not change.poll()
            with refused("Shot is linked from another file. Open that file to change it."):
                change()
        assert not linked.tempera.objects
    assert bpy.ops.tempera.add_object.poll()
    with bpy.context.temp_override(scene=linked), refused(sentence):
        bpy.ops.tempera.stylize_render()
    own = bpy.context.scene
    own.render.resolution_x, own.render.resolution_y = SIZE
    scene_strip = strips_of(own.sequence_editor_create()).new_scene("Shot", linked, 1, 1)
    job = tempera.stylize(scene_strip, method="exemplar", keys={1: painted_keys()[1]})
    job.wait()
    assert job.state == "done" and job.strip.id_data == own


def test_a_scene_renamed_during_its_job_is_known_again_when_the_file_is_opened(
    extension: str, tmp_path: Path
) -> None:
    new_job(extension, tmp_path / "before", None)  # captured before the test's own file is there
    scene = build_scene()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    job = new_job(extension, tmp_path / "job", scene).resume()
    drive(job, some_frames(job))
    scene.name = "Another name"
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.revert_mainfile()
    job.wait()
    assert job.scene == bpy.data.scenes["Another name"]
    assert len(job.strip.elements) == len(FRAMES)


def test_a_scene_deleted_during_its_job_loses_no_frame(extension: str, tmp_path: Path) -> None:
    new_job(extension, tmp_path / "before", None)
    scene = build_scene()
    job = new_job(extension, tmp_path / "job", scene).resume()
    drive(job, some_frames(job))
    bpy.data.scenes.new("Other")
    bpy.data.scenes.remove(scene)
    job.wait()
    assert (job.state, len(job.frames), job.strip) == ("done", len(FRAMES), None)
    with refused("is not in this file"):
        bpy.ops.tempera.rerun(folder=str(job.folder))


def test_each_job_is_of_the_scene_as_it_was_when_it_was_started(tempera: ModuleType, tmp_path: Path) -> None:
    scene = build_scene((1, 3))
    scene.name = "Shot"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    start = functools.partial(tempera.stylize, scene, method="exemplar", keys={1: painted_keys()[1]})
    first, second = start(), start()
    scene.objects["Turning"].hide_render = True
    third = start()
    bpy.data.scenes.new("Other")
    bpy.data.scenes.remove(scene)
    assert all(job.wait() for job in (first, second, third))
    beauty = [read_png(job.files.shot_folder / "beauty" / "000002.png") for job in (first, second, third)]
    assert np.array_equal(beauty[0], beauty[1]) and not np.array_equal(beauty[1], beauty[2])
    assert second.state == "done" and len(second.frames) == 3 and second.strip is None


def test_a_scene_deleted_before_it_is_captured_is_told(tempera: ModuleType, tmp_path: Path) -> None:
    scene = build_scene((1, 3))
    scene.name = "Shot"
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    job = tempera.stylize(scene, method="exemplar", keys={1: painted_keys()[1]})
    job.cancel()
    bpy.data.scenes.new("Other")
    bpy.data.scenes.remove(scene)
    with refused("Shot is not in this file. Open the file of Shot-001, then resume."):
        job.resume()
    assert job.state == "failed" and "Open the file of Shot-001" in job.message


def test_a_capture_that_meets_what_nobody_thought_of_can_be_begun_again(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any]
) -> None:
    job = tempera.stylize(footage[1], method="deflicker")
    drive(job, lambda: job.progress > 0)
    job.cancel()
    (job.files.shot_folder / "shot.json").unlink(missing_ok=True)  # where the child was through by then
    asked = job.files.shot_folder / "request.json"
    kept = asked.read_text()
    told = json.loads(kept)
    asked.write_text(json.dumps({name: told[name] for name in told if name != "name"}))
    with pytest.raises(KeyError):
        job.resume()
    asked.write_text(kept)
    assert job.resume().wait() and job.state == "done"


@pytest.mark.parametrize("left", ["", "{", "[]"])
def test_a_capture_whose_note_was_spoilt_by_a_power_cut_begins_anew(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any], left: str
) -> None:
    job = tempera.stylize(footage[1], method="deflicker")
    drive(job, lambda: job.progress > 0)
    job.cancel()
    (job.files.shot_folder / "shot.json").unlink(missing_ok=True)
    (job.files.shot_folder / "request.json").write_text(left)
    assert job.resume().wait() and job.state == "done"


@pytest.mark.parametrize("spoil", ["zero length", "missing"])
def test_a_strip_without_pictures_is_told_before_anything_is_made(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any], tmp_path: Path, spoil: str
) -> None:
    scene, strip = footage
    if spoil == "zero length":
        setattr(strip, "right_handle_offset" if hasattr(strip, "left_handle") else "frame_offset_end", 6)
        sentence = "source has no frame. Drag one of its handles out"
    else:
        (tmp_path / "in" / "000003.png").unlink()
        sentence = "source has lost 000003.png. Find the missing file"
    with refused(sentence):
        tempera.stylize(strip, method="deflicker")
    scene.tempera.method, strip.select = "deflicker", True
    with refused(sentence):
        bpy.ops.tempera.stylize_strips()
    assert not (tmp_path / "tempera").exists()
    assert not session(tempera.__name__).jobs


def test_a_source_strip_moved_during_its_job_is_found_and_deleted_it_changes_nothing(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any]
) -> None:
    scene, strip = footage
    job = tempera.stylize(strip, method="deflicker")
    drive(job, lambda: job.state == "capturing" and job.progress > 0)
    strip.frame_start += 50
    drive(job, lambda: job.strip is not None)
    assert handles(job.strip)[0] == 51
    strips_of(scene.sequence_editor).remove(strip)
    assert job.wait() and job.state == "done"
    assert handles(job.strip) == (51, 57)
    with refused("The strip source is gone. Bring it back"):
        bpy.ops.tempera.rerun(folder=str(job.folder))


def test_a_source_strip_deleted_before_it_is_captured_is_told(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any]
) -> None:
    scene, strip = footage
    job = tempera.stylize(strip, method="deflicker")
    job.cancel()
    strips_of(scene.sequence_editor).remove(strip)
    with refused("The strip source is gone. Bring it back, then resume."):
        job.resume()
    image_strip(scene, Path(bpy.data.filepath).parent / "again", range(1, 7), 1)
    assert job.resume().wait() and job.state == "done"


@pytest.mark.parametrize("fault", ["locked", "full"])
def test_where_no_channel_is_free_the_frames_are_kept_and_the_strip_comes_later(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any], tmp_path: Path, fault: str
) -> None:
    scene, strip = footage
    channels = scene.sequence_editor.channels
    if fault == "locked":
        for channel in channels:
            channel.lock = True
    else:
        for channel in range(2, 129):
            image_strip(scene, tmp_path / "in", range(3, 5), channel, "other")
    job = tempera.stylize(strip, method="deflicker")
    assert job.wait()
    assert (job.state, len(job.frames), job.strip) == ("done", 6, None)
    assert job.message.startswith("No channel is free from frame 1 to 6. Unlock or empty one")
    with refused("No channel is free"):
        bpy.ops.tempera.show_result(folder=str(job.folder))
    if fault == "locked":
        channels[5].lock = False
    else:
        there = strips_of(scene.sequence_editor)
        there.remove(next(each for each in there if each.channel == 5))
    bpy.ops.tempera.show_result(folder=str(job.folder))
    assert job.strip.channel == 5 and job.message == ""


def test_the_result_keeps_off_locked_channels(tempera: ModuleType, footage: tuple[bpy.types.Scene, Any]) -> None:
    scene, strip = footage
    for channel in (1, 2):
        scene.sequence_editor.channels[channel].lock = True
    job = tempera.stylize(strip, method="deflicker")
    assert job.wait() and job.strip.channel == 3
    assert strip.channel == 1 and handles(strip) == (1, 7)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_made(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any], tmp_path: Path
) -> None:
    scene, strip = footage
    (tmp_path / "tempera").write_text("a file lies where the folder should")  # forbids it for root, too
    with refused(r"tempera cannot be written \(.*\). Choose another jobs folder."):
        tempera.stylize(strip, method="deflicker")
    scene.tempera.method, strip.select = "deflicker", True
    with refused("cannot be written"):
        bpy.ops.tempera.stylize_strips()
    assert not session(tempera.__name__).jobs
    scene.tempera.folder = str(tmp_path / "elsewhere")
    bpy.ops.tempera.stylize_strips()
    assert session(tempera.__name__).jobs[-1].state == "done"


def test_a_folder_lost_during_the_job_is_told(
    tempera: ModuleType, footage: tuple[bpy.types.Scene, Any], tmp_path: Path
) -> None:
    job = tempera.stylize(footage[1], method="deflicker")
    drive(job, lambda: bool(job.frames))
    job.folder.rename(tmp_path / "taken away")
    with refused("cannot be written"):
        job.wait()
    assert job.state == "failed"
    again = tempera.stylize(footage[1], method="deflicker")
    assert again.wait() and again.state == "done"


def test_a_file_saved_for_the_first_time_during_its_job_finds_it_again(
    extension: str, tempera: ModuleType, tmp_path: Path
) -> None:
    scene = small_scene()
    job = tempera.stylize(image_strip(scene, tmp_path / "in", range(1, 7), 1), method="deflicker")
    drive(job, lambda: bool(job.frames))
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "first.blend"))
    bpy.ops.wm.revert_mainfile()
    assert job.wait() and len(job.strip.elements) == 6
    session(extension).jobs.clear()
    bpy.ops.wm.revert_mainfile()
    assert [known.folder for known in session(extension).jobs] == [job.folder]


@pytest.mark.parametrize("stage", ["capturing", "painting"])
def test_a_new_file_during_a_job_gets_nothing_of_it(
    extension: str, tempera: ModuleType, footage: tuple[bpy.types.Scene, Any], stage: str
) -> None:
    job = tempera.stylize(footage[1], method="deflicker")
    blend = bpy.data.filepath
    bpy.ops.wm.save_mainfile()
    drive(job, lambda: bool(job.frames) if stage == "painting" else job.progress > 0)
    bpy.ops.wm.read_homefile(use_empty=True)
    assert job.wait() and (job.state, len(job.frames), job.strip) == ("done", 6, None)
    editors = filter(None, (scene.sequence_editor for scene in bpy.data.scenes))
    assert not any(len(strips_of(editor)) for editor in editors)
    bpy.ops.wm.open_mainfile(filepath=blend)
    job.wait()
    assert len(job.strip.elements) == 6


def test_two_blenders_on_one_file_leave_each_others_jobs_alone(
    extension: str, tempera: ModuleType, footage: tuple[bpy.types.Scene, Any], tmp_path: Path
) -> None:
    _, strip = footage
    python = [bpy.app.binary_path, "-b", "--python-expr"] if bpy.app.binary_path else [sys.executable, "-c"]
    paths = [Path(pytest.__file__).parents[1], Path(__file__).parent, Path(bpy.data.filepath)]
    other = subprocess.Popen(
        [*python, OTHER_BLENDER, "--", *map(str, paths)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    try:
        folder = Path(next(line.split()[1] for line in other.stdout if line.startswith("capturing")))
        with refused("already running"):
            bpy.ops.tempera.resume(folder=str(folder))
        theirs = session(extension).find(folder)
        assert theirs.message == "Another Blender works on it. Resume when that one has stopped."
        assert theirs.files.state.state == "capturing"
        with refused("already running"):
            bpy.ops.tempera.remove_job(folder=str(folder))
        ours = tempera.stylize(strip, method="deflicker")
        assert ours.folder != folder and ours.wait() and len(ours.frames) == 6
        print("go on", file=other.stdin, flush=True)
        assert next(line for line in other.stdout if line.startswith("ended")).split() == ["ended", "done", "6"]
        assert theirs.resume().wait() and theirs.state == "done"
    finally:
        other.kill()
        other.wait()


OTHER_BLENDER = """
import importlib, pathlib, sys, tempfile
sys.path[:0] = sys.argv[-3:-1]
import bpy, conftest, session_kit
class Folders:
    def mktemp(self, name):
        return pathlib.Path(tempfile.mkdtemp())
extension = next(conftest.extension.__wrapped__(Folders()))
bpy.ops.wm.open_mainfile(filepath=sys.argv[-1])
scene = bpy.context.scene
strip = getattr(scene.sequence_editor, "strips", None) or scene.sequence_editor.sequences
job = importlib.import_module(extension).stylize(strip[0], method="deflicker")
session_kit.drive(job, lambda: job.progress > 0)
print("capturing", job.folder, flush=True)
sys.stdin.readline()
job.wait()
print("ended", job.state, len(job.frames), flush=True)
"""
