"""A look at one frame, or at three, before a run: painted in seconds, shown while it forms."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty

from ..backend.bridge.errors import UserError
from ..backend.bridge.settings import Settings
from ..properties.window import COMPARE
from . import session
from .job import Job
from .over_time import as_set
from .preview_job import Preview, fit_views, image_editors
from .stylize import StartsJobs, check, frames_of, make_files, origin_of
from .versions import Strip, handles, selected_strips, sequencer_scene

AFFORDABLE = 400  # network evaluations for which a preview looks at the whole shot, so that it is the run's own picture


def preview(
    source: bpy.types.Scene | Strip, run: Settings, keys: Mapping[int, Path], frames: Sequence[int]
) -> Preview:
    """Start to paint ``frames`` of a scene or strip and return the preview; the last one, if any, is dropped.

    ``keys`` are key frames as in :func:`~.stylize.stylize`. UserError when something is missing.
    """
    scene = source if isinstance(source, bpy.types.Scene) else source.id_data
    wanted = sorted({*frames, *keys})
    check(scene, wanted, run, keys)
    origin = origin_of(source) | {"frames": wanted, "preview": list(frames)}
    job = captured_job(origin, wanted)
    if job and run.chosen.joins:
        origin["whole"] = run.evaluations(len(job.shot_frames)) <= AFFORDABLE
    shot = job.files.shot_folder if job else None
    folder = Path(tempfile.mkdtemp(prefix="tempera-preview-", dir=bpy.app.tempdir)) / "preview"
    return session.current().show_preview(make_files(folder, run, origin, keys), scene, shot)


def captured_job(origin: Mapping[str, Any], frames: Sequence[int]) -> Job | None:
    """Return the newest job of the same scene or strip whose captured shot has all of ``frames``, None without one.

    The frames of a strip that was moved since then are others.
    """
    for job in reversed(session.current().jobs):
        same = all(job.files.source.get(name) == origin[name] for name in ("blend", "scene", "strip"))
        same &= job.files.source.get("at", [])[:1] == origin["at"][:1]
        if same and set(frames) <= set(job.shot_frames):
            return job
    return None


class TEMPERA_OT_preview(StartsJobs, bpy.types.Operator):
    """Paint the frame at the playhead, or three frames of the shot, for a look."""

    bl_idname = "tempera.preview"
    bl_label = "Preview"
    bl_description = (
        "Paint the frame at the playhead, with the settings as they are, and show it in an Image Editor while it "
        "forms. A frame that a job has captured already is not rendered again, and is painted as in the run where that "
        "does not take long"
    )

    three: BoolProperty(
        name="Three Frames",
        description="Paint the first, the middle and the last frame of the shot together",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Say what is missing."""
        source, scene = find_source(context)
        spans = [range(*handles(source))] if source is not None and source != scene else []
        problems = scene.tempera.render_problems() if source == scene else scene.tempera.strip_problems(spans)
        if problems:
            cls.poll_message_set(problems[0].text)
        return not problems

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Start the preview, and make room for it where no Image Editor is open."""
        source, scene = find_source(context)
        shot = frames_of(source)
        frames = [scene.frame_current]
        if self.three:
            frames = sorted({shot[0], shot[len(shot) // 2], shot[-1]})
        elif frames[0] not in shot:
            raise UserError(f"Frame {frames[0]} is not in the shot. Move the playhead to one of its frames.")
        keys = {frame: path for frame, path in scene.tempera.key_paths().items() if frame in shot}
        started = preview(source, as_set(source, shot), keys, frames)
        if not bpy.app.background and not image_editors():
            bpy.ops.render.view_show("INVOKE_DEFAULT")
        return [started]


class TEMPERA_OT_compare(bpy.types.Operator):
    """Choose how the preview is held against its source."""

    bl_idname = "tempera.compare"
    bl_label = "Compare"
    bl_description = "Show the preview alone, wiped against its source, or beside it, in the Image Editor"

    look: EnumProperty(
        name="Look",
        description="How the preview is shown with its source",
        items=COMPARE,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Look at it so."""
        context.window_manager.tempera.compare = self.look
        fit_views()
        return {"FINISHED"}


def find_source(context: bpy.types.Context) -> tuple[bpy.types.Scene | Strip | None, bpy.types.Scene]:
    """Return what the editor under the mouse would stylize, and its scene.

    In the sequencer that is the selected strip at the playhead, else the first one, None where none is selected.
    """
    if not (context.area and context.area.type == "SEQUENCE_EDITOR"):
        return context.scene, context.scene
    scene = sequencer_scene(context)
    chosen = selected_strips(scene)
    here = [strip for strip in chosen if scene.frame_current in range(*handles(strip))]
    return next(iter([*here, *chosen]), None), scene


classes = (TEMPERA_OT_preview, TEMPERA_OT_compare)
