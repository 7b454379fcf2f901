"""What changes over a shot: animated numbers, and prompts in markers and text strips, read for each of its frames."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence

import bpy
import numpy as np

from ..backend.bridge import settings
from ..backend.bridge.settings import Settings
from ..properties.declared import plain
from .render_tools import curves
from .versions import Strip, handles, strips

PROMPT = "prompt"  # a marker "prompt: a fox by night", a text strip whose name begins so
HANDLERS = ("frame_change_pre", "frame_change_post", "depsgraph_update_pre", "depsgraph_update_post")
NOT_NEEDED = ("camera", "world", "background_set", "active_clip", "compositing_node_group")


def as_set(source: bpy.types.Scene | Strip, frames: Iterable[int]) -> Settings:
    """Return the settings as the panel has them for a shot of ``frames`` of a scene or strip.

    What differs at a frame is baked for it; objects count where there is a scene. UserError when a setting is wrong.
    """
    is_scene = isinstance(source, bpy.types.Scene)
    scene = source if is_scene else source.id_data
    run, frames = scene.tempera.settings(), sorted(set(frames))
    over_time = animated(scene, run, frames)
    if settings.specs(type(run.chosen)).get(PROMPT):
        for frame, prompt in prompts(scene, frames).items():
            over_time.setdefault(frame, {})[PROMPT] = prompt
    objects = run.objects if is_scene or source.type == "SCENE" else ()
    return dataclasses.replace(run, objects=objects, over_time=over_time)


def animated(scene: bpy.types.Scene, run: Settings, frames: Sequence[int]) -> dict[int, dict[str, object]]:
    """Return the numbers that are not at all ``frames`` what they are in ``run``, the settings at the present frame.

    Blender evaluates them: curves, drivers and NLA strips count.
    """
    known = settings.specs(type(run.chosen))
    names = [name for name, (kind, _, spec) in known.items() if spec.over_time and kind is not str]
    found: dict[int, dict[str, object]] = {}
    if not names or scene.animation_data is None:
        return found
    with stand_in(scene) as copy:
        for frame in frames:
            copy.frame_set(frame)
            homes = copy.evaluated_get(copy.view_layers[0].depsgraph).tempera.homes
            now = plain({name: homes[name] for name in names})
            found[frame] = {name: value for name, value in now.items() if value != getattr(run.chosen, name)}
    return {frame: values for frame, values in found.items() if values}


def keyframed(scene: bpy.types.Scene, run: Settings, most: int = 64) -> dict[int, dict[str, object]]:
    """Return the numbers that keyframes give at some of the scene's frames, ``most`` at most: at once, as panels ask.

    Other than in :func:`animated`, drivers and NLA strips do not count.
    """
    action = scene.animation_data.action if scene.animation_data else None
    specs, homes = settings.specs(type(run.chosen)), scene.tempera.homes
    paths = {homes[name].path_from_id(name): name for name, (_, _, spec) in specs.items() if spec.over_time}
    moving = [each for each in (curves(action) if action else ()) if not each.mute]
    known = {paths[each.data_path]: each for each in moving if each.data_path in paths}
    frames = range(scene.frame_start, scene.frame_end + 1)
    some = frames[:: -(-len(frames) // most)] if known else ()
    limits = {name: (specs[name][2].low, specs[name][2].high) for name in known}  # Blender keeps values within, too
    return {
        frame: {name: float(np.clip(curve.evaluate(frame), *limits[name])) for name, curve in known.items()}
        for frame in some
    }


@contextlib.contextmanager
def stand_in(scene: bpy.types.Scene) -> Iterator[bpy.types.Scene]:
    """Lend a copy of ``scene`` with its animation and nothing in it, which goes to a frame at no cost and unnoticed.

    In the scene itself that would run the artist's handlers and simulations.
    """
    copy = scene.copy()
    with silence():
        try:
            empty(copy)
            yield copy
        finally:
            bpy.data.scenes.remove(copy)


def empty(scene: bpy.types.Scene) -> None:
    """Take out of ``scene`` all that Blender would evaluate for its pictures."""
    for members in (scene.collection.objects, scene.collection.children):
        for each in list(members):
            members.unlink(each)
    for name in NOT_NEEDED:
        if hasattr(scene, name):  # the compositor's has been elsewhere before 5.0
            setattr(scene, name, None)
    if scene.rigidbody_world:
        scene.rigidbody_world.enabled = False
    scene.timeline_markers.clear()
    scene.sequence_editor_clear()


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Let no handler learn what frames are gone to."""
    every = [getattr(bpy.app.handlers, name) for name in HANDLERS]
    kept = [handlers[:] for handlers in every]
    try:
        for handlers in every:
            handlers.clear()
        yield
    finally:
        for handlers, before in zip(every, kept, strict=True):
            handlers[:] = before


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
