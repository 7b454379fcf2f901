"""What the panels share. Drawing only: everything shown is held by properties and the session already."""

import textwrap
from collections.abc import Sequence

import bpy

from ..backend.bridge import settings
from ..operators import session
from ..operators.session import Job
from ..properties import PACKAGE, preferences, worker_problem

LETTER_PIXELS = 6.5  # of the interface's font, on average, at a scale of 1
MARGIN_LETTERS = 12  # borders and icon
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
    """Draw what keeps the run from starting, in red."""
    for problem in problems:
        draw_text(layout, problem, "ERROR")
    if worker_problem(preferences().worker_python) in problems:
        layout.operator("preferences.addon_show", text="Open Preferences", icon="PREFERENCES").module = PACKAGE


def draw_text(layout: bpy.types.UILayout, text: str, icon: str = "BLANK1") -> None:
    """Draw sentences in lines that fit the region, in red beside the icon "ERROR"."""
    column = layout.column(align=True)
    column.alert = icon == "ERROR"
    pixels = LETTER_PIXELS * bpy.context.preferences.system.ui_scale
    letters = max(20, int(bpy.context.region.width / pixels) - MARGIN_LETTERS)
    for index, line in enumerate(textwrap.wrap(text, letters)):
        column.label(text=line, icon="BLANK1" if index else icon)


def draw_jobs(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Draw this session's jobs of the scene, the last one first, and what the scene does to a render's colours."""
    jobs = [job for job in session.current().jobs if job.scene == scene]
    for job in reversed(jobs):
        draw_job(layout.box(), job)
    view = scene.view_settings.view_transform
    if view != "Standard" and any(not job.files.source.get("strip") for job in jobs):
        draw_text(layout, f"The sequencer shows strips through {view} too. Standard shows them as they are.", "INFO")


def draw_job(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw one job: how far it is, and what can be done about it."""
    folder = str(job.folder)
    row = layout.row(align=True)
    if job.active:
        row.label(text=job.name)
        draw_cancel(row, job)
        layout.progress(factor=job.progress, text=doing(job))
        return
    row.label(text=job.name, icon=ENDINGS.get(job.state, "BLANK1"))
    if job.state != "done":
        row.operator("tempera.resume", text="", icon="PLAY").folder = folder
    row.operator("tempera.restyle", text="", icon="FILE_REFRESH").folder = folder
    row.operator("tempera.show_result", text="", icon="SEQUENCE").folder = folder
    row.operator("tempera.reveal_job", text="", icon="FILE_FOLDER").folder = folder
    row.operator("tempera.remove_job", text="", icon="TRASH").folder = folder
    if job.message:
        draw_text(layout, job.message, "ERROR" if job.state == "failed" else "INFO")
    draw_answers(layout, job)


def draw_answers(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw what is known about a job that rests, and what can be asked."""
    folder = str(job.folder)
    for cells in job.numbers:
        row = layout.row()
        for cell in cells:
            row.label(text=cell)
    if job.suggestion:
        draw_text(layout, job.suggestion, "INFO")
    row = layout.row(align=True)
    if job.state == "done":
        row.operator("tempera.measure").folder = folder
    if job.numbers:
        row.operator("tempera.show_heat_map").folder = folder
    if job.captured:
        row.operator("tempera.suggest_keys").folder = folder


def draw_cancel(layout: bpy.types.UILayout, job: Job) -> None:
    """Draw the button that cancels a job."""
    layout.operator("tempera.cancel", text="", icon="X").folder = str(job.folder)


def doing(job: Job) -> str:
    """Return what an active job does just now."""
    return "Stopping" if job.stopping else job.note or "Waiting for its turn"
