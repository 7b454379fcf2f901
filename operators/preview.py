"""A look at one frame, or at three, before a run: painted in seconds, shown while it forms."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import BoolProperty, EnumProperty

from ..backend.bridge.errors import UserError
from ..backend.bridge.settings import Settings
from ..properties.window import COMPARE
from . import session
from .costs import Cost
from .following import place_of, source_of, timing_of
from .job import Job
from .over_time import as_set
from .preview_job import Preview, fit_views, image_editors
from .render_tools import frame_size
from .stylize import StartsJobs, check, frames_of, make_files, origin_of
from .versions import Strip, handles, selected_strips, sequencer_scene

PATIENCE = 30.0  # seconds for which a preview looks at the whole shot, so that it is the run's own picture
AFFORDABLE = 400  # network evaluations for which it does where no run here has told how long they take


@dataclass(frozen=True)
class Outlook:
    """What it takes to have the run's own picture, by a method whose frames agree with all others of their shot.

    ``cost`` is None where no run here ever told. It is ``soon`` where a preview paints so by itself: where a job has
    captured the very shot, and that does not take long.
    """

    soon: bool
    captured: bool
    evaluations: int
    cost: Cost | None


def preview(
    source: bpy.types.Scene | Strip, run: Settings, keys: Mapping[int, Path], frames: Sequence[int], whole: bool = False
) -> Preview:
    """Start to paint ``frames`` of a scene or strip and return the preview; the last one, if any, is dropped.

    ``keys`` are key frames as in :func:`~.stylize.stylize`. ``whole`` looks at the whole shot whatever that takes,
    where the method's frames agree with each other. UserError when something is missing.
    """
    scene, shot = source if isinstance(source, bpy.types.Scene) else source.id_data, frames_of(source)
    whole = run.chosen.joins and {*frames} <= {*shot} and (whole or outlook(source, run).soon)
    wanted = shot if whole else sorted({*frames, *keys})
    check(scene, wanted, run, keys)
    origin = origin_of(source) | {"frames": wanted, "preview": list(frames), "whole": whole}
    job = captured_job(source, wanted, whole)
    folder = Path(tempfile.mkdtemp(prefix="tempera-preview-", dir=bpy.app.tempdir)) / "preview"
    files = make_files(folder, run, origin, keys)
    return session.current().show_preview(files, scene, job.files.shot_folder if job else None)


def outlook(source: bpy.types.Scene | Strip, run: Settings) -> Outlook:
    """Return what it takes to preview ``source`` as ``run`` will paint it, as the last runs here took."""
    scene, shot = source if isinstance(source, bpy.types.Scene) else source.id_data, frames_of(source)
    cost, evaluations = session.current().costs.of(scene, run, len(shot)), run.evaluations(len(shot))
    captured = captured_job(source, shot, whole=True) is not None
    short = cost.seconds <= PATIENCE if cost else evaluations <= AFFORDABLE
    return Outlook(captured and short, captured, evaluations, cost)


def captured_job(source: bpy.types.Scene | Strip, frames: Sequence[int], whole: bool = False) -> Job | None:
    """Return the newest job of a scene or strip whose captured shot has all of ``frames``, None without one.

    ``whole`` wants a shot of no others. The frames of a strip that was moved since then, or given other speeds, are
    others, and so are those of another size; what else was changed in the scene is not known.
    """
    scene = source if isinstance(source, bpy.types.Scene) else source.id_data
    wanted, size = tuple(frames), frame_size(scene)
    for job in reversed(session.current().jobs):
        has_all = wanted == job.shot_frames if whole else {*wanted} <= {*job.shot_frames}
        if has_all and job.shot_size == size and _is_of(job.files.source, source, scene):
            return job
    return None


def _is_of(noted: Mapping[str, Any], source: bpy.types.Scene | Strip, scene: bpy.types.Scene) -> bool:
    """Return whether a job that ``noted`` this comes from ``source`` in ``scene``, as that lies and runs now."""
    if (noted.get("blend"), noted.get("scene")) != (bpy.data.filepath, scene.name):
        return False
    if source == scene:
        return not noted.get("strip")
    start, timing = [place_of(source).start], list(timing_of(source))
    return noted.get("at", [])[:1] == start and noted.get("timing") == timing and source_of(scene, noted) == source


WHOLE = (
    "Paint the frame as the run will, however long that takes: together with all others of the shot, as it was "
    "captured last, else it is captured first. What was changed in the scene since is captured by a new run"
)
THREE = "Paint the first, the middle and the last frame of the shot together"


class TEMPERA_OT_preview(StartsJobs, bpy.types.Operator):
    """Paint the frame at the playhead, or three frames of the shot, for a look."""

    bl_idname = "tempera.preview"
    bl_label = "Preview"
    bl_description = (
        "Paint the frame at the playhead, with the settings as they are, and show it in an Image Editor while it "
        "forms. A frame that a job has captured already is not rendered again, whatever was changed in the scene "
        "since, and is painted as in the run where that does not take long"
    )

    three: BoolProperty(
        name="Three Frames",
        description=THREE,
        options={"SKIP_SAVE"},
    )
    whole: BoolProperty(name="As in the Run", description=WHOLE, options={"SKIP_SAVE"})

    @classmethod
    def description(cls, _context: bpy.types.Context, properties: bpy.types.OperatorProperties) -> str:
        """Say what the button does that the mouse is over."""
        return rpt_(WHOLE if properties.whole else THREE if properties.three else cls.bl_description)

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
        started = preview(source, as_set(source, shot), keys, frames, self.whole)
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
