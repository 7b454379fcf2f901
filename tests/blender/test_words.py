"""Words in panels: each fits its box at interface scales from 1 to 2, and each can be translated."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import bpy
import pytest
from layout_kit import Layout, Text, text_width
from sequencer_kit import captured_job, image_strip
from session_kit import session

ROOT = Path(__file__).resolve().parents[2]
# The room of a line, in pixels over the interface scale: of a sidebar as Blender opens it, of the properties in a small
# window, of the preferences.
SIDEBAR, PROPERTIES, WINDOW = 190.0, 216.0, 520.0
AROUND = 10.0  # is left of it by what wraps words
METHODS = ("exemplar", "framewise", "synchronized", "rerender", "tokenflow", "diffsynth", "deflicker")
SOURCES = [*ROOT.glob("*.py")]
for place in ("panels", "operators", "properties", "backend/bridge"):
    SOURCES += (ROOT / place).rglob("*.py")
LITERALS = {
    node.value
    for path in SOURCES
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Constant) and isinstance(node.value, str)
}
STATES = ("none", "running", "done", "failed")


@pytest.fixture
def draw(module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Text]]:
    """Draws a panel and returns its texts."""

    def drawn(panel: Any, room: float) -> list[Text]:
        text = module("panels.text")
        monkeypatch.setattr(text, "_room", lambda: room - AROUND)
        for place in (text, module("operators.words")):
            monkeypatch.setattr(place, "width_of", text_width)
            monkeypatch.setattr(place, "scale", lambda: 1.0)
        layout = Layout()
        panel.draw(SimpleNamespace(layout=layout), bpy.context)
        return layout.drawn(room)

    return drawn


def put_on(scene: bpy.types.Scene, method: str) -> None:
    """Everything that a panel can show is to be seen."""
    wanted = scene.tempera
    wanted.method = method
    for name in ("controlnet", "controlnet_2", "lora", "lora_2", "lora_3", "style_adapter"):
        setattr(wanted.diffusion, name, "/somewhere")
    wanted.tokenflow.editor, wanted.synchronized.fusion = "pnp", "tiny"
    wanted.keys.add().frame = 1234
    wanted.objects.add()
    wanted.objects.add().kind = "COLLECTION"


def add_job(extension: str, module: Any, folder: Path, scene: bpy.types.Scene, state: str) -> None:
    here = session(extension)
    here.jobs.clear()
    if state == "none":
        return
    made = captured_job(module("backend.bridge.job"), folder, range(1, 4), range(1, 4), scene=scene.name)
    job = here.add(made, scene)
    here.thumbnails.icon = lambda _job: 1  # there are no pictures in background
    here.preview = module("operators.preview_job").Preview(here, made, scene, made.shot_folder)
    bpy.context.window_manager.tempera.compare = "WIPE"
    job.enter("running" if state == "running" else state, "It failed for a reason." if state == "failed" else "")
    job.numbers = (("", "Next Frame", "8 Frames On", "First to Last", "Spread"), ("Change", *4 * ["0.000"]))
    job.numbers += (("Consistency", "0.000", "at no cost to the look"),)
    job.motion, job.suggestion = ("Exact for 3 of 4 objects.",), "2 key frames cover 95 % of the shot: 1, 3."


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("panel", "room"), [("sequencer", SIDEBAR), ("render", PROPERTIES)])
def test_no_text_is_longer_than_its_box(
    panel: str, room: float, method: str, state: str, extension: str, module: Any, draw: Any, tmp_path: Path
) -> None:
    scene = bpy.context.scene
    put_on(scene, method)
    image_strip(scene, tmp_path / "in", range(1, 3), channel=1).select = True
    add_job(extension, module, tmp_path / "job", scene, state)
    texts = draw(getattr(module(f"panels.{panel}"), f"TEMPERA_PT_{panel}"), room)
    session(extension).jobs.clear()
    session(extension).preview = None
    assert len(texts) > 20
    clipped = {each.text: (round(each.needs), round(each.room)) for each in texts if each.needs > each.room + 0.5}
    assert not clipped
    composed = [each.text for each in texts if each.translated and has_words(each.text) and each.text not in LITERALS]
    assert not composed  # Blender translates what stands in the source; what is composed is translated before


def test_one_of_a_kind_is_no_plural_and_footage_has_no_exact_motion_to_choose(
    extension: str, module: Any, draw: Any, tmp_path: Path
) -> None:
    scene = bpy.context.scene
    session(extension).jobs.clear()
    strip = image_strip(scene, tmp_path / "in", range(1, 2), channel=1)
    strip.select, scene.tempera.method = True, "tokenflow"
    scene.tempera.diffusion.steps, scene.tempera.diffusion.guidance = 1, 1.0
    scene.tempera.diffusion.model = "/never/run"  # whose time is not known
    scene.frame_end = 1  # without an editor under the mouse, what is previewed is the scene
    panel, whole = module("panels.sequencer").TEMPERA_PT_sequencer, module("panels.render").TEMPERA_PT_render
    texts = [each.text for each in draw(panel, SIDEBAR)]
    assert "1 frame, 1 evaluation" in texts
    assert "As in the Run" in texts and "1 evaluation, once the shot is captured." in " ".join(texts)
    assert "Features" in texts and "Estimated" not in texts
    assert "Estimated" in [each.text for each in draw(whole, PROPERTIES)]
    scene.tempera.method = "framewise"
    assert "As in the Run" not in [each.text for each in draw(panel, SIDEBAR)]  # each frame is, anyway
    left = module("operators.leftovers").current().found
    left[tmp_path] = 10**9
    chosen = module("preferences").preferences()
    prefs = SimpleNamespace(draw=lambda self, _: module("panels.preferences").draw_places(self.layout, chosen))
    assert "1 job of a file that was never saved takes 1.0 GB." in " ".join(each.text for each in draw(prefs, WINDOW))
    left.clear()


def test_settings_are_read_once_a_redraw(module: Any, draw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bpy.context.scene.tempera.method = "tokenflow"
    costs, asked = module("operators.costs"), []
    as_shown = costs.as_shown
    monkeypatch.setattr(costs, "as_shown", lambda scene: asked.append(scene) or as_shown(scene))
    texts = [each.text for each in draw(module("panels.render").TEMPERA_PT_render, PROPERTIES)]
    assert "As in the Run" in texts and asked == [bpy.context.scene]


def test_the_preferences_fit_and_can_be_translated(module: Any, draw: Any) -> None:
    chosen, sections = module("preferences").preferences(), module("preferences").PREFERENCES
    panel = SimpleNamespace(draw=lambda self, _: [section(self.layout, chosen) for section in sections])
    texts = draw(panel, WINDOW)
    assert not {each.text: (each.needs, each.room) for each in texts if each.needs > each.room + 0.5}
    assert not [each.text for each in texts if each.translated and has_words(each.text) and each.text not in LITERALS]


def test_no_sentence_of_the_panels_is_put_together_where_no_translation_finds_it() -> None:
    for path in (ROOT / "panels").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                words = [part.value for part in node.values if isinstance(part, ast.Constant)]
                assert not any(" " in part and has_words(part) for part in words), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("room", [0.0, -40.0])
def test_where_there_is_no_room_each_word_stays_whole(room: float, module: Any) -> None:
    assert module("operators.words").wrapped("Choose /a/folder now.", room) == ["Choose", "/a/folder", "now."]


LONG = "/home/someone/projects/a_film_with_a_long_name/shots/sequence-010/" + 60 * "x" + "/extensions"


def test_long_paths_in_dialogs_are_cut_to_lines(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, models, words = (module(f"operators.{name}") for name in ("setup", "models", "words"))
    monkeypatch.setattr(words, "width_of", text_width)
    monkeypatch.setattr(words, "scale", lambda: 1.0)
    monkeypatch.setattr(setup, "backend_folder", lambda: Path(LONG))
    monkeypatch.setattr(models, "hub_cache", lambda: Path(LONG))
    choice = {"name": "cpu", "label": "CPU", "size": 1e9, "source": "there", "problem": f"There is no room in {LONG}."}
    monkeypatch.setattr(setup.current(), "offer", {"choices": [choice], "reason": "No GPU is known here."})
    entry = module("backend.bridge.models.catalogue").CATALOGUE[0]
    install = SimpleNamespace(accelerator="cpu"), setup.TEMPERA_OT_install_backend, setup.DIALOG
    fetch = SimpleNamespace(identifier=entry.identifier), models.TEMPERA_OT_download_model, models.DIALOG
    for dialog, kind, width in (install, fetch):
        dialog.layout = Layout()
        dialog.layout.prop = lambda *_: None  # belongs to the operator, which only a window makes
        kind.draw(dialog, bpy.context)
        texts = dialog.layout.drawn(width - 24.0)  # what a dialog keeps on either side
        assert not {each.text: (each.needs, each.room) for each in texts if each.needs > each.room}
        assert LONG in "".join(each.text for each in texts)


def has_words(text: str) -> bool:
    return re.search(r"[A-Za-z]{2}", text) is not None


def test_the_check_finds_what_is_too_long() -> None:
    layout = Layout()
    row = layout.row()
    row.label(text="short", icon="INFO")
    row.label(text="much longer than that")
    layout.label(text="much longer than that")
    short, beside, alone = layout.drawn(150.0)
    assert (short.room, beside.room, alone.room) == (75.0, 75.0, 150.0)
    assert [each.needs > each.room for each in (short, beside, alone)] == [False, True, False]
