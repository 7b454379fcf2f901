"""The list of jobs, and what is known of and can be done with the chosen one."""

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_rpt as rpt_

from ..backend.bridge import settings
from ..operators import session
from ..operators.sentences import translated
from ..operators.session import Job
from .text import counted, draw_text, duration

ENDINGS = {"done": "CHECKMARK", "cancelled": "PANEL_CLOSE", "failed": "ERROR"}
MOST_CELLS = 3  # have room in a line of a sidebar
METHOD_LABELS = {identifier: label for identifier, label, _ in settings.METHODS}


class TEMPERA_UL_jobs(bpy.types.UIList):
    """The jobs that this Blender knows, the newest first."""

    def draw_item(
        self, _context: bpy.types.Context, layout: bpy.types.UILayout, _data: bpy.types.AnyType,
        item: bpy.types.AnyType, _icon: int, _active_data: bpy.types.AnyType, _active_property: str,
    ) -> None:
        """Draw a job's name, and how far it is or how it ended."""
        job = find(item.folder)
        if job is None:
            return
        row = layout.row(align=True)
        if job.active:
            row.label(text=job.name, icon="SORTTIME", translate=False)
            bar = row.row(align=True)
            bar.ui_units_x = 3.2
            bar.progress(factor=job.progress, text=f"{job.progress:.0%}", translate=False)
            draw_cancel(bar, job)
        else:
            row.label(text=job.name, icon=ENDINGS.get(job.state, "BLANK1"), translate=False)


class TEMPERA_MT_job(bpy.types.Menu):
    """What else can be done with the chosen job."""

    bl_label = "Job"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the operators."""
        job = chosen(context)
        if job is None:
            return
        layout, folder = self.layout, str(job.folder)
        layout.operator("tempera.restyle", icon="FILE_REFRESH").folder = folder
        layout.operator("tempera.rerun", icon="RENDER_ANIMATION").folder = folder
        layout.operator("tempera.copy_settings", icon="PASTEDOWN").folder = folder
        layout.separator()
        layout.operator("tempera.show_result", icon="SEQUENCE").folder = folder
        layout.operator("tempera.measure", icon="DRIVER_DISTANCE").folder = folder
        layout.operator("tempera.show_heat_map", icon="HEART").folder = folder
        layout.operator("tempera.contact_sheet", icon="IMGDISPLAY").folder = folder
        layout.operator("tempera.suggest_keys", icon="KEYFRAME").folder = folder
        layout.separator()
        layout.operator("tempera.reveal_job", icon="FILE_FOLDER").folder = folder
        layout.operator("tempera.remove_job", icon="TRASH").folder = folder


def draw(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Draw the list, the chosen job, and what ``scene`` does to the colours of a render's strip."""
    here, window = session.current(), bpy.context.window_manager.tempera
    if not here.jobs:
        layout.label(text="No jobs yet")
        return
    layout.template_list("TEMPERA_UL_jobs", "", window, "jobs", window, "active", rows=min(max(2, len(here.jobs)), 5))
    job = chosen(bpy.context)
    if job is not None:
        draw_job(layout, job)
    if here.idle:
        layout.operator("tempera.free_memory", icon="MEMORY")
    view = scene.view_settings.view_transform
    if view != "Standard" and any(not job.files.source.get("strip") for job in here.jobs if job.scene == scene):
        draw_text(
            layout,
            rpt_("The sequencer shows strips through {view} too. Standard shows them as they are.").format(view=view),
            "INFO",
        )


def chosen(context: bpy.types.Context) -> Job | None:
    """Return the job that is chosen in the list."""
    window = context.window_manager.tempera
    return find(window.jobs[window.active].folder) if window.active < len(window.jobs) else None


def find(folder: str) -> Job | None:
    """Return the session's job in ``folder``."""
    return next((job for job in session.current().jobs if str(job.folder) == folder), None)


def draw_job(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw one job: its picture, how far it is, and what can be done about it."""
    row = layout.row()
    if icon := session.current().thumbnails.icon(job):
        picture = row.column()
        picture.ui_units_x = 4
        picture.template_icon(icon, scale=4)
    facts = row.column(align=True)
    facts.label(text=METHOD_LABELS[job.files.settings.method])
    if job.active:
        facts.progress(factor=job.progress, text=doing(job), translate=False)
        facts.label(text=timing(job), translate=False)
    else:
        facts.label(text=ended(job), translate=False)
        draw_actions(layout, job)
    if job.message:
        draw_text(layout, translated(job.message), "ERROR" if job.state == "failed" else "INFO")
    draw_numbers(layout, job)


def draw_actions(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw what is most often wanted of a job that rests, and the menu with the rest."""
    folder = str(job.folder)
    row = layout.row(align=True)
    if job.state == "done":
        row.operator("tempera.edit_frame", text="Edit Key", icon="BRUSH_DATA").folder = folder
    else:
        row.operator("tempera.resume", icon="PLAY").folder = folder
    again = row.row(align=True)
    again.enabled = job.captured
    again.operator("tempera.restyle", icon="FILE_REFRESH").folder = folder
    row.menu("TEMPERA_MT_job", text="", icon="DOWNARROW_HLT")


def draw_numbers(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw what was measured of a job: a line for each distance between frames, then what holds for all."""
    over_distances = [cells for cells in job.numbers if len(cells) > MOST_CELLS]
    lines = list(zip(*over_distances, strict=True))
    for label, value, *verdict in (cells for cells in job.numbers if cells not in over_distances):
        lines += [(label, value), *((words,) for words in verdict)]
    for cells in lines:
        row = layout.row()
        for cell in cells:
            row.label(text=cell)


def draw_cancel(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw the button that cancels a job."""
    layout.operator("tempera.cancel", text="", icon="X").folder = str(job.folder)


def doing(job: Job) -> str:
    """Return what an active job does just now."""
    return iface_("Stopping") if job.stopping else iface_(job.note) or iface_("Waiting for its turn")


def timing(job: Job) -> str:
    """Return how long an active job has taken, and about how long it will take."""
    if job.remaining is None:
        return duration(job.elapsed)
    return iface_("{elapsed}, {remaining} left").format(
        elapsed=duration(job.elapsed), remaining=duration(job.remaining)
    )


def ended(job: Job) -> str:
    """Return how far a job that rests has come."""
    if not job.captured:
        return iface_("Not captured yet")
    total = counted(len(job.shot_frames), "{count} frame", "{count} frames")
    return iface_("{done} of {total}").format(done=len(job.finished), total=total)
