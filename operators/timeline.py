"""Finished frames into the sequencer: one image strip for each job, in place, through the data API alone.

The strip is found again by the job's id in its custom properties, so it may be moved, renamed, trimmed, cut or copied.
Operators of the sequencer are never called: they need its window, and some crash without one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Collection, Sequence
from pathlib import Path

import bpy

from ..backend.bridge import VERSION, settings
from ..backend.bridge.job import Job as JobFolder
from . import following
from .channels import free_channel, overlaps
from .stand_in import stand_in
from .versions import Strip, all_strips, handles, strips

PROPERTY = "tempera"  # the custom property of a strip that shows a job
HEAT_MAP = "tempera_heat_map"  # the one of a strip that shows where a job changes


def job_id(job: JobFolder) -> str:
    """Return what a strip remembers its job by, wherever the folder goes."""
    return str(job.source.get("id") or job.folder)


def find(scene: bpy.types.Scene, job: JobFolder, kind: str = PROPERTY) -> list[Strip]:
    """Return the strips in ``scene`` that show ``job``: one, or more where the artist cut or copied it.

    ``kind`` is PROPERTY for the result, HEAT_MAP for the heat maps.
    """
    editor = scene.sequence_editor
    wanted = job_id(job)
    return [strip for strip in all_strips(editor) if _note(strip, kind).get("id") == wanted] if editor else []


def folders(scene: bpy.types.Scene) -> list[str]:
    """Return the folders of the jobs that the scene's strips show."""
    shown = all_strips(scene.sequence_editor) if scene.sequence_editor else ()
    return [found for found in map(folder, shown) if found]


def folder(strip: Strip) -> str:
    """Return the folder of the job whose result ``strip`` shows, "" where it shows none."""
    return str(_note(strip).get("folder", ""))


def shown(strip: Strip) -> str:
    """Return the id of the job whose result ``strip`` shows, "" where it shows none."""
    return str(_note(strip).get("id", ""))


def _note(strip: Strip, kind: str = PROPERTY) -> dict[str, object]:
    note = strip.get(kind)
    return note.to_dict() if hasattr(note, "to_dict") else {}


def update(
    scene: bpy.types.Scene, job: JobFolder, frames: Sequence[int], finished: Collection[int], fresh: Collection[int]
) -> bool:
    """Let the strips that show ``job`` show what is finished of the shot's ``frames``; return whether there are any.

    ``fresh`` are the frames that were written since the last call, whose old pictures Blender may still hold.
    """
    found = find(scene, job)
    for strip in found:
        files = elements(job, frames, finished, len(strip.elements))
        grows = len(files) > len(strip.elements)
        _show(strip, files, {job.frame_path(frame).name for frame in fresh})
        if grows:
            following.keep_within(scene, strip)
        if _note(strip) != note(job):
            strip[PROPERTY] = note(job)
        _keep_apart(scene, strip)
    return bool(found)


def place(scene: bpy.types.Scene, job: JobFolder, frames: Sequence[int], finished: Collection[int]) -> Strip | None:
    """Make the strip of ``job`` above its source, or at its frames, as one step of undo, and return it.

    None while the shot's first frame is not finished. UserError when no channel is free from the shot's first frame
    to its last.
    """
    files = elements(job, frames, finished)
    if not files:
        return None
    strip = _new_strip(scene, job.name, job.frame_path(frames[0]), following.source_of(scene, job.source), frames)
    strip[PROPERTY] = note(job)
    _show(strip, files, ())
    _bind(scene, strip, job)
    push_undo(f"Stylize {job.name}")
    return strip


def show_heat_map(scene: bpy.types.Scene, job: JobFolder, frames: Sequence[int]) -> None:
    """Show the heat maps of ``job`` in a strip above its result; one that is there already is brought up to date.

    One step of undo. UserError when no channel is free from the first of ``frames``, the shot's, to the last.
    """
    files = elements(job, frames, frames)
    found = find(scene, job, HEAT_MAP)
    if not found:
        below = next(iter(find(scene, job)), None) or following.source_of(scene, job.source)
        found = [_new_strip(scene, f"{job.name} heat map", job.heat_map_folder / files[0], below, frames)]
        found[0][HEAT_MAP] = {"id": job_id(job)}
        _show(found[0], files, ())
        _bind(scene, found[0], job)
    for strip in found:
        _show(strip, files, files)  # all of them may have been drawn anew
    push_undo(f"Heat Map of {job.name}")


def _bind(scene: bpy.types.Scene, strip: Strip, job: JobFolder) -> None:
    """Let a new strip, which lies at the shot's frames, follow the job's source to where that is by now."""
    following.bind(scene, strip, job.source)
    following.follow(scene)


def _new_strip(scene: bpy.types.Scene, name: str, first: Path, below: Strip | None, frames: Sequence[int]) -> Strip:
    """Make a strip of the picture ``first`` above the strip ``below``, where the whole shot of ``frames`` has room."""
    editor = scene.sequence_editor_create()
    owner, channel = (below.parent_meta() or editor, below.channel) if below else (editor, 0)
    channel = free_channel(owner, channel + 1, frames[0], frames[-1] + 1)
    with stand_in(first) as seen:
        strip = strips(owner).new_image(name, str(seen), channel, frames[0], fit_method="FIT")
    strip.directory, strip.elements[0].filename = f"{first.parent}{os.sep}", first.name
    strip.blend_type = "REPLACE"
    strip.select = False  # the next run is not meant for this one's result
    if strip.transform.scale_x > 1.0:  # a render at a smaller percentage: pixel by pixel, which "Auto" would blur
        strip.transform.filter = "BILINEAR"
    with contextlib.suppress(TypeError):  # a studio's colour configuration may not have it: the default stands
        strip.colorspace_settings.name = "sRGB"
    return strip


def note(job: JobFolder) -> dict[str, object]:
    """Return what a strip keeps of its job: id, folder, version, method, seed and settings."""
    short = dataclasses.replace(job.settings, objects=(), over_time={})  # the folder has the rest
    plain = settings.to_json(short)
    return {"id": job_id(job), "folder": str(job.folder), "version": VERSION, **plain}


def elements(job: JobFolder, frames: Sequence[int], finished: Collection[int], present: int = 0) -> list[str]:
    """Return the files of the strip, one for each frame of the timeline from the shot's first.

    ``frames`` are the shot's frames, ascending; between two of them (a frame step) the earlier one is held. The list
    reaches the last finished frame, and never gets shorter than ``present``. What is not finished shows the source, so
    that no frame is ever seen at a wrong time. The first file is always the job's own, since Blender moves the whole
    strip by it: the list is empty until that frame is finished.
    """
    if frames[0] not in finished and not present:
        return []
    last = max((frame for frame in frames if frame in finished), default=frames[0])
    names: list[str] = []
    shown, known = frames[0], set(frames)
    for frame in range(frames[0], frames[0] + max(present, last - frames[0] + 1)):
        shown = frame if frame in known else shown
        name = job.frame_path(shown).name
        names.append(name if shown in finished or not names else f"../shot/beauty/{name}")
    return names


def _show(strip: Strip, files: Sequence[str], fresh: Collection[str]) -> None:
    for element, file in zip(strip.elements, files, strict=False):
        if element.filename != file or file in fresh:
            element.filename = file  # also where it is the same: this makes Blender read the file again
    for file in files[len(strip.elements) :]:
        strip.elements.append(file)


def remove(scene: bpy.types.Scene, job: JobFolder) -> None:
    """Take away the strips that show ``job`` or its heat maps, as one step of undo."""
    for strip in [*find(scene, job), *find(scene, job, HEAT_MAP)]:
        strips(strip.parent_meta() or scene.sequence_editor).remove(strip)
    push_undo(f"Remove {job.name}")


def _keep_apart(scene: bpy.types.Scene, strip: Strip) -> None:
    """Move ``strip`` to another channel when it has grown into a strip that the artist put behind it meanwhile."""
    owner = strip.parent_meta() or scene.sequence_editor
    start, end = handles(strip)
    neighbours = [other for other in strips(owner) if other != strip and other.channel == strip.channel]
    if any(overlaps(other, start, end) for other in neighbours):
        strip.channel = free_channel(owner, strip.channel, start, end)


def push_undo(message: str) -> None:
    """Make all that changed since the last step one step of undo, also from a timer, which has no window."""
    windows = bpy.context.window_manager.windows
    if windows:
        with bpy.context.temp_override(window=windows[0]):
            bpy.ops.ed.undo_push(message=message)
