"""Keyframed numbers, prompts in markers and text strips, and what objects are told, as a job gets them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import pytest
from capture_probe import box
from sequencer_kit import image_strip

FRAMES = range(1, 11)


@pytest.fixture
def scene() -> bpy.types.Scene:
    scene = bpy.context.scene
    scene.tempera.method = "framewise"
    scene.tempera.diffusion.prompt = "oil"
    return scene


@pytest.fixture
def as_set(module: Callable[[str], ModuleType]) -> Callable[..., Any]:
    return module("operators.over_time").as_set


@pytest.fixture
def tools(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("operators.render_tools")


def animate(scene: bpy.types.Scene, name: str, **at: float) -> None:
    """Keyframe a setting linearly; ``f3=0.5`` is 0.5 at frame 3."""
    for frame, value in at.items():
        setattr(scene.tempera.diffusion, name, value)
        scene.tempera.diffusion.keyframe_insert(name, frame=int(frame[1:]))


def baked(run: Any, name: str, frame: int) -> float:
    return getattr(run.at(frame).framewise, name)


def test_keyframes_count_in_what_a_run_will_cost(scene: bpy.types.Scene, module: Callable[[str], ModuleType]) -> None:
    scene.frame_start, scene.frame_end = 1, 1000
    costs, scene.tempera.diffusion.guidance = module("operators.costs"), 1.0
    alone = costs.as_shown(scene).evaluations(1000)
    assert alone == scene.tempera.settings().evaluations(1000) > 0
    animate(scene, "guidance", f1=1.0, f500=5.0, f1000=1.0)
    assert scene.tempera.diffusion.guidance == 1.0
    assert costs.as_shown(scene).evaluations(1000) == 2 * alone
    (curve,) = module("operators.render_tools").curves(scene.animation_data.action)
    curve.keyframe_points[1].co.y = 500.0  # beyond the limits, where a curve may lead but no value does
    assert costs.as_shown(scene).evaluations(1000) == 2 * alone
    curve.mute = True
    assert costs.as_shown(scene).evaluations(1000) == alone
    scene.tempera.method = "exemplar"
    assert costs.as_shown(scene).evaluations(1000) == 0


def test_animated_numbers_are_baked_frame_by_frame(
    scene: bpy.types.Scene, as_set: Callable[..., Any], tools: ModuleType
) -> None:
    animate(scene, "strength", f1=0.0, f10=0.9)
    animate(scene, "control_scale", f5=0.5)
    animate(scene, "guidance", f1=1.0, f10=10.0)
    for curve in tools.curves(scene.animation_data.action):
        for key in curve.keyframe_points:
            key.interpolation = "LINEAR"
    simulated = box("Falls", (0, 0, 0))
    bpy.context.view_layer.objects.active = simulated
    bpy.ops.rigidbody.object_add()
    moved: list[Any] = []
    handlers = [getattr(bpy.app.handlers, name) for name in ("frame_change_pre", "depsgraph_update_post")]

    def notice(*_: Any) -> None:
        moved.append(True)

    for each in handlers:
        each.append(notice)
    try:
        run = as_set(scene, FRAMES)
    finally:
        assert [each.pop() for each in handlers] == [notice] * 2
    assert not moved and scene.frame_current == 1 and list(bpy.data.scenes) == [scene]
    assert simulated.rigid_body and scene.rigidbody_world.enabled
    for frame in FRAMES:
        assert baked(run, "strength", frame) == pytest.approx((frame - 1) * 0.1, abs=1e-6)
        assert baked(run, "control_scale", frame) == 0.5
        assert baked(run, "guidance", frame) == pytest.approx(frame, abs=1e-5)
        scene.frame_set(frame)
        assert baked(run, "strength", frame) == pytest.approx(scene.tempera.diffusion.strength, abs=1e-6)


def test_drivers_count(scene: bpy.types.Scene, as_set: Callable[..., Any]) -> None:
    """One that follows the scene's own frame, and one that follows an object that moves."""
    lamp = bpy.data.objects.new("Lamp", None)
    scene.collection.objects.link(lamp)
    for frame, height in ((1, 0.0), (10, 3.0)):
        lamp.location.z = height
        lamp.keyframe_insert("location", frame=frame)
    for name, expression in (("strength", "frame / 20"), ("control_scale", "height")):
        driver = scene.tempera.diffusion.driver_add(name).driver
        driver.type, driver.expression = "SCRIPTED", expression
    variable = driver.variables.new()
    variable.name, variable.type = "height", "TRANSFORMS"
    variable.targets[0].id, variable.targets[0].transform_type = lamp, "LOC_Z"
    run = as_set(scene, FRAMES)
    assert [baked(run, "strength", frame) for frame in (1, 4, 10)] == pytest.approx([0.05, 0.2, 0.5], abs=1e-6)
    assert [baked(run, "control_scale", frame) for frame in (1, 10)] == pytest.approx([0.0, 3.0], abs=1e-6)
    assert 0.0 < baked(run, "control_scale", 3) < 1.0


def test_nla_strips_count(scene: bpy.types.Scene, as_set: Callable[..., Any]) -> None:
    animate(scene, "strength", f1=0.1, f6=0.6)
    data = scene.animation_data
    strip = data.nla_tracks.new().strips.new("Slow", 1, data.action)
    data.action, strip.scale = None, 2.0  # twice as slow
    run = as_set(scene, FRAMES)
    assert baked(run, "strength", 1) == pytest.approx(0.1)
    assert baked(run, "strength", 6) == pytest.approx(0.35)
    scene.frame_set(6)
    assert scene.tempera.diffusion.strength == pytest.approx(0.35)


def test_curves_stay_within_the_limits_and_muted_ones_do_not_count(
    scene: bpy.types.Scene, as_set: Callable[..., Any], tools: ModuleType
) -> None:
    animate(scene, "strength", f1=0.5)
    (curve,) = tools.curves(scene.animation_data.action)
    curve.keyframe_points[0].co[1] = 7.0
    curve.update()
    assert as_set(scene, [1]).over_time == {1: {"strength": 1.0}}
    curve.mute = True
    assert as_set(scene, [1]).over_time == {}


def test_a_scene_without_anything_that_changes_bakes_nothing(
    scene: bpy.types.Scene, as_set: Callable[..., Any]
) -> None:
    box("Moves", (0, 0, 0)).keyframe_insert("location", frame=1)
    scene.keyframe_insert("use_gravity", frame=1)
    scene.timeline_markers.new("Act 2", frame=3)
    assert as_set(scene, FRAMES).over_time == {}


def test_markers_hold_until_the_next_one(scene: bpy.types.Scene, as_set: Callable[..., Any]) -> None:
    for frame, name in ((3, "prompt: a fox by night"), (7, "Prompt:a fox at dawn"), (5, "cut"), (9, "prompter")):
        scene.timeline_markers.new(name, frame=frame)
    over_time = as_set(scene, FRAMES).over_time
    assert sorted(over_time) == list(range(3, 11))
    assert {over_time[frame]["prompt"] for frame in range(3, 7)} == {"a fox by night"}
    assert {over_time[frame]["prompt"] for frame in range(7, 11)} == {"a fox at dawn"}


def test_a_text_strip_counts_while_it_lasts_and_before_markers(
    scene: bpy.types.Scene, as_set: Callable[..., Any], module: Callable[[str], ModuleType]
) -> None:
    versions = module("operators.versions")
    owner = versions.strips(scene.sequence_editor_create())
    span = {"frame_start": 4, "length": 3} if bpy.app.version >= (5, 0, 0) else {"frame_start": 4, "frame_end": 7}
    texts = {"prompt": "in the rain", "Prompt.001": "in the snow", "Title": "The End"}
    for channel, (name, text) in enumerate(texts.items(), 1):
        strip = owner.new_effect(name=name, type="TEXT", channel=channel, **span)
        strip.text = text
    scene.timeline_markers.new("prompt: dry", frame=1)
    over_time = as_set(scene, FRAMES).over_time
    first, end = versions.handles(owner[0])
    assert (first, end) == (4, 7)
    assert [over_time[frame]["prompt"] for frame in (3, 4, 6, 7)] == ["dry", "in the snow", "in the snow", "dry"]


def test_a_method_without_a_model_takes_no_prompt(scene: bpy.types.Scene, as_set: Callable[..., Any]) -> None:
    animate(scene, "strength", f1=0.5)
    scene.timeline_markers.new("prompt: dry", frame=1)
    scene.tempera.method = "exemplar"
    assert as_set(scene, FRAMES).over_time == {}


def test_objects_and_collections_are_told_by_the_panel(scene: bpy.types.Scene, as_set: Callable[..., Any]) -> None:
    fox, trees = box("Fox", (0, 0, 0)), bpy.data.collections.new("Trees")
    scene.collection.children.link(trees)
    box("Tree 1", (1, 0, 0), owner=trees)
    inner = bpy.data.collections.new("Inner")
    trees.children.link(inner)
    box("Tree 2", (2, 0, 0), owner=inner)
    bpy.context.view_layer.objects.active = fox
    bpy.ops.tempera.add_object()
    entry = scene.tempera.objects[0]
    entry.prompt, entry.strength, entry.seed = "a clay fox", 0.3, 7
    bpy.ops.tempera.add_object()
    scene.tempera.objects[1].kind, scene.tempera.objects[1].collection = "COLLECTION", trees
    scene.tempera.objects[1].keep = True
    scene.tempera.objects.add()  # nothing chosen: tells nothing
    first, second = as_set(scene, FRAMES).objects
    assert (first.name, first.members) == ("Fox", ("Fox",))
    assert (first.prompt, first.strength, first.seed) == ("a clay fox", 0.3, 7)
    assert (second.name, sorted(second.members), second.keep) == ("Trees", ["Tree 1", "Tree 2"], True)
    run = scene.tempera.settings()
    bpy.ops.tempera.remove_object(index=0)
    assert [each.name for each in scene.tempera.settings().objects] == ["Trees"]
    scene.tempera.take(run)
    assert scene.tempera.settings() == run
    bpy.data.objects.remove(fox)
    assert [each.name for each in scene.tempera.settings().objects] == ["Trees"]


def test_footage_has_no_objects_to_tell(
    scene: bpy.types.Scene, as_set: Callable[..., Any], tmp_path: Path, module: Callable[[str], ModuleType]
) -> None:
    strip = image_strip(scene, tmp_path / "source", range(1, 3), channel=1)
    scene.tempera.objects.add().object = box("Fox", (0, 0, 0))
    assert as_set(strip, range(1, 3)).objects == ()
    assert len(as_set(scene, range(1, 3)).objects) == 1


def test_names_of_scripts_are_looked_up(scene: bpy.types.Scene, module: Callable[[str], ModuleType]) -> None:
    settings, resolved = module("backend.bridge.settings"), module("operators.objects").resolved
    trees = bpy.data.collections.new("Trees")
    box("Tree 1", (1, 0, 0), owner=trees)
    box("Fox", (0, 0, 0))
    run = settings.from_keywords("framewise", objects=[{"name": "Fox"}, {"name": "Trees", "keep": True}])
    assert [each.members for each in resolved(run).objects] == [("Fox",), ("Tree 1",)]
    assert resolved(resolved(run)) == resolved(run)
    gone = dataclasses.replace(run, objects=[{"name": "Wolf"}])
    with pytest.raises(module("backend.bridge.errors").UserError, match="no object and no collection named Wolf"):
        resolved(gone)


def test_an_entry_says_what_it_is_told(scene: bpy.types.Scene, module: Callable[[str], ModuleType]) -> None:
    settings, told = module("backend.bridge.settings"), module("backend.bridge.settings.objects").ObjectSettings
    entry = scene.tempera.objects.add()
    for name, (kind, default, spec) in settings.specs(told).items():
        if name != "name":
            seen = entry.bl_rna.properties[name]
            assert (seen.name, seen.description) == (spec.label, spec.help)
            assert getattr(entry, name) == (pytest.approx(default) if kind is float else default)


