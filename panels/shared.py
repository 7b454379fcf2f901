"""What the panels share. Drawing only: everything shown is held by properties and the session already."""

from collections.abc import Sequence

import bpy

from ..backend.bridge import settings
from ..operators import session
from ..operators.session import Job

ENDINGS = {"done": "CHECKMARK", "cancelled": "PANEL_CLOSE", "failed": "ERROR"}


def draw_settings(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Draw the method and its settings, in the order in which they are declared."""
    wanted = scene.tempera
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.prop(wanted, "method")
    for name in settings.specs(settings.groups()[wanted.method]):
        layout.prop(wanted.chosen, name)
    layout.prop(wanted, "seed")


def draw_keys(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Draw the list of key frames, where the method uses them."""
    if scene.tempera.method != "exemplar":
        return
    header = layout.row()
    header.label(text="Key Frames")
    header.operator("tempera.add_key", text="", icon="ADD")
    column = layout.column(align=True)
    for key in scene.tempera.keys:
        row = column.row(align=True)
        number = row.row(align=True)
        number.ui_units_x = 4
        number.prop(key, "frame", text="")
        row.prop(key, "filepath", text="")
        row.operator("tempera.remove_key", text="", icon="REMOVE").frame = key.frame


def draw_problems(layout: bpy.types.UILayout, problems: Sequence[str]) -> None:
    """Draw what keeps the run from starting, in red, the sentence broken where it ends."""
    for problem in problems:
        column = layout.column(align=True)
        column.alert = True
        lines = problem.rstrip(".").split(". ")
        for index, line in enumerate(lines):
            column.label(text=line, icon="BLANK1" if index else "ERROR")


def draw_jobs(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Draw this session's jobs of the scene, the last one first."""
    for job in reversed(session.current().jobs):
        if job.scene == scene:
            draw_job(layout.box(), job)


def draw_job(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw one job: how far it is, and what can be done about it."""
    folder = str(job.folder)
    row = layout.row(align=True)
    if job.active:
        draw_progress(row, job)
        return
    row.label(text=job.name, icon=ENDINGS.get(job.state, "BLANK1"))
    if job.state != "done":
        row.operator("tempera.resume", text="", icon="PLAY").folder = folder
    row.operator("tempera.restyle", text="", icon="FILE_REFRESH").folder = folder
    row.operator("tempera.show_result", text="", icon="SEQUENCE").folder = folder
    row.operator("tempera.reveal_job", text="", icon="FILE_FOLDER").folder = folder
    row.operator("tempera.remove_job", text="", icon="TRASH").folder = folder
    column = layout.column(align=True)
    column.alert = job.state == "failed"
    for line in filter(None, job.message.rstrip(".").split(". ")):
        column.label(text=line)


def draw_progress(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw a job's progress and the button that cancels it."""
    doing = "Stopping" if job.stopping else job.note or "Waiting for its turn"
    layout.progress(factor=job.progress, text=f"{job.name}: {doing}")
    layout.operator("tempera.cancel", text="", icon="X").folder = str(job.folder)
