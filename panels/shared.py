"""What the panels share. Drawing only: everything shown is held by properties and the session already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..backend.bridge import settings
from ..operators import costs, session
from ..operators.preview import Outlook, find_source, outlook
from ..operators.sentences import translated
from ..operators.session import Job
from ..properties.problems import Problem
from ..properties.window import COMPARE
from . import jobs, objects
from .text import counted, draw_text, duration, fits

FIX_LABELS = {
    "preferences.addon_show": "Open Preferences",
    "tempera.add_camera": "Add Camera",
    "tempera.add_key": "Add Key Frame",
    "tempera.choose_model": "Choose Model",
}


@dataclass(frozen=True)
class Source:
    """What a panel would stylize: how many frames, what stands in the way, and the operators that start it, by icon.

    ``strips`` says whether it is strips or the scene's render, ``footage`` whether some of it has no scene behind it,
    ``exact`` whether some of it has, and motion that is known.
    """

    frames: int
    problems: Sequence[Problem]
    operators: Mapping[str, str]
    strips: bool
    footage: bool
    exact: bool


def draw(layout: bpy.types.UILayout, scene: bpy.types.Scene, source: Source) -> None:
    """Draw all sections for one source of ``scene``."""
    draw_problems(layout, source, "backend")
    like = [job for job in session.current().jobs if bool(job.files.source.get("strip")) == source.strips]
    last = next((job for job in reversed(like) if job.scene == scene), None)
    if body := section(layout, "style", "Style"):
        draw_style(body, scene, source)
    if body := section(layout, "objects", "Objects", closed=True):
        objects.draw(body, scene, source.footage)
    if body := section(layout, "motion", "Motion", closed=True):
        draw_motion(body, scene, source, last)
    if body := section(layout, "method", "Method"):
        draw_method(body, scene, source)
    if body := section(layout, "output", "Output", closed=True):
        draw_output(body, scene)
    if body := section(layout, "run", "Run"):
        draw_run(body, scene, source)
    if body := section(layout, "jobs", "Jobs"):
        jobs.draw(body, scene)


def section(layout: bpy.types.UILayout, name: str, label: str, closed: bool = False) -> bpy.types.UILayout | None:
    """Begin a section that can be folded; return where to draw what is in it, None while it is folded."""
    header, body = layout.panel(f"TEMPERA_PT_{name}", default_closed=closed)
    header.label(text=label)
    if body is not None:
        body.use_property_split = True
        body.use_property_decorate = False
    return body


def draw_declared(layout: bpy.types.UILayout, scene: bpy.types.Scene, section: str, without: str = "") -> None:
    """Draw the chosen method's settings that are declared for ``section``, ``without`` one, as they were declared."""
    homes = {name: home for name, home in shown(scene, section).items() if name != without}
    specs = {name: settings.specs(scene.tempera.group)[name] for name in homes}
    column = layout.column()
    column.use_property_decorate = any(spec.over_time for _, _, spec in specs.values())  # the dot that sets keyframes
    boxes = fits("", [spec.label for kind, _, spec in specs.values() if kind is bool])  # all stand in one column
    for name, home in homes.items():
        kind, _, spec = specs[name]
        if kind is str and not spec.subtype and not spec.choices:
            row = column.row()
            row.use_property_decorate = False  # words need all the width there is
            row.prop(home, name, text="", placeholder=spec.label)
        elif boxes if kind is bool else fits(spec.label, [label for _, label, _ in spec.choices]):
            column.prop(home, name)
        elif kind is str:
            column.label(text=spec.label)
            column.prop(home, name, text="")
        else:  # numbers and check boxes have room for a long label once it need not stand beside them
            row = column.row()
            row.use_property_split = False
            row.prop(home, name)
            if spec.over_time:
                row.prop_decorator(home, name)
            elif column.use_property_decorate:
                row.label(text="", icon="BLANK1")


def shown(scene: bpy.types.Scene, section: str) -> dict[str, bpy.types.PropertyGroup]:
    """Return the settings of ``section`` that count as the panel is set, by name, with where each is kept."""
    specs = settings.specs(scene.tempera.group)
    return {name: home for name, home in scene.tempera.counting().items() if specs[name][2].section == section}


def draw_style(layout: bpy.types.UILayout, scene: bpy.types.Scene, source: Source) -> None:
    """Draw what the result is to look like: a style to pick and its words, or the artist's key frames."""
    wanted = scene.tempera
    if "prompt" in wanted.homes:
        layout.template_icon_view(wanted, "style", show_labels=True, scale=5.0, scale_popup=5.0)
    draw_declared(layout, scene, "style")
    if wanted.method == "exemplar":
        draw_keys(layout, scene)
    elif "prompt" not in wanted.homes:
        draw_text(layout, rpt_("This method keeps the look that the frames have."), "INFO")
    draw_problems(layout, source, "style")


def draw_keys(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Draw the list of key frames."""
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


def draw_motion(layout: bpy.types.UILayout, scene: bpy.types.Scene, source: Source, last: Job | None) -> None:
    """Draw where motion comes from: what will be exact, and after a run what was estimated and why."""
    draw_declared(layout, scene, "motion", without="" if source.exact else "motion")  # footage has no choice
    if last is not None and last.motion:
        for line in last.motion:
            draw_text(layout, line, "INFO")
    elif source.footage:
        draw_text(layout, rpt_("Estimated from the pictures: only a scene strip has exact motion."), "INFO")
    else:
        draw_text(layout, rpt_("Exact, from the scene. Blender renders the motion with the frames."), "INFO")
    if last is not None and last.suggestion:
        draw_text(layout, last.suggestion, "KEYFRAME")


def draw_method(layout: bpy.types.UILayout, scene: bpy.types.Scene, source: Source) -> None:
    """Draw the method, the sentence on when to use it, what it lacks, and its settings, the finer ones folded."""
    wanted = scene.tempera
    layout.prop(wanted, "method")
    draw_text(layout, rpt_(next(help for name, _, help in settings.METHODS if name == wanted.method)) + ".")
    draw_problems(layout, source, "method")
    draw_declared(layout, scene, "")
    layout.prop(wanted, "seed")
    for name, label in (("model", "Model"), ("control", "Control"), ("sampling", "Sampling"), ("advanced", "Advanced")):
        if shown(scene, name) and (body := section(layout, name, label, closed=True)):
            draw_declared(body, scene, name)
            if name == "model":
                body.operator("tempera.choose_model", icon="VIEWZOOM")


def draw_output(layout: bpy.types.UILayout, scene: bpy.types.Scene) -> None:
    """Draw where jobs go, and whether their frames can be see-through."""
    layout.prop(scene.tempera, "folder", placeholder="Beside the File")
    layout.prop(scene.render, "film_transparent", text="Keep Alpha")
    layout.prop(scene.tempera, "exr")


def draw_run(layout: bpy.types.UILayout, scene: bpy.types.Scene, source: Source) -> None:
    """Draw what the run will cost, what stands in its way, and the buttons that start it or show a preview."""
    run = costs.as_shown(scene)
    if source.frames:
        lines = layout.column(align=True)
        for line in cost_lines(scene, run, source.frames):
            draw_text(lines, line)
    draw_problems(layout, source, "run")
    draw_preview(layout, scene, run)
    for operator, icon in source.operators.items():
        layout.operator(operator, icon=icon)


def draw_preview(layout: bpy.types.UILayout, scene: bpy.types.Scene, run: settings.Settings) -> None:
    """Draw the buttons for a preview of ``run``, how far the last one is, and how it is held against its source."""
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("tempera.preview", icon="IMAGE_DATA")
    row.operator("tempera.preview", text="3 Frames").three = True
    source = find_source(bpy.context)[0] if scene.tempera.group.joins else None
    told = outlook(source, run) if source is not None else None
    if told is not None and not told.soon:
        column.operator("tempera.preview", text="As in the Run").whole = True
        draw_text(column, takes(told))
    preview, window = session.current().preview, bpy.context.window_manager.tempera
    if preview is None:
        return
    if preview.active:
        row = layout.row(align=True)
        row.progress(factor=preview.progress, text=jobs.doing(preview), translate=False)
        jobs.draw_cancel(row, preview)
    elif preview.state == "failed":
        draw_text(layout, translated(preview.message), "ERROR")
    else:
        layout.label(text=rpt_("Previewed in {time}").format(time=duration(preview.elapsed)), translate=False)
    if preview.files.source.get("whole"):
        words = rpt_("Painted as in the run, of the shot as captured: with the same seed it gives the same picture.")
        draw_text(layout, words, "INFO")
    elif preview.files.settings.chosen.joins:
        draw_text(layout, rpt_("Painted alone. In the run all frames agree: same look, other strokes."), "INFO")
    row = layout.row(align=True)
    for look, label, _ in COMPARE:
        row.operator("tempera.compare", text=label, depress=window.compare == look).look = look
    if window.compare == "WIPE":
        layout.prop(window, "wipe", slider=True)


def takes(told: Outlook) -> str:
    """Return what the run's own picture takes, as a sentence, "" where that is not known."""
    cost = ""
    if told.cost:
        cost = rpt_("About {time}").format(time=duration(max(1.0, told.cost.seconds)))
    elif told.evaluations:
        cost = counted(told.evaluations, "{count:,} evaluation", "{count:,} evaluations")
    if told.captured:
        return f"{cost}." if cost else ""
    return rpt_("{cost}, once the shot is captured.").format(cost=cost) if cost else rpt_("The shot is captured first.")


def cost_lines(scene: bpy.types.Scene, run: settings.Settings, frames: int) -> list[str]:
    """Return what ``run`` takes for ``frames``: these and network evaluations, then time and memory where known."""
    cost = session.current().costs.of(scene, run, frames)
    evaluations = cost.evaluations if cost else run.evaluations(frames)
    counts = [counted(frames, "{count:,} frame", "{count:,} frames")]
    if evaluations:
        counts.append(counted(evaluations, "{count:,} evaluation", "{count:,} evaluations"))
    lines = [", ".join(counts)]
    if cost is None:
        lines.append(rpt_("Time: known after the first run here"))
    else:
        time = duration(max(1.0, cost.seconds))
        lines.append(rpt_("About {time}, {memory:.1f} GB").format(time=time, memory=cost.gigabytes))
    return lines


def draw_problems(layout: bpy.types.UILayout, source: Source, section: str) -> None:
    """Draw in red what keeps the run from starting, where it is mended, each with the button that does."""
    for problem in source.problems:
        if problem.section == section:
            draw_text(layout, translated(problem.text), "ERROR")
            if problem.operator:
                button = layout.operator(problem.operator, text=FIX_LABELS[problem.operator])
                for name, value in problem.options:
                    setattr(button, name, value)
