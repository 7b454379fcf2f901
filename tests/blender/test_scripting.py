"""``tempera.stylize``: the examples in its docstrings, and what it says when something is missing."""

from __future__ import annotations

import doctest
import importlib
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from capture_probe import SIZE
from sequencer_kit import image_strip, picture, read_png, rendered, small_scene, write_png
from session_kit import build_scene, painted_keys


@pytest.fixture
def tempera(extension: str) -> ModuleType:
    return importlib.import_module(extension)


@pytest.fixture
def shot(tmp_path: Path) -> bpy.types.Scene:
    """Four frames in a saved file, with painted pictures beside it."""
    scene = build_scene((1, 4))
    for name, frame in (("first", 1), ("last", 12)):
        shutil.copy(painted_keys()[frame], tmp_path / f"{name}.png")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    return scene


class ExamplesOnly(doctest.OutputChecker):
    """Pass over what Blender itself reports while the examples run."""

    def check_output(self, want: str, got: str, flags: int) -> bool:
        lines = [line for line in got.splitlines(keepends=True) if not line.startswith("Info: ")]
        return super().check_output(want, "".join(lines), flags)


@pytest.mark.parametrize("name", ["stylize", "Job"])
def test_the_examples_in_the_docstrings_run(tempera: ModuleType, shot: bpy.types.Scene, name: str) -> None:
    names = {"tempera": tempera, "bpy": bpy}
    (examples,) = doctest.DocTestFinder(recurse=False).find(getattr(tempera, name), name, globs=names)
    written: list[str] = []
    outcome = doctest.DocTestRunner(ExamplesOnly()).run(examples, out=written.append)
    assert outcome.attempted > 3
    assert outcome.failed == 0, "".join(written)


def test_a_job_lies_beside_its_file_and_says_how_far_it_is(tempera: ModuleType, shot: bpy.types.Scene) -> None:
    seen = []
    job = tempera.stylize(shot, keys={1: "//first.png"}, frames=[2, 1], seed=3)
    while not job.wait(timeout=0.05):
        seen.append((job.progress, job.state))
    assert job.folder == Path(bpy.data.filepath).parent / "tempera" / "Scene-001"
    assert [progress for progress, _ in seen] == sorted(progress for progress, _ in seen)
    assert {state for _, state in seen} == {"capturing", "running"}
    assert [path.stem for path in job.frames] == ["000001", "000002"]
    assert job.files.settings.seed == 3
    again = tempera.stylize(shot, keys={1: "//first.png"})
    assert again.folder.name == "Scene-002"
    again.cancel()


def test_a_strip_becomes_a_strip(tempera: ModuleType, tmp_path: Path) -> None:
    scene = small_scene()
    strip = image_strip(scene, tmp_path / "source", range(8, 12), channel=1, name="footage")
    key = write_png(tmp_path / "key.png", picture(9))
    job = tempera.stylize(strip, keys={9: key}, folder=tmp_path / "job")
    assert job.wait()
    assert (job.strip.channel, job.strip.name) == (2, "job")
    assert [path.stem for path in job.frames] == [f"{frame:06d}" for frame in range(8, 12)]
    assert np.array_equal(read_png(job.files.frame_path(9)), picture(9))  # a key's own frame is the key
    for frame in range(8, 12):
        assert np.array_equal(rendered(scene, frame, tmp_path), read_png(job.files.frame_path(frame)))


def wrong_calls(tmp_path: Path) -> dict[str, tuple[dict[str, Any], str]]:
    key = str(painted_keys()[1])
    small = str(write_png(tmp_path / "small.png", picture(1)))
    (tmp_path / "words.png").write_text("no picture")
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "job.json").write_text("{}")
    return {
        "no key": ({}, "There is no key frame in the shot"),
        "key elsewhere": ({"keys": {1: key, 99: key}}, "a key of frame 99"),
        "key missing": ({"keys": {1: "//gone.png"}}, "The key of frame 1 is missing"),
        "key no picture": ({"keys": {1: str(tmp_path / "words.png")}}, "is no PNG"),
        "key of another size": ({"keys": {1: small}}, f"32 x 18 pixels, the shot {SIZE[0]} x {SIZE[1]}"),
        "no frames": ({"keys": {1: key}, "frames": []}, "no key frame|no frame"),
        "setting unknown": ({"keys": {1: key}, "brush": 3}, "no setting 'brush'"),
        "setting out of range": ({"keys": {1: key}, "patch_size": 99}, "patch_size is 99"),
        "method unknown": ({"method": "magic"}, "magic"),
        "object unknown": ({"keys": {1: key}, "objects": [{"name": "Wolf", "keep": True}]}, "named Wolf"),
        "object without a name": ({"keys": {1: key}, "objects": [{"keep": True}]}, "names no object"),
        "never over time": ({"keys": {1: key}, "over_time": {1: {"patch_size": 7}}}, "cannot change over time"),
        "folder taken": ({"keys": {1: key}, "folder": str(tmp_path / "old")}, "already holds a job"),
    }


WRONG = (
    "no key",
    "key elsewhere",
    "key missing",
    "key no picture",
    "key of another size",
    "no frames",
    "setting unknown",
    "setting out of range",
    "method unknown",
    "object unknown",
    "object without a name",
    "never over time",
    "folder taken",
)


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_before_anything_is_made(
    tempera: ModuleType, shot: bpy.types.Scene, tmp_path: Path, case: str
) -> None:
    arguments, sentence = wrong_calls(tmp_path)[case]
    with pytest.raises(tempera.UserError, match=sentence):
        tempera.stylize(shot, **arguments)
    assert shot.tempera.last_job == ""
    if case != "folder taken":
        assert not (tmp_path / "tempera").exists()


def test_no_camera_is_told(tempera: ModuleType, shot: bpy.types.Scene) -> None:
    shot.camera = None
    with pytest.raises(tempera.UserError, match="has no camera"):
        tempera.stylize(shot, keys={1: "//first.png"})


def test_a_folder_that_blender_cannot_follow_is_refused(
    tempera: ModuleType, shot: bpy.types.Scene, tmp_path: Path
) -> None:
    folder = tmp_path.joinpath(*("x" * 200 for _ in range(5)))
    with pytest.raises(tempera.UserError, match="too long"):
        tempera.stylize(shot, keys={1: "//first.png"}, folder=folder)
    assert not folder.exists()


def test_a_strip_has_its_own_frames(tempera: ModuleType, tmp_path: Path) -> None:
    strip = image_strip(small_scene(), tmp_path / "source", range(1, 3), channel=1)
    with pytest.raises(tempera.UserError, match="Trim it"):
        tempera.stylize(strip, keys={1: "//key.png"}, frames=[1])
    bpy.data.objects.new("Fox", None)
    with pytest.raises(tempera.UserError, match="Footage has no objects"):
        tempera.stylize(strip, keys={1: "//key.png"}, objects=[{"name": "Fox", "keep": True}])


def test_an_object_left_alone_is_as_it_was_rendered(tempera: ModuleType, shot: bpy.types.Scene) -> None:
    """From the name in a script to the pixels of the frame, through a real capture and a real worker."""
    job = tempera.stylize(shot, keys={1: "//first.png"}, frames=[1, 2], objects=[{"name": "Still", "keep": True}])
    assert job.wait()
    assert job.files.settings.objects[0].members == ("Still",)
    made, key = (read_png(path).astype(float) for path in (job.files.frame_path(1), painted_keys()[1]))
    source = read_png(job.files.shot_folder / "beauty" / "000001.png").astype(float)[..., : made.shape[-1]]
    kept = np.all(made == source, -1) & np.any(key[..., : made.shape[-1]] != source, -1)
    painted = np.all(made == key[..., : made.shape[-1]], -1)
    assert kept.mean() > 0.005
    assert painted.mean() > 0.5
    assert (kept | painted).mean() > 0.9


def test_a_file_that_was_never_saved_keeps_its_jobs_in_the_users_folder(
    tempera: ModuleType, extension: str
) -> None:
    folder = importlib.import_module(f"{extension}.operators.stylize").new_folder("Szene: 1/2 „ä“")
    assert folder.parent == Path(bpy.utils.extension_path_user(extension)) / "jobs"
    assert folder.name == "Szene__1_2__ä_-001"
    assert folder.is_dir()
