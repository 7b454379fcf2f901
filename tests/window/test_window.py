"""A session in the real Blender, by clicks and keys: a look, a run, second thoughts, paint, and what goes wrong.

Run by ``make test-window``. BLENDER names the program where it is not on the PATH. Pictures of what is seen on the way
are left in ``build/window``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from real_window import NAME, PLACE, Blender

JOBS = "session.jobs"
SCENE = """
bpy.ops.tempera.build_demo()
scene = window.scene
scene.frame_end = {frames}
scene.render.resolution_percentage = 25
scene.cycles.samples = 1
scene.frame_set(1)
bpy.ops.wm.save_as_mainfile(filepath=r"{blend}")
"""
LAYOUT = """
for panel in list(bpy.types.Panel.__subclasses__()):
    if getattr(panel, "bl_context", "") == "render" and "TEMPERA" not in panel.__name__ and panel.is_registered:
        bpy.utils.unregister_class(panel)
bpy.context.preferences.view.render_display_type = "AREA"
for area in list(window.screen.areas):
    if area.type == "VIEW_3D":
        area.type = "IMAGE_EDITOR"
    elif area.type == "OUTLINER":
        with bpy.context.temp_override(window=window, area=area):
            bpy.ops.screen.area_close()
next(area for area in window.screen.areas if area.type == "PROPERTIES").spaces[0].context = "RENDER"
"""
SEQUENCER = """
area = next(area for area in window.screen.areas if area.type == "IMAGE_EDITOR")
area.type = "SEQUENCE_EDITOR"
area.spaces[0].show_region_ui = True
"""
BRUSH = """
if scene.tool_settings.image_paint.brush is None:  # this build comes without its brushes
    bpy.data.brushes.new("Pencil", mode="TEXTURE_PAINT").asset_mark()
    area = next(area for area in window.screen.areas if area.type == "IMAGE_EDITOR")
    with bpy.context.temp_override(window=window, area=area, region=area.regions[-1]):
        bpy.ops.brush.asset_activate(asset_library_type="LOCAL", relative_asset_identifier="Brush/Pencil")
"""
WIDER = """
for area in list(window.screen.areas):
    if area.type in {{"IMAGE_EDITOR", "SEQUENCE_EDITOR"}}:
        area.type = "PROPERTIES"
        with bpy.context.temp_override(window=window, area=area):
            bpy.ops.screen.area_split(direction="VERTICAL", factor=1 - {width} / area.width)
        area.type = "IMAGE_EDITOR"
for area in window.screen.areas:
    if area.type == "PROPERTIES":
        area.spaces[0].context = "RENDER"
"""
LOADS = """
loads = []
@bpy.app.handlers.persistent
def note_load(path):
    loads.append(path)
bpy.app.handlers.load_post.append(note_load)
"""
CHANGE = """
scene.frame_end += 1
with bpy.context.temp_override(window=window):
    bpy.ops.ed.undo_push(message="a longer scene")
"""
FRAMES = 6
FILE_MENU = (40, 12)


@pytest.fixture(scope="module")
def window(start: Callable[[str], Blender]) -> Blender:
    """Blender with the demo shot open."""
    blender = start("session")
    blender.run(SCENE.format(blend=PLACE / "shot.blend", frames=FRAMES))
    blender.run(LAYOUT)
    blender.settle()
    return blender


def state(window: Blender) -> str:
    return window.ask(f"{JOBS}[-1].state if {JOBS} else ''")


def test_what_stands_in_the_way_is_told_with_the_button_that_mends_it(window: Blender) -> None:
    window.picture("01-no-key")
    x, y = window.find("tempera.stylize_render", "PROPERTIES")
    window.click(x, y)
    assert window.ask(f"len({JOBS})") == "0"
    assert window.find("tempera.add_key", "PROPERTIES")
    window.run("scene.tempera.method = 'framewise'; scene.tempera.diffusion.prompt = 'a fox on a path'")
    window.run("scene.tempera.style = 'watercolour'; scene.tempera.diffusion.steps = 4")
    window.settle()
    window.picture("02-style")


def test_a_frame_is_previewed_while_it_forms(window: Blender) -> None:
    window.press_button("tempera.preview()", "PROPERTIES")
    window.picture("03-preview-waits")
    window.until("session.preview.state in ('done', 'failed')")
    assert window.ask("session.preview.message") == "" and window.ask("session.preview.state") == "done"
    assert window.ask("[area.spaces[0].image.name for area in window.screen.areas if area.type == 'IMAGE_EDITOR']")
    for look in ("RESULT", "WIPE", "BESIDE"):
        window.run(f"bpy.ops.tempera.compare(look='{look}')")
        window.settle()
        window.picture(f"04-preview-{look.lower()}")


def test_escape_cancels_a_run_and_resume_ends_it(window: Blender) -> None:
    window.run("scene.tempera.method = 'deflicker'")
    window.settle()
    window.press_button("tempera.stylize_render", "PROPERTIES")
    window.until(f"{JOBS} and {JOBS}[-1].state == 'capturing'")
    window.until(f"({JOBS}[-1].files.shot_folder / 'scene.blend').is_file()")
    copy = window.ask(f"open({JOBS}[-1].files.shot_folder / 'scene.blend', 'rb').read(1000)")
    assert "TEST" not in copy  # the block of a file's picture, which takes seconds to render
    window.settle()
    window.picture("05-capturing")
    window.press("Escape")
    window.until(f"not {JOBS}[-1].active")
    assert state(window) == "cancelled"
    window.picture("06-cancelled")
    assert window.ask("bpy.context.preferences.filepaths.file_preview_type") == "AUTO"
    window.press_button("tempera.resume", "PROPERTIES")
    window.until(f"not {JOBS}[-1].active")
    assert state(window) == "done", window.ask(f"{JOBS}[-1].message")
    window.until(f"{JOBS}[-1].strip is not None")
    assert window.ask(f"len({JOBS}[-1].strip.elements)") == str(FRAMES)
    window.settle()
    window.picture("07-done")


def test_undo_takes_the_strip_away_and_redo_brings_it_back(window: Blender) -> None:
    window.press("ctrl+z")
    window.until(f"{JOBS}[-1].strip is None")
    window.press("ctrl+shift+z")
    window.until(f"{JOBS}[-1].strip is not None")


def test_paint_on_one_frame_is_carried_to_the_others(window: Blender) -> None:
    before = window.ask(f"[path.stat().st_mtime_ns for path in {JOBS}[-1].frames]")
    window.press_button("tempera.edit_frame", "PROPERTIES")
    window.until("any('tempera' in image for image in bpy.data.images)")
    window.settle()
    window.picture("08-edit")
    window.run(BRUSH)
    window.drag((420, 640), (760, 720))
    window.picture("09-painted")
    window.press_button("tempera.use_as_key", "IMAGE_EDITOR", "HEADER")
    window.until(f"not {JOBS}[-1].active")
    assert window.ask(f"[path.stat().st_mtime_ns for path in {JOBS}[-1].frames]") != before
    assert window.ask(f"len({JOBS}[-1].files.retouches())") == "1"
    window.picture("10-carried")


@pytest.mark.parametrize("way", ["revert", "recent"])
def test_a_file_is_loaded_again_during_a_run(window: Blender, way: str) -> None:
    window.press("ctrl+s")
    window.run(LOADS)
    window.hold("job.state == 'running'")
    window.press_button("tempera.restyle", "PROPERTIES")
    window.until("held is not None")
    window.run(CHANGE)
    if way == "revert":
        window.choose(FILE_MENU, "revert")
    else:
        window.press("ctrl+shift+o")  # the recent files, of which the first is this one
        window.press("Return")
    window.picture(f"11-{way}")
    window.press("Return" if way == "revert" else "d")  # Revert; Don't Save
    window.until("loads")
    window.go_on()
    assert window.ask("scene.frame_end") == str(FRAMES)
    window.until(f"not {JOBS}[-1].active")
    assert state(window) == "done"
    window.until(f"{JOBS}[-1].strip is not None and len({JOBS}[-1].strip.elements) == {FRAMES}")


def test_tempera_is_switched_off_during_a_run_and_on_again(window: Blender) -> None:
    window.settle()
    window.open_preferences("ADDONS")
    window.press_button("addon_search", "PREFERENCES")
    window.type("Tempera")
    window.press("Return")
    window.hold("job.state == 'running'")
    window.run("bpy.ops.tempera.rerun()")
    window.until("held is not None")
    folder = Path(window.ask(f"{JOBS}[-1].folder"))
    window.press_button("preferences.addon_disable", "PREFERENCES")
    assert json.loads((folder / "state.json").read_text())["state"] == "cancelled"
    assert window.ask("hasattr(scene, 'tempera')") == "False"
    window.picture("12-off")
    window.press_button("preferences.addon_enable", "PREFERENCES")
    window.run(f"session = importlib.import_module('{NAME}.operators.session').current()")
    window.picture("12-on-again")
    window.close_preferences()
    window.press_button("tempera.resume", "PROPERTIES")
    window.until(f"{JOBS} and not {JOBS}[-1].active")
    assert state(window) == "done"


def test_the_sequencer_has_the_same_sections(window: Blender) -> None:
    window.run(SEQUENCER)
    window.settle()
    window.open_tab("Tempera", "SEQUENCE_EDITOR")
    window.picture("13-sequencer")
    assert window.find("tempera.preview", "SEQUENCE_EDITOR", "UI")


@pytest.mark.parametrize("scale", [2.0, 1.5, 1.0])  # each makes an area as wide as the default is at it
def test_panels_at_other_scales(window: Blender, scale: float) -> None:
    window.run(f"bpy.context.preferences.view.ui_scale = {scale}")
    window.run(WIDER.format(width=282 * scale))
    for method in ("exemplar", "synchronized", "tokenflow"):
        window.run(f"scene.tempera.method = '{method}'")
        window.settle()
        window.picture(f"14-{method}-{scale:g}x")
