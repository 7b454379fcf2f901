"""The copy of the session that is rendered: saved once, kept until the shot is whole, with the physics beside it.

An interrupted capture goes on with the copy that it was begun with, so that no shot is of two versions of a scene; a
capture of anything else begins anew. Only the saving is done in Blender's main thread; all copying is a thread's.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import bpy

from ..backend.bridge.errors import UserError
from ..backend.bridge.files import read_json

KEPT, ASKED = "scene.blend", "request.json"  # in the shot's folder until the shot is whole
PIECE = 1 << 22  # bytes that are copied at once


def kept_request(shot: Path, request: dict[str, Any]) -> dict[str, Any] | None:
    """Return what was asked of the copy that an interrupted capture of the same left; None where there is none."""
    if not (shot / KEPT).is_file() or not (shot / ASKED).is_file():
        return None
    try:
        asked: dict[str, Any] = read_json(shot / ASKED)
    except UserError:  # a power cut leaves empty files
        return None
    return asked if all(asked.get(name) == value for name, value in request.items()) else None


def save_copy(shot: Path, scratch: Path, request: dict[str, Any]) -> dict[str, Any]:
    """Save the session into ``scratch`` and return what is asked of the copy: ``request``, and what is known of it.

    It has its own name there, so that its caches of physics are found beside it. What an earlier capture left in the
    shot's folder goes. UserError where there is no room.
    """
    for stale in (*(shot / "beauty").iterdir(), *(shot / "data").iterdir()):
        if stale.is_file():
            stale.unlink()
    original = Path(bpy.data.filepath or "untitled.blend")
    copy = scratch / original.name
    try:
        with without_picture():
            bpy.ops.wm.save_as_mainfile(filepath=str(copy), copy=True, compress=False)
    except RuntimeError as error:
        raise UserError(f"A copy of the file cannot be saved in {scratch}. Make room on that disk.") from error
    cache = Path(bpy.data.filepath or copy).absolute().with_name(f"blendcache_{copy.stem}")
    told = {"name": copy.name, "cache": str(cache), "trusted": not bpy.app.autoexec_fail, "notes": unsaved_images()}
    return {**request, **told}


def lay(
    shot: Path, scratch: Path, asked: dict[str, Any], resumed: bool, unbaked: bool, stopped: threading.Event
) -> None:
    """Lay ready in ``scratch`` what the child needs, and keep in ``shot`` what it would begin with again.

    OSError where there is no room. ``stopped`` ends it halfway.
    """
    kept, copy = shot / KEPT, scratch / asked["name"]
    if resumed:
        copy_file(kept, copy, stopped)
    else:
        for name in (ASKED, KEPT):
            (shot / name).unlink(missing_ok=True)
        part = kept.with_suffix(".part")
        copy_file(copy, part, stopped)
        if not stopped.is_set():
            part.replace(kept)
            part.write_text(json.dumps(asked), encoding="utf-8")
            part.replace(shot / ASKED)  # last: with it the copy counts
    lend_cache(Path(asked["cache"]), scratch, unbaked, stopped)


def copy_file(source: Path, target: Path, stopped: threading.Event) -> None:
    """Copy a file in pieces until ``stopped``."""
    with source.open("rb") as read, target.open("wb") as write:
        while not stopped.is_set() and (piece := read.read(PIECE)):
            write.write(piece)


def lend_cache(cache: Path, scratch: Path, unbaked: bool, stopped: threading.Event) -> None:
    """Let the copy in ``scratch`` find the original's physics caches, until ``stopped``.

    Blender would write into ``unbaked`` ones: they are copied.
    """
    if not cache.is_dir():
        return
    lent = scratch / cache.name
    if not unbaked:
        with suppress(OSError):  # Windows without developer mode makes no links
            lent.symlink_to(cache, target_is_directory=True)
            return
    lent.mkdir()
    for file in cache.iterdir():  # Blender lays them all side by side
        if stopped.is_set():
            return
        with suppress(FileNotFoundError):  # the artist works on, and playing the scene makes caches anew
            copy_file(file, lent / file.name, stopped)


@contextmanager
def without_picture() -> Iterator[None]:
    """Save files without the picture that file browsers show: rendering it takes far longer than all the rest."""
    preferences = bpy.context.preferences
    kept, dirty = preferences.filepaths.file_preview_type, preferences.is_dirty
    preferences.filepaths.file_preview_type = "NONE"
    try:
        yield
    finally:
        preferences.filepaths.file_preview_type, preferences.is_dirty = kept, dirty


def unsaved_images() -> list[str]:
    """Return a note on images that were painted on and not saved: the copy has them as they were."""
    names = [image.name for image in bpy.data.images if image.is_dirty and image.source != "VIEWER"]
    return [f"{listed(names)}: what was painted and not saved is not in the shot."] if names else []


def listed(paths: Sequence[str], most: int = 3) -> str:
    """Return the first few file names and how many more there are."""
    names = ", ".join(Path(path).name for path in paths[:most])
    return f"{names} and {len(paths) - most} more" if len(paths) > most else names
