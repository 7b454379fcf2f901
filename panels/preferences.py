"""The backend in Tempera's preferences: install it, how far that is, what is there, and what to do when it failed."""

import bpy

from ..backend.bridge.errands import Progress
from ..backend.bridge.models.catalogue import CATALOGUE, KINDS
from ..operators import models, setup
from ..properties import PREFERENCES, TEMPERA_preferences
from .text import draw_text

STANDINGS = {
    "": "Not looked at yet",
    "absent": "Not installed",
    "unfinished": "The install was not finished",
}


def draw_backend(layout: bpy.types.UILayout, chosen: TEMPERA_preferences) -> None:
    """Draw the worker's own Python: its state and what can be done about it."""
    box, state = layout.box(), setup.current()
    progress = state.installing.progress
    box.label(text=describe(state), icon="CHECKMARK" if state.standing == "ready" else "BLANK1")
    if progress is not None:
        row = box.row(align=True)
        row.progress(factor=progress.done / progress.total if progress.total else 0.0, text=doing(progress))
        row.operator("tempera.cancel_install", text="", icon="X")
        return
    ended = state.installing.ended
    if ended is not None and ended.message:
        draw_text(box, ended.message, "ERROR" if ended.state == "failed" else "INFO")
    row = box.row(align=True)
    label = {"ready": "Update", "unfinished": "Go On Installing"}.get(state.standing, "Install")
    row.operator("tempera.install_backend", text="Retry" if ended and ended.state == "failed" else label, icon="IMPORT")
    if state.standing in ("ready", "unfinished"):
        for name in ("verify", "repair", "remove"):
            row.operator(f"tempera.{name}_backend")
    if ended is not None and ended.report:
        row.operator("tempera.copy_install_report", icon="COPYDOWN")
    if problem := setup.source_problem():
        draw_text(box, problem, "INFO")
    box.prop(chosen, "backend_folder")
    box.prop(chosen, "wheelhouse")


def describe(state: setup.Setup) -> str:
    """Return what is installed."""
    if state.standing != "ready":
        return f"Backend: {STANDINGS[state.standing]}"
    made = state.made
    return f"Backend of Tempera {made['version']}: {made['accelerator']}, Python {made['python']}"


def doing(progress: Progress) -> str:
    """Return what goes on, and how many bytes of how many are here."""
    note = progress.note or progress.phase
    return f"{note}: {progress.done / 1e6:.0f} of {progress.total / 1e6:.0f} MB" if progress.total else note


def draw_models(layout: bpy.types.UILayout, chosen: TEMPERA_preferences) -> None:
    """Draw the models that are here and those that are recommended."""
    box, library = layout.box(), models.current()
    row = box.row()
    row.label(text="Models")
    row.operator("tempera.refresh_models", text="", icon="FILE_REFRESH")
    for each in library.found:
        family = each.family or "any family"
        label = f"{each.label}: {KINDS.get(each.kind, each.kind)}, {family}, {each.size / 1e9:.1f} GB"
        box.label(text=each.problem or label, icon="ERROR" if each.problem else "CHECKMARK")
    box.prop(chosen, "models_folder")
    progress, ended = library.fetching.progress, library.fetching.ended
    if progress is not None:
        row = box.row(align=True)
        row.progress(factor=progress.done / progress.total if progress.total else 0.0, text=doing(progress))
        row.operator("tempera.cancel_download", text="", icon="X")
        return
    if ended is not None:
        draw_text(box, ended.message, "ERROR" if ended.state == "failed" else "INFO")
    for entry in CATALOGUE:
        if not library.has(entry):
            row = box.row()
            row.label(text=f"{entry.label} ({KINDS[entry.kind]}, {entry.size / 1e9:.1f} GB): {entry.good_for}")
            row.operator("tempera.download_model", text="", icon="IMPORT").identifier = entry.identifier


SECTIONS = (draw_backend, draw_models)


def register() -> None:
    """Add to the preferences."""
    PREFERENCES.extend(SECTIONS)


def unregister() -> None:
    """Leave the preferences."""
    for section in SECTIONS:
        PREFERENCES.remove(section)
