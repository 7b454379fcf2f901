"""What the artist is told, and which cameras are trusted in which Blender."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import bpy
import numpy as np
import pytest
from capture_probe import add_file_output, box, new_scene


@pytest.fixture
def notes(module: Callable[[str], ModuleType]) -> ModuleType:
    return module("operators.render_notes")


def test_a_plain_scene_needs_no_note(notes: ModuleType) -> None:
    scene = new_scene()
    box("Cube", (0, 0, 0)).data.materials.append(bpy.data.materials.new("Plain"))
    assert notes.notes_on(scene) == []


def test_each_thing_that_the_data_lacks_is_named(notes: ModuleType) -> None:
    scene = new_scene()
    hairy = box("Hairy", (0, 0, 0))
    hairy.modifiers.new("Hair", "PARTICLE_SYSTEM")
    hairy.particle_systems[0].settings.type = "HAIR"
    scene.collection.objects.link(bpy.data.objects.new("Smoke", bpy.data.volumes.new("Smoke")))
    pencil = bpy.data.grease_pencils_v3 if hasattr(bpy.data, "grease_pencils_v3") else bpy.data.grease_pencils
    scene.collection.objects.link(bpy.data.objects.new("Ink", pencil.new("Ink")))
    rock = bpy.data.materials.new("Ore")
    if rock.node_tree is None:
        rock.use_nodes = True
    rock.displacement_method = "DISPLACEMENT"
    shift = rock.node_tree.nodes.new("ShaderNodeDisplacement")
    rock.node_tree.links.new(shift.outputs[0], rock.node_tree.nodes["Material Output"].inputs["Displacement"])
    for number in range(6):
        stone = box(f"Stone {number}", (0, 0, 0))
        stone.data.materials.append(rock.copy())
    scene.render.use_motion_blur = scene.render.use_freestyle = True
    tree = add_file_output(scene, Path(bpy.app.tempdir))
    tree.nodes.new("CompositorNodeTranslate")
    assert notes.notes_on(scene) == [
        "Ore.001, Ore.002, Ore.003, Ore.004 and 2 more: displacement by the material is missing in the motion data.",
        "Smoke: smoke and fog have no surface; the motion data shows what is behind.",
        "Hairy: hair is thin, its motion is only followed from frame to frame.",
        "Ink: strokes are missing in the motion data.",
        "Motion blur is on: its edges reach beyond the motion data, which is sharp.",
        "Freestyle lines are missing in the motion data.",
        "The compositor moves pixels, which the motion data does not follow.",
    ]


@pytest.mark.parametrize(
    ("kind", "zooms", "wrong_in"),
    [
        ("PERSP", False, set()),
        ("PERSP", True, {(4, 2)}),
        ("ORTHO", False, {(4, 5), (5, 0), (5, 1)}),
        ("ORTHO", True, {(4, 2), (4, 5), (5, 0), (5, 1), (5, 2)}),
    ],
)
def test_trust_follows_what_each_blender_gets_wrong(
    notes: ModuleType, kind: str, zooms: bool, wrong_in: set[tuple[int, int]]
) -> None:
    cameras = {
        frame: {"name": "Camera", "type": kind, "projection": (np.eye(4) * (1 + frame * zooms)).tolist()}
        for frame in (1, 2)
    }
    for version in ((4, 2), (4, 5), (5, 0), (5, 1), (5, 2)):
        trust = notes.vector_trust(cameras, (*version, 0))
        assert trust["trusted"] == (version not in wrong_in)
        assert trust["trusted"] or trust["reason"].startswith(f"Blender {version[0]}.{version[1]} ")


def test_a_cut_to_another_lens_is_no_zoom(notes: ModuleType) -> None:
    cameras = {
        frame: {"name": name, "type": "PERSP", "projection": (np.eye(4) * frame).tolist()}
        for frame, name in ((1, "A"), (2, "B"))
    }
    assert notes.vector_trust(cameras, (4, 2, 0))["trusted"] and notes.cuts_between(cameras) == [2]
