"""The backend in Tempera's preferences: install it, how far that is, what is there, and what to do when it failed."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..backend.bridge.errands import Progress
from ..backend.bridge.models.catalogue import CATALOGUE, KINDS
from ..operators import leftovers, models, setup
from ..operators.sentences import translated
from ..preferences import PREFERENCES, TEMPERA_preferences, worker_problem
from .text import counted, draw_text

STANDINGS = {
    "": "Not looked at yet",
    "absent": "Not installed",
    "unfinished": "The install was not finished",
}


def draw_places(layout: bpy.types.UILayout, chosen: TEMPERA_preferences) -> None:
    """Draw where the worker and the jobs are."""
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.prop(chosen, "worker_python")
    if problem := worker_problem(chosen.worker_python):
        draw_text(layout, translated(problem), "ERROR")
    layout.prop(chosen, "jobs_folder")
    if found := leftovers.current().found:
        one = "{count} job of a file that was never saved takes {size}."
        many = "{count} jobs of files that were never saved take {size}."
        told = counted(len(found), one, many, size=size_of(sum(found.values())))
        draw_text(layout, told, "INFO")
        layout.operator("tempera.remove_leftovers", icon="TRASH")


def draw_backend(layout: bpy.types.UILayout, chosen: TEMPERA_preferences) -> None:
    """Draw the worker's own Python: its state and what can be done about it."""
    box, state = layout.box(), setup.current()
    progress = state.installing.progress
    box.label(text=describe(state), icon="CHECKMARK" if state.standing == "ready" else "NONE", translate=False)
    if progress is not None:
        row = box.row(align=True)
        share = progress.done / progress.total if progress.total else 0.0
        row.progress(factor=share, text=doing(progress), translate=False)
        row.operator("tempera.cancel_install", text="", icon="X")
        return
    ended = state.installing.ended
    if ended is not None and ended.message:
        draw_text(box, translated(ended.message), "ERROR" if ended.state == "failed" else "INFO")
    row = box.row(align=True)
    label = {"ready": "Update", "unfinished": "Go On Installing"}.get(state.standing, "Install")
    row.operator("tempera.install_backend", text="Retry" if ended and ended.state == "failed" else label, icon="IMPORT")
    if state.standing in ("ready", "unfinished"):
        for name in ("verify", "repair", "remove"):
            row.operator(f"tempera.{name}_backend")
    if ended is not None and ended.report:
        row.operator("tempera.copy_install_report", icon="COPYDOWN")
    if problem := setup.source_problem():
        draw_text(box, translated(problem), "INFO")
    box.prop(chosen, "backend_folder")
    box.prop(chosen, "wheelhouse")


def describe(state: setup.Setup) -> str:
    """Return what is installed."""
    if state.standing != "ready":
        return rpt_("Backend: {standing}").format(standing=rpt_(STANDINGS[state.standing]))
    return rpt_("Backend of Tempera {version}: {accelerator}, Python {python}").format_map(state.made)


def doing(progress: Progress) -> str:
    """Return what goes on, and how many bytes of how many are here."""
    note = rpt_(progress.note or progress.phase)
    if not progress.total:
        return note
    done, total = progress.done / 1e6, progress.total / 1e6
    return rpt_("{note}: {done:.0f} of {total:.0f} MB").format(note=note, done=done, total=total)


def draw_models(layout: bpy.types.UILayout, chosen: TEMPERA_preferences) -> None:
    """Draw the models that are here and those that are recommended."""
    box, library = layout.box(), models.current()
    row = box.row()
    row.label(text="Models")
    row.operator("tempera.refresh_models", text="", icon="FILE_REFRESH")
    for each in library.found:
        family = each.family or rpt_("any family")
        kind = rpt_(KINDS.get(each.kind, each.kind))
        label = f"{each.label}: {kind}, {family}, {size_of(each.size)}"
        draw_text(box, translated(each.problem) if each.problem else label, "ERROR" if each.problem else "CHECKMARK")
    box.prop(chosen, "models_folder")
    progress, ended = library.fetching.progress, library.fetching.ended
    if progress is not None:
        row = box.row(align=True)
        share = progress.done / progress.total if progress.total else 0.0
        row.progress(factor=share, text=doing(progress), translate=False)
        row.operator("tempera.cancel_download", text="", icon="X")
        return
    if ended is not None:
        draw_text(box, translated(ended.message), "ERROR" if ended.state == "failed" else "INFO")
    for entry in CATALOGUE:
        if not library.has(entry):
            row = box.row()
            row.label(text=f"{entry.label} ({rpt_(KINDS[entry.kind])}, {size_of(entry.size)})", translate=False)
            row.operator("tempera.download_model", text="", icon="IMPORT").identifier = entry.identifier
            draw_text(box, rpt_(entry.good_for))


def size_of(count: int) -> str:
    """Return a number of bytes as an artist reads it."""
    return rpt_("{size:.1f} GB").format(size=count / 1e9)


SECTIONS = (draw_places, draw_backend, draw_models)


def register() -> None:
    """Add to the preferences."""
    PREFERENCES.extend(SECTIONS)


def unregister() -> None:
    """Leave the preferences."""
    for section in SECTIONS:
        PREFERENCES.remove(section)
