"""Operators: measure a finished job, show where it changes, lay it out, and find out which frames to paint."""

from pathlib import Path

import bpy
from bpy.props import IntProperty, StringProperty
from bpy_extras.io_utils import ExportHelper

from . import session
from .job import Job
from .jobs import ChangesStrips, OfOneJob, find_job
from .reporting import attempt
from .stylize import StartsJobs


def frame_by_frame(job: Job) -> Job | None:
    """Return this session's last finished frame-by-frame job of the shot of ``job``, None when there is none."""
    source = (job.scene, job.files.source.get("strip"), job.shot_frames)
    return next(
        (
            other
            for other in reversed(session.current().jobs)
            if other is not job
            and other.files.settings.method == "framewise"
            and other.state == "done"
            and (other.scene, other.files.source.get("strip"), other.shot_frames) == source
        ),
        None,
    )


class TEMPERA_OT_measure(OfOneJob, StartsJobs, bpy.types.Operator):
    """Measure the finished job."""

    bl_idname = "tempera.measure"
    bl_label = "Measure"
    bl_description = (
        "Measure how consistent this job's frames are and how much detail they keep. Ratios need a finished Frame by "
        "Frame job of the same shot to compare with. Where a CLIP model is in the shared cache, it tells how well "
        "frames fit the prompt (CLIP-T) and how alike they are to the next (Tem-Con)"
    )
    execute = StartsJobs.execute

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Ask the worker."""
        job = find_job(context, self.folder)
        return [job.measure(frame_by_frame(job))]


class TEMPERA_OT_show_heat_map(ChangesStrips, OfOneJob, bpy.types.Operator):
    """Put the job's heat maps into the sequencer."""

    bl_idname = "tempera.show_heat_map"
    bl_label = "Heat Map"
    bl_description = "Show in a strip above the result where this job's frames change that should not"

    def act(self, _context: bpy.types.Context, job: Job) -> None:
        """Place or refresh the strip."""
        job.show_heat_map()


class TEMPERA_OT_suggest_keys(OfOneJob, StartsJobs, bpy.types.Operator):
    """Find out which frames of the job's shot to paint."""

    bl_idname = "tempera.suggest_keys"
    bl_label = "Suggest Keys"
    bl_description = "Find out which frames of this shot to paint, and how much of the shot they show"
    execute = StartsJobs.execute

    most: IntProperty(name="At Most", description="How many key frames at most", default=6, min=1, soft_max=24)

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Ask the worker."""
        return [find_job(context, self.folder).suggest_keys(self.most)]


class TEMPERA_OT_contact_sheet(OfOneJob, ExportHelper, bpy.types.Operator):
    """Write a contact sheet of the job."""

    bl_idname = "tempera.contact_sheet"
    bl_label = "Contact Sheet"
    bl_description = "Lay some of this job's frames, each below its source, out on one picture, to show around"

    filename_ext = ".png"
    filter_glob: StringProperty(default="*.png", options={"HIDDEN"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file."""

        def name_it() -> None:
            job = find_job(context, self.folder)
            self.filepath = str(job.folder.parent / f"{job.name}.png")

        if attempt(self, name_it) == {"CANCELLED"}:
            return {"CANCELLED"}
        return super().invoke(context, event)

    def act(self, _context: bpy.types.Context, job: Job) -> None:
        """Ask the worker."""
        job.contact_sheet(Path(bpy.path.abspath(self.filepath)))
        if bpy.app.background:
            job.wait()


classes = (TEMPERA_OT_measure, TEMPERA_OT_show_heat_map, TEMPERA_OT_suggest_keys, TEMPERA_OT_contact_sheet)
