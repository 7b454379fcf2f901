"""Pictures of every state of the panels, at interface scales of 1 and 2, to be looked at in ``build/window``.

What can be clicked to mend a problem is clicked. Whether words are cut or lines crooked is seen by eye.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from real_window import NAME, PLACE, SIZE, Blender

SCALES = (1.0, 2.0)

SCENE = """
shared = importlib.import_module("{name}.panels.shared")
fold = shared.section
preferences = importlib.import_module("{name}.preferences")
scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False  # not all builds can
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 64, 36, 100
scene.frame_start, scene.frame_end = 1, 3
for panel in list(bpy.types.Panel.__subclasses__()):
    if getattr(panel, "bl_context", "") == "render" and "TEMPERA" not in panel.__name__ and panel.is_registered:
        bpy.utils.unregister_class(panel)
bpy.context.preferences.view.show_tooltips = False
bpy.ops.wm.save_as_mainfile(filepath=r"{blend}")
"""
LAYOUT = """
for area in list(window.screen.areas):
    if area.type == "OUTLINER":
        with bpy.context.temp_override(window=window, area=area):
            bpy.ops.screen.area_close()
large = max(window.screen.areas, key=lambda area: area.width * area.height)
with bpy.context.temp_override(window=window, area=large):
    bpy.ops.screen.area_split(direction="VERTICAL", factor=564 / large.width)
"""
AREAS = """
wide, widest, narrow = sorted((area for area in window.screen.areas if area.height > 400), key=lambda area: area.x)
"""
SHOW = {
    "PROPERTIES": "area.spaces[0].context = 'RENDER'",
    "SEQUENCE_EDITOR": "area.spaces[0].show_region_ui = True",
    "PREFERENCES": "window_manager.addon_search = 'Tempera'",
}
ALONE = """
with bpy.context.temp_override(window=window, area=area, region=area.regions[0]):
    bpy.ops.screen.screen_full_area()  # and back: at a scale of 2 a sidebar has no room beside other editors
area = next(each for each in window.screen.areas if each.type == "SEQUENCE_EDITOR")
"""
LINK = """
own = scene
own.tempera.method = "deflicker"
bpy.ops.wm.save_as_mainfile(filepath=r"{library}", copy=True)
own.tempera.method = "exemplar"
with bpy.data.libraries.load(r"{library}", link=True) as (there, here):
    here.scenes = there.scenes
(linked,) = here.scenes
window.scene = linked
"""
JOBS = """
ours = importlib.import_module("{name}")
made = [ours.stylize(scene, method="deflicker") for _ in range(5)]
done, failed, paused, running, waiting = made
hand_over = failed.hand_over
def lose():
    hand_over()
    session._worker._process.kill()
failed.hand_over = lose
"""


@pytest.fixture(scope="module")
def window(start: Callable[[str], Blender]) -> Blender:
    """Blender with a small scene, Tempera alone in the render properties, and all its sections open."""
    blender = start("pictures")
    blender.run(SCENE.format(name=NAME, blend=PLACE / "pictures.blend"))
    blender.run("shared.section = lambda layout, name, label, closed=False: fold(layout, 'OPEN_' + name, label)")
    blender.run(LAYOUT)
    blender.run(AREAS)
    blender.settle()
    return blender


def photograph(window: Blender, name: str, editor: str = "PROPERTIES", pages: int = 1) -> None:
    """Take pictures of an editor at each scale, scrolled down for each further page."""
    for scale in SCALES:
        window.run(f"bpy.context.preferences.view.ui_scale = {scale}")
        if editor == "PREFERENCES":
            window.open_preferences("ADDONS")
            window.run("home = window_manager.windows[-1]; area = home.screen.areas[0]")
        else:
            width = "widest" if editor != "PROPERTIES" else "narrow" if scale == 1 else "wide"
            window.run(f"home = window; area = {width}; area.type = '{editor}'")
        window.settle()  # only when it is drawn Blender 4.3 knows what it can show
        window.run(SHOW[editor])
        if editor == "SEQUENCE_EDITOR":
            window.run(ALONE)
            window.settle()
            window.open_tab("Tempera", editor)
        left, top, wide, high = map(int, window.run(BOUNDS).split())
        window.settle()
        for page in range(pages):
            window.move(SIZE[0] // 2, SIZE[1] - 8)  # where there is no tooltip
            window.settle()
            window.picture(f"{name}-{scale:g}x" + (f"-{page + 1}" if pages > 1 else ""), (left, top, wide, high))
            window.move(left + 3 * wide // 4, top + high // 2)  # over a sidebar, where there is one
            time.sleep(0.3)
            window.scroll(60 if page + 1 < pages else -60)
        if editor == "PREFERENCES":
            window.close_preferences()
            continue
        if editor == "SEQUENCE_EDITOR":
            window.run(ALONE)
        window.run("area.type = 'IMAGE_EDITOR'")


BOUNDS = f"print(home.x + area.x, {SIZE[1]} - home.y - area.y - area.height, area.width, area.height)"


def test_what_stands_in_the_way_is_mended_by_its_button(window: Blender) -> None:
    window.run("chosen = preferences.preferences(); chosen.worker_python = '/nowhere/python'")
    window.run("bpy.data.objects.remove(scene.camera)")
    photograph(window, "30-problems", pages=2)
    window.run("area = narrow; area.type = 'PROPERTIES'; bpy.context.preferences.view.ui_scale = 1")
    window.settle()
    window.run(SHOW["PROPERTIES"])
    window.settle()
    window.press_button("tempera.add_camera", "PROPERTIES")
    window.until("scene.camera is not None")
    window.run("chosen.worker_python = ''")
    assert window.ask("[problem.section for problem in scene.tempera.render_problems()]") == "['style']"


def test_a_linked_scene(window: Blender) -> None:
    window.run(LINK.format(library=PLACE / "library.blend"))
    window.settle()
    assert window.ask("[problem.section for problem in scene.tempera.render_problems()]") == "['run']"
    photograph(window, "30-linked", pages=2)
    window.run("window.scene = own; bpy.data.scenes.remove(linked)")


@pytest.mark.parametrize(
    "method", ["exemplar", "synchronized", "rerender", "tokenflow", "diffsynth", "deflicker", "framewise"]
)
def test_methods(window: Blender, method: str) -> None:
    window.run(f"scene.tempera.method = '{method}'")
    if method != "exemplar":
        window.run("scene.tempera.diffusion.prompt = 'a watercolour of a fox in the snow, by the lantern of a mill'")
    photograph(window, f"31-{method}", pages=2)


def test_objects(window: Blender) -> None:
    window.run("scene.tempera.method = 'rerender'")
    window.run("entry = scene.tempera.objects.add(); entry.object = bpy.data.objects['Cube']; entry.prompt = 'snow'")
    window.run("entry = scene.tempera.objects.add(); entry.kind = 'COLLECTION'; entry.keep = True")
    photograph(window, "32-objects")
    window.run("scene.tempera.objects.clear()")


def test_jobs_in_every_state(window: Blender) -> None:
    window.run(JOBS.format(name=NAME))
    window.run("paused.cancel()")
    window.until("done.state == 'done'")
    window.until("not failed.active")
    assert window.ask("failed.state") == "failed"
    window.run("done.measure()")
    window.until("not done.active and not any(job.active for job in made)")
    for state in ("done", "failed", "paused"):
        window.run(f"listed = bpy.context.window_manager.tempera; listed.active = 4 - made.index({state})")
        photograph(window, f"33-job-{state}", pages=2)
    window.run("running = ours.stylize(scene, method='deflicker')")
    window.run("session.tick = lambda: True  # stands still for its pictures")
    photograph(window, "33-job-running", pages=2)
    window.run("del session.tick; running.cancel()")
    window.until("not running.active")


def test_strips(window: Blender) -> None:
    window.run("scene.tempera.method = 'synchronized'")
    window.run("for job in made: job.strip and setattr(job.strip, 'select', False)")
    photograph(window, "34-no-strip", "SEQUENCE_EDITOR", pages=2)
    window.run("done.strip.select = True")
    photograph(window, "35-strip", "SEQUENCE_EDITOR", pages=2)


def test_preferences(window: Blender) -> None:
    window.run(f"bpy.ops.preferences.addon_expand(module='{NAME}')")
    window.run(f"setup = importlib.import_module('{NAME}.operators.setup').current()")
    window.run(f"errands = importlib.import_module('{NAME}.backend.bridge.errands')")
    photograph(window, "36-missing", "PREFERENCES", pages=2)
    for state in ("installing", "failed", "unfinished", "ready"):
        window.run(PREFERENCES[state])
        photograph(window, f"36-{state}", "PREFERENCES")
    window.run("setup.installing._errand = setup.installing.ended = None; setup.refresh()")


PREFERENCES = {
    "installing": """
setup.installing._errand = type("Errand", (), {"progress": errands.Progress("download", 812_000_000, 3_100_000_000)})()
""",
    "failed": """
setup.installing._errand = None
sentence = "The disk is full. Free some space, then press Retry."
setup.installing.ended = errands.Ended("failed", "download", sentence, "report")
""",
    "unfinished": "setup.installing.ended = None; setup.standing = 'unfinished'",
    "ready": """
setup.standing, setup.made = "ready", {"version": "0.1.0", "accelerator": "cuda", "python": "3.12"}
""",
}
