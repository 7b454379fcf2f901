"""Blender's properties are the declared settings: same defaults, limits, choices and help, and back again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy
import pytest
from sequencer_kit import image_strip

METHODS = ("exemplar", "framewise")


@pytest.fixture
def settings(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("backend.bridge.settings")


def groups(settings: ModuleType) -> list[tuple[str, type]]:
    return [("", settings.Settings), *settings.groups().items()]


def test_every_declared_setting_is_a_property_with_its_help_and_limits(settings: ModuleType) -> None:
    count = 0
    for name, group in groups(settings):
        for setting, (kind, default, spec) in settings.specs(group).items():
            owner = bpy.context.scene.tempera
            if name:
                owner = getattr(owner, settings.layer_name(settings.homes(group)[setting]))
            seen = owner.bl_rna.properties[setting]
            assert (seen.name, seen.description) == (spec.label, spec.help)
            assert getattr(owner, setting) == (pytest.approx(default) if kind is float else default)
            assert type(getattr(owner, setting)) is kind
            assert seen.is_animatable == (spec.over_time and kind is not str)
            if spec.choices:
                shown = [(item.identifier, item.name, item.description) for item in seen.enum_items]
                assert shown == list(spec.choices)
            if spec.low is not None:
                assert (seen.hard_min, seen.hard_max) == (spec.low, spec.high)
                assert seen.soft_max == (spec.high if spec.soft_high is None else spec.soft_high)
                assert seen.soft_min == (spec.low if spec.soft_low is None else spec.soft_low)
            if spec.subtype or spec.unit:
                assert seen.subtype == ({"px": "PIXEL", "%": "PERCENTAGE"}.get(spec.unit, spec.subtype) or "NONE")
            count += 1
    assert count > 8


@pytest.mark.parametrize("method", METHODS)
def test_defaults_become_the_default_settings(settings: ModuleType, method: str) -> None:
    bpy.context.scene.tempera.method = method
    assert bpy.context.scene.tempera.settings() == settings.Settings(method=method)


@pytest.mark.parametrize("method", METHODS)
def test_settings_go_into_the_panel_and_come_back(settings: ModuleType, method: str, tmp_path: Path) -> None:
    changed = {"seed": 2**31 - 1}
    for name, (kind, default, spec) in settings.specs(settings.groups()[method]).items():
        if spec.choices:
            changed[name] = spec.choices[-1][0]
        elif kind is str:
            changed[name] = str(tmp_path / "Modèle") if spec.subtype else "a fox, 水彩"
        else:
            changed[name] = 0.123456 if kind is float else not default if kind is bool else default + 1
    run = settings.from_keywords(method, **changed)
    bpy.context.scene.tempera.take(run)
    back = bpy.context.scene.tempera.settings()
    assert dataclasses.asdict(back) == dataclasses.asdict(run)
    assert back != settings.Settings(method=method)


def test_paths_beside_the_file_become_absolute(tmp_path: Path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    wanted = bpy.context.scene.tempera
    wanted.method = "framewise"
    wanted.diffusion.model = "//models/paint"
    key = wanted.keys.add()
    key.frame, key.filepath = 3, "//key.png"
    assert wanted.settings().framewise.model == str(tmp_path / "models" / "paint")
    assert wanted.key_paths() == {3: tmp_path / "key.png"}


def test_properties_are_kept_in_the_file(tmp_path: Path) -> None:
    wanted = bpy.context.scene.tempera
    wanted.seed, wanted.exemplar.patch_size = 11, 7
    wanted.keys.add().frame = 5
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    bpy.ops.wm.read_homefile(use_empty=True)
    assert bpy.context.scene.tempera.seed == 0
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "shot.blend"))
    wanted = bpy.context.scene.tempera
    assert (wanted.seed, wanted.exemplar.patch_size, wanted.keys[0].frame) == (11, 7, 5)


def test_each_problem_is_shown_before_the_run(module: Callable[[str], ModuleType]) -> None:
    scene = bpy.context.scene
    scene.frame_start, scene.frame_end, scene.frame_step = 1, 9, 2
    wanted = scene.tempera
    assert [problem.text.split(".")[0] for problem in wanted.render_problems()] == [
        "There is no key frame in the shot",
        "The scene has no camera",
    ]
    assert [problem.section for problem in wanted.render_problems()] == ["style", "run"]
    assert [problem.text for problem in wanted.strip_problems([])] == [
        "No strip is selected. Select one that has pictures."
    ]
    wanted.keys.add().frame = 4
    wanted.keys[0].filepath = __file__
    assert len(wanted.render_problems()) == 2  # frame 4 is stepped over
    assert wanted.strip_problems([range(4, 8)]) == []
    assert len(wanted.strip_problems([range(4, 8), range(8, 12)])) == 1
    wanted.keys[0].frame = 5
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    assert wanted.render_problems() == []
    wanted.method = "framewise"  # needs no key, and no model is the starter
    wanted.keys.clear()
    assert wanted.render_problems() == []


def test_a_wrong_worker_python_is_a_problem_until_it_is_right(module: Callable[[str], ModuleType]) -> None:
    preferences = module("preferences").preferences()
    wanted = bpy.context.scene.tempera
    wanted.method = "framewise"
    preferences.worker_python = "/nowhere/python"
    try:
        (problem,) = wanted.strip_problems([range(1, 2)])
        assert problem.text == "There is no Python at /nowhere/python. Choose another one in Tempera's preferences."
        assert (problem.section, problem.operator) == ("backend", "preferences.addon_show")
    finally:
        preferences.worker_python = ""
    assert wanted.strip_problems([range(1, 2)]) == []


def test_what_is_not_there_is_told_where_it_is_chosen(tmp_path: Path) -> None:
    wanted = bpy.context.scene.tempera
    wanted.method, wanted.diffusion.model = "framewise", str(tmp_path / "gone")
    wanted.diffusion.style_image = str(tmp_path / "no.png")  # counts with an adapter alone
    (problem,) = wanted.strip_problems([range(1, 2)])
    assert problem.text == f"Model: {tmp_path / 'gone'} is not there. Choose another."
    assert (problem.section, problem.operator) == ("method", "tempera.choose_model")
    wanted.diffusion.model = f"/{'x' * 300}"  # longer than a name can be
    assert "is not there" in wanted.strip_problems([range(1, 2)])[0].text
    wanted.diffusion.model = str(tmp_path / "gone")
    (tmp_path / "gone").mkdir()
    assert wanted.strip_problems([range(1, 2)]) == []
    wanted.diffusion.style_adapter = str(tmp_path / "gone")
    (problem,) = wanted.strip_problems([range(1, 2)])
    assert (problem.section, problem.operator) == ("style", "")
    wanted.method = "exemplar"  # has no model
    assert [each.section for each in wanted.strip_problems([range(1, 2)])] == ["style"]


def test_a_key_whose_picture_is_gone_is_told_with_the_button_that_chooses_another(tmp_path: Path) -> None:
    wanted = bpy.context.scene.tempera
    for frame in (3, 5, 20):
        key = wanted.keys.add()
        key.frame, key.filepath = frame, str(tmp_path / f"{frame}.png")
    (tmp_path / "5.png").touch()
    (problem,) = wanted.strip_problems([range(1, 10)])  # 20 does not count
    assert problem.text.startswith(f"The key of frame 3 is missing: {tmp_path / '3.png'}.")
    assert (problem.section, problem.operator, dict(problem.options)) == ("style", "tempera.add_key", {"frame": 3})
    with pytest.raises(RuntimeError, match="The key of frame 3 is missing"):
        image_strip(bpy.context.scene, tmp_path / "in", range(1, 10), channel=1).select = True
        bpy.ops.tempera.stylize_strips()
    (tmp_path / "3.png").touch()
    assert wanted.strip_problems([range(1, 10)]) == []


def test_what_methods_share_stays_when_the_method_changes() -> None:
    wanted = bpy.context.scene.tempera
    wanted.method = "framewise"
    wanted.diffusion.prompt = "a fox"
    wanted.method = "exemplar"
    wanted.method = "framewise"
    assert wanted.settings().framewise.prompt == "a fox"
    assert wanted.homes["prompt"] == wanted.diffusion and wanted.homes["noise"] == wanted.framewise


def test_a_style_is_the_prompts_and_keeps_what_it_is_about(module: Callable[[str], ModuleType]) -> None:
    wanted = bpy.context.scene.tempera
    wanted.method = "framewise"
    assert wanted.style == "OWN"
    wanted.diffusion.prompt = "a fox"
    wanted.style = "oil"
    assert (wanted.style, wanted.diffusion.prompt) == ("oil", "an oil painting of a fox")
    assert wanted.diffusion.steps == module("backend.bridge.styles").STARTER["steps"]
    wanted.diffusion.model, wanted.diffusion.steps = "/model", 30
    wanted.style = "paper_cut"
    assert (wanted.diffusion.prompt, wanted.diffusion.steps) == ("a paper cut of a fox", 30)
    wanted.diffusion.prompt = "a fox by night"
    assert wanted.style == "OWN"
