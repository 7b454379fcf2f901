"""What rendering the beauty and rendering the data layer share. Runs in the child Blender only (see render_passes)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bpy


class CaptureError(Exception):
    """A sentence for the artist, which ``capture.py`` shows as it is."""


@dataclass
class Report:
    """What the starting Blender may read at any time: one small JSON file, always replaced whole."""

    path: Path
    total: int = 0
    done: int = 0

    def write(self, **news: str) -> None:
        """Replace the file by the counts and ``news``: a note, or the error that ended the capture."""
        temporary = self.path.with_suffix(".part")
        temporary.write_text(json.dumps({"done": self.done, "total": self.total, **news}), encoding="utf-8")
        with suppress(PermissionError):  # Windows, while it is being read: the next one will do
            temporary.replace(self.path)

    def step(self, note: str) -> None:
        """Count one more frame as whole."""
        self.done += 1
        self.write(note=note)


@dataclass(frozen=True)
class ShotFolder:
    """Where the shot goes, and which frames it has.

    Blender renders into ``scratch``, a short path: its own paths end at 1024 bytes, those of the system later.
    """

    folder: Path
    scratch: Path
    frames: Sequence[int]
    report: Report

    def beauty(self, frame: int) -> Path:
        """Return where the picture of ``frame`` belongs."""
        return self.folder / "beauty" / f"{frame:06d}.png"

    def data(self, frame: int) -> Path:
        """Return where the data layer of ``frame`` belongs."""
        return self.folder / "data" / f"{frame:06d}.exr"


def place(source: Path, target: Path) -> None:
    """Move a finished file into the shot; what carries the final name is whole."""
    temporary = target.with_name(target.name + ".part")
    shutil.copyfile(source, temporary)
    temporary.replace(target)
    source.unlink()


def assign(owner: Any, values: dict[str, Any]) -> None:
    """Set those of ``values`` that this Blender version knows."""
    for name, value in values.items():
        if hasattr(owner, name):
            setattr(owner, name, value)


def curves(action: bpy.types.Action) -> Iterator[bpy.types.FCurve]:
    """Yield every curve of an action, of all its slots (from 4.4 on; ``Action.fcurves`` has those of the first)."""
    if not hasattr(action, "slots"):
        yield from action.fcurves
        return
    for layer in action.layers:
        for strip in layer.strips:
            for bag in strip.channelbags:
                yield from bag.fcurves


def pin(paths: set[str]) -> None:
    """Mute every keyframe curve and driver of the settings at the data paths ``paths``: they stay as they are set."""
    found = [curve for action in bpy.data.actions for curve in curves(action)]
    for owner in (*bpy.data.scenes, *bpy.data.objects, *bpy.data.cameras):
        found += owner.animation_data.drivers if owner.animation_data else ()
    for curve in found:
        if curve.data_path in paths:
            curve.mute = True


def set_output(scene: bpy.types.Scene, file_format: str, colour_mode: str = "RGB") -> None:
    """Write "PNG", 8 bits through the scene's view transform, or "OPEN_EXR_MULTILAYER", float32 ZIP."""
    output = scene.render.image_settings
    layered = file_format == "OPEN_EXR_MULTILAYER"
    assign(output, {"media_type": "MULTI_LAYER_IMAGE" if layered else "IMAGE"})
    output.file_format = file_format
    output.color_management = "FOLLOW_SCENE"
    if layered:
        # Blender 5.0.1 cannot save non-square pixels in several parts ("Conflicting attributes").
        square = scene.render.pixel_aspect_x == scene.render.pixel_aspect_y
        assign(output, {"color_depth": "32", "exr_codec": "ZIP", "use_exr_interleave": not square})
    else:
        assign(output, {"color_mode": colour_mode, "color_depth": "8"})


def cameras_at(scene: bpy.types.Scene, frames: Sequence[int]) -> dict[int, bpy.types.Object | None]:
    """Return what films each of ``frames``: the last marker's camera, else the first one's, else the scene's.

    Blender's own rule (BKE_scene_camera_switch_find).
    """
    bound = sorted((marker.frame, marker.name, marker.camera) for marker in scene.timeline_markers if marker.camera)
    cameras = {}
    for frame in frames:
        passed = [camera for at, _, camera in bound if at <= frame] or [camera for _, _, camera in bound[:1]]
        cameras[frame] = passed[-1] if passed else scene.camera
    return cameras


def frame_size(scene: bpy.types.Scene) -> tuple[int, int]:
    """Return width and height of a rendered frame, in pixels."""
    render = scene.render
    scale = render.resolution_percentage
    return render.resolution_x * scale // 100, render.resolution_y * scale // 100


def pixel_aspect(scene: bpy.types.Scene) -> tuple[float, float]:
    """Return width and height of a pixel, in Blender's units."""
    return scene.render.pixel_aspect_x, scene.render.pixel_aspect_y


def render_frame(scene: bpy.types.Scene, frame: int, scratch: Path) -> Path:
    """Render ``frame`` of ``scene`` into a file in the folder ``scratch``, and return its path.

    Raises CaptureError where Blender refuses, or writes nothing.
    """
    scene.render.filepath = str(scratch / "frame")
    run_render(scene, frame, write_still=True)
    picture = scratch / f"frame{scene.render.file_extension}"
    if not picture.is_file():
        raise CaptureError(f"Blender wrote no file for frame {frame} of {scene.name}. Render it in Blender to see why.")
    return picture


def run_render(scene: bpy.types.Scene, frame: int, write_still: bool) -> None:
    """Go to ``frame`` and render it; CaptureError where Blender refuses."""
    scene.frame_set(frame)
    try:
        with bpy.context.temp_override(scene=scene):  # the operator's own ``scene`` would take the window scene's frame
            bpy.ops.render.render(write_still=write_still)
    except RuntimeError as error:
        raise CaptureError(f"Blender could not render frame {frame} of {scene.name}: {reason_of(error)}") from error


def reason_of(error: RuntimeError) -> str:
    """Return what an operator of Blender reported, each line once: it may say the same again and again."""
    lines = (line.strip().removeprefix("Error: ") for line in str(error).splitlines())
    return " ".join(dict.fromkeys(f"{line.rstrip('.')}." for line in lines if line))


def nodes_of(tree: bpy.types.NodeTree | None) -> Iterator[bpy.types.Node]:
    """Yield every node of a tree and of the groups in it, each group once."""
    waiting, seen = [tree], set()
    while waiting:
        at = waiting.pop()
        if at is None or at.name_full in seen:
            continue
        seen.add(at.name_full)
        for node in at.nodes:
            yield node
            waiting.append(getattr(node, "node_tree", None))


def simulation_starts(scene: bpy.types.Scene) -> list[int]:
    """Return the first frame of each simulation in the scene that is not baked."""
    caches = [scene.rigidbody_world.point_cache] if scene.rigidbody_world else []
    starts = []
    for item in scene.objects:
        caches += [modifier.point_cache for modifier in item.modifiers if modifier.type in {"CLOTH", "SOFT_BODY"}]
        caches += [
            system.point_cache
            for system in item.particle_systems
            if system.settings.type == "EMITTER" or system.use_hair_dynamics
        ]
        groups = [modifier.node_group for modifier in item.modifiers if modifier.type == "NODES"]
        if any(node.bl_idname == "GeometryNodeSimulationOutput" for group in groups for node in nodes_of(group)):
            starts.append(scene.frame_start)
    return starts + [cache.frame_start for cache in caches if not cache.is_baked]


def visits(scene: bpy.types.Scene, frames: Sequence[int]) -> Iterator[int]:
    """Yield ``frames`` in order; a scene that simulates is played through those between, or it would stand still."""
    at = min(simulation_starts(scene), default=None)
    for frame in frames:
        if at is not None:
            for between in range(at, frame):
                scene.frame_set(between)
            at = frame + 1
        yield frame
