"""A finished frame painted over in the Image Editor: carried by exact motion, only to the frames that show it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
import numpy as np
import pytest
from sequencer_kit import read_png, rendered
from session_kit import FRAMES, build_scene, captured_shot, contents, new_job, session


@pytest.fixture
def finished(extension: str, tmp_path: Path) -> Any:
    """A finished job whose strip is in the sequencer."""
    captured_shot(extension)  # leaves an empty file open
    session(extension).jobs.clear()
    job = new_job(extension, tmp_path / "job", build_scene()).resume()
    assert job.wait()
    return job


def paint(image: bpy.types.Image, rows: slice, columns: slice) -> None:
    """Paint a red patch; rows count from the top."""
    width, height = image.size
    pixels = np.array(image.pixels, np.float32).reshape(height, width, -1)[::-1].copy()
    pixels[rows, columns, :3] = (1.0, 0.0, 0.0)
    image.pixels.foreach_set(pixels[::-1].ravel())
    image.update()


def test_paint_on_one_frame_reaches_all_that_show_it_and_the_strip(finished: Any, tmp_path: Path) -> None:
    before = contents(finished)
    assert bpy.ops.tempera.edit_frame(folder=str(finished.folder), frame=6) == {"FINISHED"}
    image = bpy.data.images["job 6"]
    paint(image, slice(30, 40), slice(50, 60))
    assert bpy.ops.tempera.use_as_key() == {"FINISHED"}
    after = contents(finished)
    assert finished.state == "done" and set(after) == set(before)
    own = read_png(finished.files.frame_path(6))
    assert (own[30:40, 50:60, :3] == (255, 0, 0)).all()
    changed = [name for name in before if after[name] != before[name]]
    assert len(changed) >= len(FRAMES) // 2
    for frame in FRAMES:
        assert np.array_equal(rendered(finished.scene, frame, tmp_path), read_png(finished.files.frame_path(frame)))
    assert "job 6" not in bpy.data.images


def test_the_editor_goes_on_to_show_what_was_painted(finished: Any) -> None:
    area = bpy.context.window_manager.windows[0].screen.areas[0]
    area.ui_type = "IMAGE_EDITOR"
    bpy.ops.tempera.edit_frame(folder=str(finished.folder), frame=6)
    editor = area.spaces[0]
    assert (editor.image.name, editor.mode) == ("job 6", "PAINT")
    paint(editor.image, slice(30, 40), slice(50, 60))
    bpy.ops.tempera.use_as_key()
    assert editor.mode == "VIEW" and "tempera" not in editor.image
    shown = read_png(Path(bpy.path.abspath(editor.image.filepath)))
    assert np.array_equal(shown, read_png(finished.files.frame_path(6))) and (shown[30:40, 50:60] == (255, 0, 0)).all()


def test_what_was_not_painted_changes_nothing(finished: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.frames}
    bpy.ops.tempera.edit_frame(folder=str(finished.folder), frame=3)
    assert bpy.ops.tempera.use_as_key() == {"FINISHED"}
    assert {path: path.stat().st_mtime_ns for path in finished.frames} == before


def test_what_cannot_be_is_said(finished: Any) -> None:
    with pytest.raises(RuntimeError, match="No finished frame is open"):
        bpy.ops.tempera.use_as_key()
    finished.enter("cancelled")
    with pytest.raises(RuntimeError, match="is not finished"):
        bpy.ops.tempera.edit_frame(folder=str(finished.folder))
