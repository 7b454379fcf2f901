"""Pictures on disk, jobs made by hand, and what the sequencer makes of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np

WIDTH, HEIGHT = 32, 18


def picture(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Return a picture that no other number has, (height, width, 3) uint8."""
    return np.random.default_rng([abs(number), number < 0]).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write_png(path: Path, image: np.ndarray) -> Path:
    """Write (H, W, 3) uint8 as a PNG."""
    height, width, _ = image.shape
    rows = b"".join(b"\0" + row.tobytes() for row in image)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    return path


def small_scene(scene: bpy.types.Scene | None = None) -> bpy.types.Scene:
    """Let the scene render pictures of our size through a view that changes nothing, and return it."""
    scene = scene or bpy.context.scene
    render = scene.render
    render.resolution_x, render.resolution_y, render.resolution_percentage = WIDTH, HEIGHT, 100
    render.dither_intensity = 0.0
    scene.view_settings.view_transform = "Standard"
    scene.sequence_editor_create()
    return scene


def rendered(scene: bpy.types.Scene, frame: int, folder: Path) -> np.ndarray:
    """Return what the sequencer shows at ``frame``, (H, W, 3) uint8."""
    output = scene.render.image_settings
    if hasattr(output, "media_type"):
        output.media_type = "IMAGE"
    output.file_format, output.color_mode, output.color_depth = "PNG", "RGB", "8"
    scene.render.filepath = str(folder / "seen.png")
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True, scene=scene.name)
    return read_png(folder / "seen.png")


def read_png(path: Path) -> np.ndarray:
    """Return a picture as (H, W, 3) uint8, by Blender and untouched by colour management."""
    image = bpy.data.images.load(str(path))
    image.colorspace_settings.name = "Non-Color"
    width, height = image.size
    pixels = np.empty(width * height * image.channels, np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return np.rint(pixels.reshape(height, width, -1)[::-1, :, :3] * 255).astype(np.uint8)


def captured_job(
    bridge: ModuleType, folder: Path, frames: Iterable[int], finished: Iterable[int], **source: object
) -> object:
    """Make a job whose shot of ``frames`` is captured, with ``finished`` frames, and return its folder."""
    settings = bridge.settings.from_keywords("exemplar", seed=7)
    job = bridge.Job.create(folder, folder.name, settings, {"id": folder.name, **source})
    frames = list(frames)
    for frame in frames:
        write_png(job.shot_folder / "beauty" / f"{frame:06d}.png", picture(1000 + frame))
    bridge.write_json(job.shot_folder / "shot.json", {"format": 1, "frames": frames, "size": (WIDTH, HEIGHT)})
    for frame in finished:
        write_png(job.frame_path(frame), picture(frame))
    return job


def image_strip(scene: bpy.types.Scene, folder: Path, frames: range, channel: int, name: str = "source") -> object:
    """Put pictures of ``frames`` into the sequencer and return the strip."""
    editor = scene.sequence_editor_create()
    strips = editor.strips if hasattr(editor, "strips") else editor.sequences
    files = [write_png(folder / f"{frame:06d}.png", picture(1000 + frame)) for frame in frames]
    strip = strips.new_image(name, str(files[0]), channel, frames[0], fit_method="ORIGINAL")
    for file in files[1:]:
        strip.elements.append(file.name)
    strip.blend_type = "REPLACE"
    return strip


def trim(strip: Any, left: int, right: int) -> None:
    """Cut frames off both ends."""
    if hasattr(strip, "left_handle"):
        strip.left_handle += left
        strip.right_handle -= right
    else:
        strip.frame_final_start += left
        strip.frame_final_end -= right


def effect(owner: Any, kind: str, channel: int, start: int, length: int, inputs: Sequence[Any]) -> Any:
    """Make an effect strip of one or two inputs, by the names that this version knows."""
    names = owner.bl_rna.functions["new_effect"].parameters.keys()
    values = {"name": kind, "type": kind, "channel": channel, "frame_start": start}
    values |= {"length": length} if "length" in names else {"frame_end": start + length}
    first = "input1" if "input1" in names else "seq1"
    values |= dict(zip((first, first[:-1] + "2"), inputs, strict=False))
    return owner.new_effect(**values)
