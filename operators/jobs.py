"""Operators: cancel, resume, run again, show, reveal and remove a job."""

from pathlib import Path
from typing import ClassVar

import bpy
from bpy.props import StringProperty

from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from ..properties.declared import PATH_OPTIONS
from . import session, timeline
from .job import Job, rendering
from .over_time import as_set
from .reporting import AsksFirst, attempt
from .sentences import translated
from .stylize import StartsJobs, rerun, restyle
from .versions import panel_scene


def find_job(context: bpy.types.Context, folder: str) -> Job:
    """Return the job in ``folder``, by default the one that is active, else the last one.

    A folder from another session is opened for its scene, or for the context's when that is not in the file.
    UserError when there is no such job.
    """
    here = session.current()
    if not folder:
        if not here.jobs:
            raise UserError("There is no job yet. Stylize something first.")
        return next((job for job in here.jobs if job.active), here.jobs[-1])
    path = Path(bpy.path.abspath(folder)).absolute()
    known = here.find(path)
    if known is not None:
        return known
    files = JobFolder.open(path)
    return here.add(files, bpy.data.scenes.get(str(files.source.get("scene"))) or panel_scene(context))


class OfOneJob:
    """What the operators on one job share."""

    folder: StringProperty(
        name="Job",
        description="The job's folder; empty for the active or last job",
        subtype="DIR_PATH",
        options={"SKIP_SAVE"} | PATH_OPTIONS,
    )

    def act(self, context: bpy.types.Context, job: Job) -> None:
        """Do it."""
        raise NotImplementedError

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Find the job and do it."""
        return attempt(self, lambda: self.act(context, find_job(context, self.folder)))


class TEMPERA_OT_cancel(OfOneJob, bpy.types.Operator):
    """Stop the job."""

    bl_idname = "tempera.cancel"
    bl_label = "Cancel"
    bl_description = "Stop this job after its present step, or at once when clicked again. Finished frames are kept"

    def act(self, _context: bpy.types.Context, job: Job) -> None:
        """Cancel the job."""
        job.cancel()


class TEMPERA_OT_resume(OfOneJob, StartsJobs, bpy.types.Operator):
    """Go on with the job."""

    bl_idname = "tempera.resume"
    bl_label = "Resume"
    bl_description = "Go on where this job stopped"
    execute = StartsJobs.execute

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Resume the job."""
        return [find_job(context, self.folder).resume()]


class TEMPERA_OT_restyle(OfOneJob, StartsJobs, bpy.types.Operator):
    """Run the job again as the panel is set now, without rendering the shot again."""

    bl_idname = "tempera.restyle"
    bl_label = "Run Again"
    bl_description = "Stylize the same captured shot again with the present settings and key frames, in the same strip"
    execute = StartsJobs.execute

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Restyle the job."""
        job = find_job(context, self.folder)
        scene = job.scene or panel_scene(context)
        keys = {frame: path for frame, path in scene.tempera.key_paths().items() if frame in job.shot_frames}
        return [restyle(job, as_set(scene, job.shot_frames), keys)]


class TEMPERA_OT_rerun(OfOneJob, StartsJobs, bpy.types.Operator):
    """Render the job's shot anew and stylize it with the same settings, as a new job."""

    bl_idname = "tempera.rerun"
    bl_label = "Render Again"
    bl_description = "Render the shot as the scene is now and stylize it with this job's settings, as a new job"
    execute = StartsJobs.execute

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Start the new job; say so where its strip is not called as it was, and may be a piece of what that was."""
        job = find_job(context, self.folder)
        again = rerun(job)
        before, name = (each.files.source.get("strip", "") for each in (job, again))
        if name != before:
            which = f"No strip is called {before} any more. {name} is rendered, which is that one renamed or a piece."
            self.report({"WARNING"}, translated(which))
        return [again]


class TEMPERA_OT_copy_settings(OfOneJob, bpy.types.Operator):
    """Show the job's settings in the panel."""

    bl_idname = "tempera.copy_settings"
    bl_label = "Copy Settings to Panel"
    bl_description = "Set the panel as it was set for this job"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def act(self, context: bpy.types.Context, job: Job) -> None:
        """Take the settings over."""
        (job.scene or panel_scene(context)).tempera.take(job.files.settings)


class TEMPERA_OT_free_memory(bpy.types.Operator):
    """Let the idle worker leave."""

    bl_idname = "tempera.free_memory"
    bl_label = "Free Memory"
    bl_description = "Give back the memory, of the GPU too, that is held for the next run, which then starts slower"

    @classmethod
    def poll(cls, _context: bpy.types.Context) -> bool:
        """Say that there is nothing to give back, or that it is in use."""
        if not session.current().idle:
            cls.poll_message_set("Nothing is held, or it is in use.")
            return False
        return True

    def execute(self, _context: bpy.types.Context) -> set[str]:
        """Let the worker go."""
        return attempt(self, session.current().free)


class ChangesStrips:
    """Mixed into the operators that put strips into the sequencer: not while Blender renders, which would crash."""

    bl_options: ClassVar = {"REGISTER"}

    @classmethod
    def poll(cls: type[bpy.types.Operator], _context: bpy.types.Context) -> bool:
        """Say that Blender renders."""
        if rendering():
            cls.poll_message_set("Blender is rendering. Wait until it is done.")
            return False
        return True


class TEMPERA_OT_show_result(ChangesStrips, OfOneJob, bpy.types.Operator):
    """Put the job's strip into the sequencer again."""

    bl_idname = "tempera.show_result"
    bl_label = "Show Result"
    bl_description = "Put this job's strip into the sequencer, if it is not there"

    def act(self, _context: bpy.types.Context, job: Job) -> None:
        """Place the strip."""
        job.place_again()


class TEMPERA_OT_reveal_job(OfOneJob, bpy.types.Operator):
    """Open the job's folder."""

    bl_idname = "tempera.reveal_job"
    bl_label = "Open Folder"
    bl_description = "Show this job's folder in the file browser"

    def act(self, _context: bpy.types.Context, job: Job) -> None:
        """Open the folder in the desktop's file browser."""
        bpy.ops.wm.path_open(filepath=str(job.folder))


class TEMPERA_OT_remove_job(AsksFirst, ChangesStrips, OfOneJob, bpy.types.Operator):
    """Delete the job's folder and its strips."""

    bl_idname = "tempera.remove_job"
    bl_label = "Remove Job"
    bl_description = "Delete this job's folder with all its frames, and its strip"

    def act(self, _context: bpy.types.Context, job: Job) -> None:
        """Remove the job."""
        if job.active:
            raise UserError(f"{job.name} is running. Cancel it first.")
        if job.folder.exists():
            job.remove()
        if job.scene:
            timeline.remove(job.scene, job.files)
        session.current().forget(job)


classes = (
    TEMPERA_OT_cancel,
    TEMPERA_OT_resume,
    TEMPERA_OT_restyle,
    TEMPERA_OT_rerun,
    TEMPERA_OT_copy_settings,
    TEMPERA_OT_free_memory,
    TEMPERA_OT_show_result,
    TEMPERA_OT_reveal_job,
    TEMPERA_OT_remove_job,
)
