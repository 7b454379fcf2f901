"""The beauty frames: rendered as the artist would, read from disk, or one strip rendered by the sequencer.

Runs in the child Blender only (see render_passes).
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import bpy

from .render_tools import (
    CaptureError,
    ShotFolder,
    assign,
    curves,
    frame_size,
    pixel_aspect,
    place,
    render_frame,
    set_output,
    visits,
)
from .versions import Strip, strips

SCENE_REFERRED = {".exr", ".hdr"}
STANDARD_VIEW = {
    "view_transform": "Standard",
    "look": "None",
    "exposure": 0.0,
    "gamma": 1.0,
    "use_curve_mapping": False,
    "use_white_balance": False,
}
# The whole frame, one eye, nothing burnt in, and a file for it.
WHOLE_FRAME = {
    "use_border": False,
    "use_multiview": False,
    "use_stamp": False,
    "use_file_extension": True,
    "save_output": True,  # Blender 5.2
}


def prepare_beauty(scene: bpy.types.Scene) -> None:
    """Set what every picture of the shot needs, whoever renders it: the whole frame, for an sRGB display."""
    assign(scene.render, WHOLE_FRAME)
    view = scene.view_settings.view_transform
    with suppress(TypeError):  # a studio's colour configuration without that display keeps its own
        scene.display_settings.display_device = "sRGB"
        scene.view_settings.view_transform = view
    trees = [tree for tree in bpy.data.node_groups if tree.bl_idname == "CompositorNodeTree"]
    if bpy.app.version < (5, 0):
        trees += [each.node_tree for each in bpy.data.scenes if each.node_tree]
    for tree in trees:  # these would write over the artist's own files; without any node there is no picture at all
        for node in tree.nodes:
            node.mute |= node.bl_idname == "CompositorNodeOutputFile"


def colour_mode(scene: bpy.types.Scene) -> str:
    """Return "RGBA" where the film is transparent, else "RGB"."""
    return "RGBA" if scene.render.film_transparent else "RGB"


def render_beauty(shot: ShotFolder, scene: bpy.types.Scene) -> None:
    """Render the frames that are missing with the artist's engine, samples, compositor and view transform."""
    set_output(scene, "PNG", colour_mode(scene))
    scene.render.use_sequencer = False
    render_missing(shot, scene)


def render_missing(shot: ShotFolder, scene: bpy.types.Scene) -> None:
    """Render those of the shot's frames that have no picture yet, the scene being as it is."""
    for frame in visits(scene, shot.frames):
        if not shot.beauty(frame).exists():
            place(render_frame(scene, frame, shot.scratch), shot.beauty(frame))
        shot.report.step(f"Rendering, frame {frame}")


def read_beauty(shot: ShotFolder, scene: bpy.types.Scene, pictures: Sequence[Path]) -> None:
    """Take frames that are on disk: 8-bit PNGs as they are, anything else converted.

    OpenEXR and HDR go through the scene's view transform, other formats are display-referred as they stand.
    Raises CaptureError where one is unreadable or not of the scene's size.
    """
    set_output(scene, "PNG", colour_mode(scene))
    standard = bpy.data.scenes.new("Standard view")
    standard.render.dither_intensity = 0.0
    set_output(standard, "PNG", colour_mode(scene))
    assign(standard.view_settings, STANDARD_VIEW)
    for frame, picture in zip(shot.frames, pictures, strict=True):
        if not shot.beauty(frame).exists():
            local = shot.scratch / f"source{picture.suffix}"
            shutil.copyfile(picture, local)
            view = scene if picture.suffix.lower() in SCENE_REFERRED else standard
            png = as_png(local, view)
            if png is None:
                raise CaptureError(f"{picture.name} cannot be read as a picture. Render that frame again.")
            check_size(png, picture.name, frame_size(scene))
            place(png, shot.beauty(frame))
        shot.report.step(f"Reading {picture.name}")


def as_png(local: Path, view: bpy.types.Scene) -> Path | None:
    """Return ``local`` where it is the 8-bit PNG that ``view`` would write, else one made of it; None if unreadable."""
    header = png_header(local)
    if header and header[2:] == (8, view.render.image_settings.color_mode):
        return local
    converted = local.with_name("converted.png")
    try:
        image = bpy.data.images.load(str(local))
        image.save_render(str(converted), scene=view)
        bpy.data.images.remove(image)
    except RuntimeError:
        return None
    return converted


def png_header(path: Path) -> tuple[int, int, int, str] | None:
    """Return width, height, bits and "RGB", "RGBA" or "" of a PNG; None where it is not one (PNG 1.2, 11.2.2 IHDR)."""
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or not head.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    width, height, bits, colour_type = struct.unpack(">IIBB", head[16:])
    return width, height, bits, {2: "RGB", 6: "RGBA"}.get(colour_type, "")


def check_size(png: Path, name: str, wanted: tuple[int, int]) -> None:
    """Raise CaptureError unless the PNG is ``wanted`` (width, height) pixels."""
    header = png_header(png)
    if header is None or header[:2] != wanted:
        found = f"{header[0]} x {header[1]} pixels" if header else "empty"
        raise CaptureError(
            f"{name} is {found}, but the scene renders {wanted[0]} x {wanted[1]}. "
            "Set the scene's resolution to that of the frames."
        )


# Strips


def inputs_of(strip: Strip) -> Iterator[Strip]:
    """Yield a strip and, if it is an effect, all that flows into it."""
    yield strip
    for name in ("input_1", "input_2"):
        if getattr(strip, name, None):
            yield from inputs_of(getattr(strip, name))


def isolate(siblings: Any, name: str) -> bool:
    """Mute all but the strip ``name``, its inputs and the metas around it; return whether it is among ``siblings``."""
    around = [strip for strip in siblings if strip.type == "META" and isolate(strips(strip), name)]
    wanted = siblings.get(name) or next(iter(around), None)
    if wanted is None:
        return False
    kept = {strip.name for strip in inputs_of(wanted)}
    for strip in siblings:
        strip.mute |= strip.name not in kept
    wanted.mute = False
    wanted.blend_type = "REPLACE"
    wanted.blend_alpha = 1.0
    return True


def render_strip(shot: ShotFolder, scene: bpy.types.Scene, name: str) -> None:
    """Let the sequencer render one strip alone, so that trim, retiming, crop and effects are Blender's own.

    The view transform is Standard: a picture leaves the sequencer with the values that it came in with.
    """
    for channel in scene.sequence_editor.channels:
        channel.mute = False
    isolate(strips(scene.sequence_editor), name)
    set_output(scene, "PNG", "RGBA")
    assign(scene.render, {"use_sequencer": True, "dither_intensity": 0.0})
    assign(scene.view_settings, STANDARD_VIEW)
    render_missing(shot, scene)


def scene_behind(scene: bpy.types.Scene, strip: Strip) -> tuple[bpy.types.Scene, int] | str:
    """Return the scene that a scene strip shows, and what to add to a timeline frame for a frame of that scene.

    Where the strip's pixels are not that scene's pixels: a sentence instead.
    """
    source = strip.scene
    estimated = "so its motion is estimated from the pictures."
    if source is None or strip.scene_input != "CAMERA" or changes_picture(scene, strip):
        return f"{strip.name}: the strip moves, crops or retimes its scene, {estimated}"
    if (frame_size(source), pixel_aspect(source)) != (frame_size(scene), pixel_aspect(scene)):
        return f"{strip.name}: {source.name} has another resolution than {scene.name}, {estimated}"
    start = strip.content_start if hasattr(strip, "content_start") else strip.frame_start
    trim = strip.content_trim_start if hasattr(strip, "content_trim_start") else strip.animation_offset_start
    return source, source.frame_start + trim - round(start)


def changes_picture(scene: bpy.types.Scene, strip: Strip) -> bool:
    """Return whether a strip moves, crops, mirrors, retimes or holds the picture it shows."""
    move, crop = strip.transform, strip.crop
    if hasattr(strip, "left_handle_offset"):
        trims = strip.left_handle_offset, strip.right_handle_offset
    else:
        trims = strip.frame_offset_start, strip.frame_offset_end
    action = scene.animation_data.action if scene.animation_data else None
    paths = [curve.data_path for curve in curves(action)] if action else []
    return (
        (move.offset_x, move.offset_y, move.scale_x, move.scale_y, move.rotation) != (0, 0, 1, 1, 0)
        or any((crop.min_x, crop.max_x, crop.min_y, crop.max_y, strip.use_flip_x, strip.use_flip_y))
        or min(trims) < 0
        or strip.use_reverse_frames
        or strip.strobe > 1
        or len(getattr(strip, "retiming_keys", ())) > 0  # none for scenes in 4.2
        or any(f'["{strip.name}"].{part}' in path for path in paths for part in ("transform", "crop"))
    )
