"""The window stays live beside a job that works: the view is turned, the animation plays, ticks are short.

Seen here is that it goes on at all. How fast is told at the end of the run and judged by ``make bench``: a busy machine
is slow without any fault of ours.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import pytest
from real_window import MIDDLE, PLACE, Blender

from backend.measure.bench import table
from backend.measure.bench_ticks import tick_times

JOBS = "session.jobs"
DRAGS = 3
SCENE = """
bpy.ops.tempera.build_demo()
scene = window.scene
scene.frame_end = 24
scene.render.resolution_percentage = 25
scene.cycles.samples = 1
scene.tempera.method = "framewise"
scene.tempera.diffusion.prompt = "a fox on a path"
scene.tempera.diffusion.steps = 4
bpy.ops.wm.save_as_mainfile(filepath=r"{blend}")
next(area for area in window.screen.areas if area.type == "PROPERTIES").spaces[0].context = "RENDER"
view = next(area for area in window.screen.areas if area.type == "VIEW_3D")
view.spaces[0].shading.type = "WIREFRAME"  # this screen is drawn without a GPU
with bpy.context.temp_override(window=window, area=view):
    bpy.ops.screen.area_split(direction="HORIZONTAL", factor=0.7)
max(window.screen.areas, key=lambda area: area.height * area.width).type = "IMAGE_EDITOR"
for panel in list(bpy.types.Panel.__subclasses__()):
    if getattr(panel, "bl_context", "") == "render" and "TEMPERA" not in panel.__name__ and panel.is_registered:
        bpy.utils.unregister_class(panel)
"""
WATCH = """
import time
ticks, views, frames = [], [], []
kind = type(session)
plain = kind.tick
def timed(self):
    began = time.perf_counter()
    try:
        return plain(self)
    finally:
        ticks.append(1000 * (time.perf_counter() - began))
kind.tick = timed
def see():
    turned = tuple(value for row in bpy.context.region_data.view_matrix for value in row)
    views.append((time.perf_counter(), turned, len(ticks)))
    frames.append(bpy.context.scene.frame_current)
watched = bpy.types.SpaceView3D.draw_handler_add(see, (), "WINDOW", "POST_PIXEL")
"""


@pytest.fixture(scope="module")
def window(start: Callable[[str], Blender]) -> Blender:
    """Blender as it opens, with the demo shot; what its view shows and how long its ticks take is noted."""
    blender = start("live")
    blender.run(SCENE.format(blend=PLACE / "live.blend"))
    blender.run(WATCH)
    blender.settle()
    return blender


def turn(window: Blender) -> tuple[int, float, int]:
    """Turn the view with the middle button, again where so busy a machine has shown but the end of it.

    Returns how many views were drawn meanwhile, the longest time between two in ms, and how often our timer ticked.
    """
    left, top, right, bottom = window.bounds("VIEW_3D", "WINDOW")
    row = (top + bottom) // 2
    window.run("views.clear()")
    moved: list = []
    for _ in range(DRAGS):
        window.drag(((2 * left + right) // 3, row), ((left + 2 * right) // 3, row + 60), button=MIDDLE)
        seen = json.loads(window.run("import json; print(json.dumps(views))"))
        moved = [one for last, one in pairwise(seen) if one[1] != last[1]]
        if len(moved) > 1:
            break
    gaps = [1000 * (after[0] - before[0]) for before, after in pairwise(moved)]
    return len(moved), max(gaps, default=0.0), moved[-1][2] - moved[0][2] if moved else 0


def test_the_view_is_turned_and_the_animation_plays_beside_a_job(window: Blender, report: list[str]) -> None:
    alone, pause, _ = turn(window)
    assert alone > 1
    report.append(f"Turning the view, nothing else at work: {alone} views, at most {pause:.0f} ms apart")
    window.press_button("tempera.stylize_render", "PROPERTIES")
    for state in ("capturing", "running"):
        window.until(f"{JOBS}[-1].state == '{state}' and {JOBS}[-1].progress > 0")
        views, pause, ticks = turn(window)
        assert window.ask(f"{JOBS}[-1].active") == "True"
        assert views > 1 and ticks > 0
        report.append(f"Turning the view while a job is {state}: {views} views, at most {pause:.0f} ms apart")
    window.press("space")
    window.run("frames.clear()")
    window.until("len(set(frames)) > 5")
    assert window.ask(f"window.screen.is_animation_playing, {JOBS}[-1].state") == "(True, 'running')"
    window.picture("42-live")
    window.press("space")
    assert window.ask("window.screen.is_animation_playing") == "False"
    window.until(f"not {JOBS}[-1].active and not {JOBS}[-1].stale")
    assert window.ask(f"{JOBS}[-1].state, len({JOBS}[-1].strip.elements)") == "('done', 24)"


def test_ticks_are_told(window: Blender, report: list[str]) -> None:
    times = PLACE / "ticks.json"
    times.write_text(window.ask("ticks"), encoding="utf-8")
    rows = {f"window: {name}": vars(row) for name, row in tick_times(times).items()}
    report.append(table(rows))
