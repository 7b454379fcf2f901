"""The names that changed between Blender 4.2 and 5.2, in one place."""

from __future__ import annotations

from typing import Any

import bpy

# A sequence editor or a meta strip: what holds strips and channels. Strips are `Sequence` in 4.2 and `Strip` since 4.4,
# so no type of bpy can be named here.
Owner = Any
Strip = Any


def strips(owner: Owner) -> Any:
    """Return the collection of the strips right inside ``owner`` (`sequences` before 4.4)."""
    return owner.strips if hasattr(owner, "strips") else owner.sequences


def all_strips(editor: bpy.types.SequenceEditor) -> list[Strip]:
    """Return every strip of the editor, those inside meta strips too."""
    return list(editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all)


def handles(strip: Strip) -> tuple[int, int]:
    """Return the first frame of ``strip`` and the one after its last (renamed in 5.1)."""
    if hasattr(strip, "left_handle"):
        return strip.left_handle, strip.right_handle
    return strip.frame_final_start, strip.frame_final_end


def content_start(strip: Strip) -> float:
    """Return the frame at which the contents of ``strip`` begin, its handles left aside (renamed in 5.1)."""
    return float(strip.content_start if hasattr(strip, "content_start") else strip.frame_start)


def speed_keys(strip: Strip) -> list[float]:
    """Return the frames at which ``strip`` is given speeds, its first and last among them; none where it has its own.

    Blender 4.2 tells those of movies alone; of pictures, what is told is how much later they end by their speeds.
    """
    if hasattr(strip, "retiming_keys"):
        return [float(key.timeline_frame) for key in strip.retiming_keys]
    return [strip.frame_final_end + strip.frame_offset_end - strip.frame_duration] if strip.type == "IMAGE" else []


def move_to(strip: Strip, start: float) -> None:
    """Let the contents of ``strip`` begin at the frame ``start``; its handles go along."""
    setattr(strip, "content_start" if hasattr(strip, "content_start") else "frame_start", start)


def trim_to(strip: Strip, left: int, right: int) -> None:
    """Let ``strip`` be seen from frame ``left`` to ``right`` - 1."""
    now, before = ("left_handle", "right_handle"), ("frame_final_start", "frame_final_end")
    names = now if hasattr(strip, now[0]) else before
    for name, frame in zip(names, (left, right), strict=True):
        if getattr(strip, name) != frame:
            setattr(strip, name, frame)


def sequencer_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """Return the scene that the sequencer shows: since 5.0 it may be another than the window's, or none yet."""
    return getattr(context, "sequencer_scene", None) or context.scene


def panel_scene(context: bpy.types.Context) -> bpy.types.Scene:
    """Return the scene that the editor under the mouse is about."""
    in_sequencer = context.area and context.area.type == "SEQUENCE_EDITOR"
    return sequencer_scene(context) if in_sequencer else context.scene


def show_in_sequencer(context: bpy.types.Context, scene: bpy.types.Scene) -> None:
    """Let the sequencer show ``scene`` where it shows none yet (5.0 and later start so)."""
    workspace = context.workspace
    if workspace and getattr(workspace, "sequencer_scene", scene) is None:
        workspace.sequencer_scene = scene


def selected_strips(scene: bpy.types.Scene) -> list[Strip]:
    """Return the selected strips that can be seen, of the open meta strip or of the whole editor, in time's order.

    Not from the context, which has none where no sequencer is shown and in background.
    """
    editor = scene.sequence_editor if scene else None
    if editor is None:
        return []
    owner = editor.meta_stack[-1] if len(editor.meta_stack) else editor
    chosen = [strip for strip in strips(owner) if strip.select and strip.type != "SOUND"]
    return sorted(chosen, key=lambda strip: (handles(strip), strip.channel))
