"""What changes over a shot: keyframed numbers, and prompts in markers and text strips, read for each of its frames.

The scene's frame is never moved for it, which would run the artist's handlers and simulations: curves are evaluated by
themselves. So drivers and NLA strips do not count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import bpy

from ..backend.bridge import settings
from ..backend.bridge.settings import Settings
from .versions import Strip, curves_of, handles, strips

PROMPT = "prompt"  # a marker "prompt: a fox by night", a text strip whose name begins so


def as_set(source: bpy.types.Scene | Strip, frames: Iterable[int]) -> Settings:
    """Return the settings as the panel has them for a shot of ``frames`` of a scene or strip.

    What differs at a frame is baked for it; objects count where there is a scene. UserError when a setting is wrong.
    """
    is_scene = isinstance(source, bpy.types.Scene)
    scene = source if is_scene else source.id_data
    run, frames = scene.tempera.settings(), sorted(set(frames))
    changing = [name for name, (_, _, spec) in settings.specs(type(run.chosen)).items() if spec.over_time]
    values: dict[int, dict[str, Any]] = {frame: {} for frame in frames}
    for name in changing:
        for frame, value in keyframed(scene, name, frames).items():
            values[frame][name] = value
    for frame, prompt in prompts(scene, frames).items():
        if "prompt" in changing:
            values[frame]["prompt"] = prompt
    objects = run.objects if is_scene or source.type == "SCENE" else ()
    return dataclasses.replace(run, objects=objects, over_time={frame: at for frame, at in values.items() if at})


def keyframed(scene: bpy.types.Scene, name: str, frames: Sequence[int]) -> dict[int, float]:
    """Return the values of the setting ``name`` by its curve at ``frames``, within its limits; none without a curve."""
    home = scene.tempera.homes[name]
    path, seen = home.path_from_id(name), home.bl_rna.properties[name]
    curve = next((each for each in curves_of(scene) if each.data_path == path and not each.mute), None)
    if curve is None:
        return {}
    limits = seen.hard_min, seen.hard_max
    return {frame: float(f"{min(max(curve.evaluate(frame), limits[0]), limits[1]):.7g}") for frame in frames}


def prompts(scene: bpy.types.Scene, frames: Sequence[int]) -> dict[int, str]:
    """Return the prompts that markers and text strips give to ``frames``; the panel's holds where none does.

    The uppermost text strip over the frame whose name begins with "prompt" counts, muted or not; else the last marker
    at or before it whose name is "prompt: " and the words, of which Blender keeps 63 letters.
    """
    editor = scene.sequence_editor
    texts = [each for each in (strips(editor) if editor else ()) if each.type == "TEXT" and _is_prompt(each.name)]
    texts.sort(key=lambda strip: strip.channel)
    marked = sorted((marker.frame, marker.name) for marker in scene.timeline_markers if _is_prompt(marker.name))
    found = {}
    for frame in frames:
        over = [strip.text for strip in texts if frame in range(*handles(strip))]
        passed = [name.partition(":")[2].strip() for at, name in marked if at <= frame and ":" in name]
        if over or passed:
            found[frame] = over[-1] if over else passed[-1]
    return found


def _is_prompt(name: str) -> bool:
    return name.lower().startswith(PROMPT)
