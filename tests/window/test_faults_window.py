"""What artists do while a job runs, by clicks and keys: nothing is lost, nothing freezes, no worker dies of it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from real_window import NAME, PLACE, Blender

LENGTH = 24
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
bpy.ops.ed.undo_push(message="without earlier results")
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


def begin(window: Blender) -> None:
    """Take away earlier results, select the strip of footage and stylize it, the last two by clicks."""
    window.run(CLEAR)
    before = int(window.ask(f"len({JOBS})"))
    select_plate(window)
    window.press_button("tempera.stylize_strips", "SEQUENCE_EDITOR", "UI")
    window.until(f"len({JOBS}) == {before + 1}")


def reach(window: Blender, stage: str) -> None:
    window.until(f"{JOBS}[-1].state == '{stage}' and ({JOBS}[-1].progress > 0 or not {JOBS}[-1].active)")


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


@pytest.mark.parametrize("stage", ["capturing", "running", "done"])
def test_undo_at_each_stage_loses_nothing(window: Blender, stage: str) -> None:
    begin(window)
    window.run("scene.frame_end = 99; bpy.ops.ed.undo_push(message='a longer scene')")
    reach(window, stage)
    window.move(*window.place_of(LENGTH / 2, 6))
    for _ in range(3):  # the strip that the job made, the selection, the scene's end
        window.press("ctrl+z")
    ends_well(window)
    assert window.ask("scene.frame_end") == str(LENGTH)
    window.run(f"bpy.ops.tempera.show_result(folder=str({JOBS}[-1].folder))")
    assert window.ask(f"len({JOBS}[-1].strip.elements)") == str(LENGTH)


def test_undo_during_a_question_and_a_preview(window: Blender) -> None:
    window.run(f"bpy.ops.tempera.measure(folder=str({JOBS}[-1].folder))")
    window.until(f"{JOBS}[-1].active")
    window.press("ctrl+z")
    window.until(f"not {JOBS}[-1].active")
    assert window.ask(f"bool({JOBS}[-1].numbers), {JOBS}[-1].message") == "(True, '')"
    window.run("scene.frame_set(5)")
    select_plate(window)
    window.press_button("tempera.preview()", "SEQUENCE_EDITOR", "UI")
    window.move(*window.place_of(LENGTH / 2, 6))
    window.press("ctrl+z")
    window.until("session.preview is not None and session.preview.state in ('done', 'failed')")
    assert window.ask("session.preview.state, session.preview.message") == "('done', '')"


def test_the_result_is_moved_and_deleted_by_keys_while_it_grows(window: Blender) -> None:
    begin(window)
    window.run(HOLD)
    window.until(f"{JOBS}[-1].strip is not None and len({JOBS}[-1].strip.elements) > 5")
    window.settle()
    window.click(*window.place_of(3.5, int(window.ask(f"{JOBS}[-1].strip.channel")) + 0.5))
    window.until(f"{JOBS}[-1].strip.select")
    window.press("g")
    window.run("session._worker._process.send_signal(signal.SIGCONT)")
    window.press("5")
    window.press("Return")
    assert window.ask(f"{JOBS}[-1].strip.frame_start") == "6.0"
    ends_well(window)
    assert window.ask(f"{JOBS}[-1].strip.frame_start, len({JOBS}[-1].strip.elements)") == f"(6.0, {LENGTH})"
    window.press("Delete")
    window.until(f"{JOBS}[-1].strip is None")
    assert window.ask(f"len({JOBS}[-1].frames)") == str(LENGTH)


# Stops the worker half-way, so that there is time to take the strip.
HOLD = """
import signal
def hold():
    if not 6 <= len(session.jobs[-1].finished) < 20:
        return 0.01 if session.jobs[-1].active else None
    session._worker._process.send_signal(signal.SIGSTOP)
bpy.app.timers.register(hold)
"""


def test_the_sequencer_is_rendered_by_f12_during_a_job(window: Blender) -> None:
    window.run("bpy.context.preferences.view.render_display_type = 'NONE'")
    window.run("rendered = []; bpy.app.handlers.render_complete.append(lambda *_: rendered.append(1))")
    begin(window)
    reach(window, "running")
    window.press("F12")
    window.until("rendered")
    ends_well(window)


def test_playback_goes_on_during_a_job(window: Blender) -> None:
    begin(window)
    window.move(*window.place_of(LENGTH / 2, 6))
    window.press("space")
    window.run("seen = set()")
    live = f"{JOBS}[-1].active and window.screen.is_animation_playing"
    window.until(f"{live} and (seen.add(scene.frame_current) or len(seen)) > 1")
    window.press("Escape")  # stops the playback, not the job
    assert window.ask("window.screen.is_animation_playing") == "False"
    ends_well(window)


@pytest.mark.parametrize("template", ["", "Video_Editing"])
def test_a_new_file_during_a_job(window: Blender, template: str) -> None:
    """General keeps Tempera on, so that the job goes on; a template switches it off, and on again."""
    begin(window)
    reach(window, "capturing")
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
    begin(window)
    window.run("bpy.ops.wm.save_mainfile()")
    reach(window, "capturing")
    other = start("other")
    other.run(f"bpy.ops.wm.open_mainfile(filepath=r'{PLACE / 'cut.blend'}')")
    look(other)
    other.open_tab("Tempera", "SEQUENCE_EDITOR")
    other.picture("24-two-blenders")
    ends_well(window)
    assert other.ask(f"{JOBS}[-1].state") in {"cancelled", "done"}
    if other.ask(f"{JOBS}[-1].state") == "cancelled":
        other.press_button("tempera.resume", "SEQUENCE_EDITOR", "UI")
    ends_well(other)
