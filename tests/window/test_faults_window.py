"""What artists do while a job runs, by clicks and keys: nothing is lost, nothing freezes, no worker dies of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from real_window import NAME, PLACE, Blender

LENGTH = 48
JOBS = "session.jobs"
CUT = """
scene.name = "Cut"
scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 256, 144, 100
scene.view_settings.view_transform = "Standard"
scene.frame_start, scene.frame_end = 1, {length}
editor = scene.sequence_editor_create()
strips = editor.strips if hasattr(editor, "strips") else editor.sequences
files = sorted(__import__("pathlib").Path(r"{pictures}").iterdir())
strip = strips.new_image("Plate", str(files[0]), 1, 1)
for file in files[1:]:
    strip.elements.append(file.name)
strip.select = False
scene.tempera.method = "deflicker"
bpy.ops.wm.save_as_mainfile(filepath=r"{blend}")
"""
CLEAR = """
strips = getattr(scene.sequence_editor, "strips", None) or scene.sequence_editor.sequences
for strip in [strip for strip in strips if strip.name != "Plate"]:
    strips.remove(strip)
with bpy.context.temp_override(window=window):
    bpy.ops.ed.undo_push(message="without earlier results")
"""
STAGES = {
    "capturing": "job.state == 'capturing'",
    "running": "job.state == 'running'",
    "growing": "job.state == 'running' and job.strip is not None and len(job.strip.elements) > 5",
}
LONGER = """
scene.frame_end = 99
with bpy.context.temp_override(window=window):
    bpy.ops.ed.undo_push(message="a longer scene")
"""
EDITORS = """
if hasattr(window.workspace, "sequencer_scene"):
    window.workspace.sequencer_scene = scene
area = max(window.screen.areas, key=lambda area: area.width * area.height)
area.type = "SEQUENCE_EDITOR"
area.spaces[0].view_type = "SEQUENCER"
area.spaces[0].show_region_ui = True
region = next(region for region in area.regions if region.type == "WINDOW")
with bpy.context.temp_override(window=window, area=area, region=region):
    bpy.ops.sequencer.view_all()
session = importlib.import_module("{name}.operators.session").current()
"""


@pytest.fixture(scope="module")
def window(start: Callable[[str], Blender]) -> Blender:
    """Blender with a strip of footage in the sequencer and Tempera's tab open beside it."""
    pictures, blend = PLACE / "plate", PLACE / "cut.blend"
    blender = start("faults")
    pictures.mkdir()
    source = f"testsrc2=size=256x144:rate=24:duration={LENGTH / 24}"
    command = ["ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", source, str(pictures / "%04d.png")]
    subprocess.run(command, check=True)
    blender.run(CUT.format(length=LENGTH, pictures=pictures, blend=blend))
    look(blender)
    blender.open_tab("Tempera", "SEQUENCE_EDITOR")
    return blender


def look(window: Blender) -> None:
    """Show the sequencer of the open file."""
    window.run(EDITORS.format(name=NAME))
    window.settle()


def select_plate(window: Blender) -> None:
    """Click the strip of footage."""
    window.click(*window.place_of(LENGTH / 4, 1.5))


def begin(window: Blender, stage: str = "") -> None:
    """Take away earlier results, select the strip of footage and stylize it, the last two by clicks.

    With a ``stage`` the job is brought there, and stays there until ``window.go_on()``.
    """
    window.run(CLEAR)
    before = int(window.ask(f"len({JOBS})"))
    if stage:
        window.hold(f"len({JOBS}) > {before} and {STAGES[stage]}")
    select_plate(window)
    window.press_button("tempera.stylize_strips", "SEQUENCE_EDITOR", "UI")
    window.until(f"len({JOBS}) == {before + 1}" + (" and held is not None" if stage else ""))


def ends_well(window: Blender) -> None:
    """Wait for the last job and see that it is whole."""
    window.until(f"not {JOBS}[-1].active")
    assert window.ask(f"{JOBS}[-1].state") == "done", window.ask(f"{JOBS}[-1].message")
    assert window.ask(f"len({JOBS}[-1].frames)") == str(LENGTH)


def test_a_strip_is_chosen_by_a_click_and_its_result_lies_above_it(window: Blender) -> None:
    assert not window.ask("[strip.name for strip in strips if strip.select]").strip("[]")
    window.picture("20-no-strip")
    begin(window)
    window.picture("21-strip-runs")
    ends_well(window)
    window.until(f"{JOBS}[-1].strip is not None and len({JOBS}[-1].strip.elements) == {LENGTH}")
    assert window.ask(f"{JOBS}[-1].strip.channel") == "2"
    window.picture("22-strip-done")


@pytest.mark.parametrize("stage", ["capturing", "growing", "done"])
def test_undo_at_each_stage_loses_nothing(window: Blender, stage: str) -> None:
    begin(window, "" if stage == "done" else stage)
    if stage == "done":
        ends_well(window)
    window.run(LONGER)
    window.move(*window.place_of(LENGTH / 2, 6))
    for _ in range(3):  # the scene's end, what the job made, the selection
        window.press("ctrl+z")
    assert window.ask("scene.frame_end") == str(LENGTH)
    if stage != "done":
        window.go_on()
    ends_well(window)
    window.run(f"bpy.ops.tempera.show_result(folder=str({JOBS}[-1].folder))")
    assert window.ask(f"len({JOBS}[-1].strip.elements)") == str(LENGTH)


def test_the_result_is_moved_and_deleted_by_keys_while_it_grows(window: Blender) -> None:
    begin(window, "growing")
    window.click(*window.place_of(3.5, int(window.ask(f"{JOBS}[-1].strip.channel")) + 0.5))
    window.press("g")
    window.go_on()
    window.press("5")
    window.press("Return")
    assert window.ask(f"{JOBS}[-1].strip.frame_start") == "6.0"
    ends_well(window)
    window.until(f"len({JOBS}[-1].strip.elements) == {LENGTH}")
    assert window.ask(f"{JOBS}[-1].strip.frame_start") == "6.0"
    window.press("Delete")
    window.until(f"{JOBS}[-1].strip is None")
    assert window.ask(f"len({JOBS}[-1].frames)") == str(LENGTH)


def test_the_sequencer_is_rendered_by_f12_during_a_job(window: Blender) -> None:
    window.run("bpy.context.preferences.view.render_display_type = 'NONE'")
    window.run("rendered = []; bpy.app.handlers.render_complete.append(lambda *_: rendered.append(1))")
    begin(window, "running")
    window.press("F12")
    window.go_on()
    window.until("rendered")
    ends_well(window)


def test_playback_goes_on_during_a_job(window: Blender) -> None:
    begin(window, "capturing")
    window.move(*window.place_of(LENGTH / 2, 6))
    window.press("space")
    window.run("seen = set()")
    window.until("window.screen.is_animation_playing and (seen.add(scene.frame_current) or len(seen)) > 3")
    window.press("Escape")  # stops the playback, not the job
    assert window.ask(f"window.screen.is_animation_playing, {JOBS}[-1].state") == "(False, 'capturing')"
    window.go_on()
    ends_well(window)


@pytest.mark.parametrize("template", ["", "Video_Editing"])
def test_a_new_file_during_a_job(window: Blender, template: str) -> None:
    """General keeps Tempera on, so that the job goes on; a template switches it off, and on again."""
    begin(window, "capturing")
    window.run("bpy.ops.wm.save_mainfile()")
    folder = window.ask(f"{JOBS}[-1].folder")
    if template:
        window.run(f"bpy.ops.wm.read_homefile(app_template='{template}')")
    else:
        window.press("ctrl+n")
        window.press("g")
    window.until("bpy.data.filepath == ''")
    look(window)
    if not template:
        window.go_on()
        ends_well(window)
        assert window.ask(f"{JOBS}[-1].strip") == "None"
    window.run(f"bpy.ops.wm.open_mainfile(filepath=r'{PLACE / 'cut.blend'}')")
    look(window)
    window.run(f"job = next(job for job in {JOBS} if str(job.folder) == r'{folder}')")
    if template:
        assert window.ask("job.state") == "cancelled"
        window.run("job.resume()")
    window.until("not job.active and job.strip is not None")
    assert window.ask("job.state, len(job.frames), len(job.strip.elements)") == f"('done', {LENGTH}, {LENGTH})"


def test_two_blenders_on_one_file(window: Blender, start: Callable[[str], Blender]) -> None:
    begin(window, "capturing")
    window.run("bpy.ops.wm.save_mainfile()")
    other = start("other")
    other.run(f"bpy.ops.wm.open_mainfile(filepath=r'{PLACE / 'cut.blend'}')")
    look(other)
    other.open_tab("Tempera", "SEQUENCE_EDITOR")
    other.press_button("tempera.resume", "SEQUENCE_EDITOR", "UI")
    other.picture("24-two-blenders")
    assert other.ask(f"{JOBS}[-1].message") == "Another Blender works on it. Resume when that one has stopped."
    window.go_on()
    ends_well(window)
    other.run(f"{JOBS}[-1].resume()")
    ends_well(other)


def test_undo_during_a_question_and_a_preview(window: Blender) -> None:
    """The last one: the preview opens a window of its own, which takes the keys."""
    begin(window)
    ends_well(window)
    window.run(f"bpy.ops.tempera.measure(folder=str({JOBS}[-1].folder))")
    window.until(f"{JOBS}[-1].active")
    window.press("ctrl+z")
    window.until(f"not {JOBS}[-1].active")
    assert window.ask(f"bool({JOBS}[-1].numbers), {JOBS}[-1].message") == "(True, '')"
    window.run("scene.frame_set(5)")
    select_plate(window)
    window.press_button("tempera.preview()", "SEQUENCE_EDITOR", "UI")
    window.press("ctrl+z")
    window.until("session.preview is not None and session.preview.state in ('done', 'failed')")
    assert window.ask("session.preview.state, session.preview.message") == "('done', '')"
