"""A strip that is captured and put back unpainted: the sequencer shows the very same pixels, whatever the strip is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from capture_probe import box, new_scene, spin
from sequencer_kit import effect, image_strip, small_scene, trim

FRAMES = range(3, 9)


def strips(scene: bpy.types.Scene) -> Any:
    editor = scene.sequence_editor
    return editor.strips if hasattr(editor, "strips") else editor.sequences


def images(scene: bpy.types.Scene, folder: Path) -> Any:
    return image_strip(scene, folder, FRAMES, channel=1)


def trimmed(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = images(scene, folder)
    trim(strip, 1, -2)  # its last picture is held for two frames more
    return strip


def cropped_and_flipped(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = images(scene, folder)
    strip.crop.min_x, strip.crop.max_y, strip.use_flip_x, strip.use_reverse_frames = 5, 3, True, True
    return strip


def transformed(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = images(scene, folder)
    move = strip.transform
    move.scale_x, move.scale_y, move.rotation, move.offset_x = 0.7, 1.3, 0.4, 3
    return strip


def coloured(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = images(scene, folder)
    strip.color_saturation, strip.color_multiply = 0.5, 0.8
    return strip


def linear(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = images(scene, folder)
    strip.colorspace_settings.name = "Linear Rec.709"
    return strip


def movie(scene: bpy.types.Scene, folder: Path) -> Any:
    """A movie without loss, of the pictures, longer than what is seen of it."""
    render, source = scene.render, images(scene, folder)
    scene.frame_start, scene.frame_end, render.filepath = FRAMES[0], FRAMES[-1], str(folder / "movie")
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "MKV", "FFV1"
    bpy.ops.render.render(animation=True)
    strips(scene).remove(source)
    strip = strips(scene).new_movie("Movie", str(next(folder.glob("movie*.mkv"))), 1, 3, fit_method="FIT")
    trim(strip, 1, 1)
    return strip


def scene_strip(scene: bpy.types.Scene, _folder: Path) -> Any:
    source = bpy.data.scenes.new("Shown")
    bpy.context.window.scene = source
    spin(box("Cube", (0, 0, 1), 2))
    new_scene((1, 4))
    source.render.engine = "BLENDER_WORKBENCH" if bpy.app.version < (5, 0) else "CYCLES"
    bpy.context.window.scene = scene
    return strips(scene).new_scene("Shown", source, 1, 3)


def meta(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = strips(scene).new_meta("Meta", 1, FRAMES[0])
    for channel, name in ((2, "below"), (3, "above")):
        inner = image_strip(scene, folder / name, FRAMES, channel, name)
        inner.move_to_meta(strip)
        trim(inner, 0, 0)
    inner.blend_type, inner.blend_alpha = "ALPHA_OVER", 0.5
    trim(strip, 0, 1 - len(FRAMES))
    return strip


def sped(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = effect(strips(scene), "SPEED", 2, FRAMES[0], len(FRAMES), [images(scene, folder)])
    strip.speed_control, strip.speed_factor = "MULTIPLY", 0.5
    return strip


def multiplied(scene: bpy.types.Scene, folder: Path) -> Any:
    other = image_strip(scene, folder / "other", range(103, 109), 2, "other")
    trim(other, 0, 0)
    setattr(other, "content_start" if hasattr(other, "content_start") else "frame_start", FRAMES[0])
    return effect(strips(scene), "MULTIPLY", 3, FRAMES[0], len(FRAMES), [images(scene, folder), other])


def blurred(scene: bpy.types.Scene, folder: Path) -> Any:
    strip = effect(strips(scene), "GAUSSIAN_BLUR", 2, FRAMES[0], len(FRAMES), [images(scene, folder)])
    strip.size_x = strip.size_y = 3
    return strip


KINDS: tuple[Callable[[bpy.types.Scene, Path], Any], ...] = (
    images, trimmed, cropped_and_flipped, transformed, coloured, linear, movie, scene_strip, meta, sped,
    multiplied, blurred,
)


def seen(scene: bpy.types.Scene, frame: int, folder: Path) -> np.ndarray:
    """What the sequencer renders, (H, W, 4) uint8."""
    output = scene.render.image_settings
    if hasattr(output, "media_type"):
        output.media_type = "IMAGE"
    output.file_format, output.color_mode, output.color_depth = "PNG", "RGBA", "8"
    scene.render.filepath = str(folder / "seen.png")
    scene.frame_set(frame)
    bpy.ops.render.render(write_still=True, scene=scene.name)
    image = bpy.data.images.load(scene.render.filepath)
    image.colorspace_settings.name, image.alpha_mode = "Non-Color", "CHANNEL_PACKED"
    pixels = np.empty(4 * image.size[0] * image.size[1], np.float32)
    image.pixels.foreach_get(pixels)
    bpy.data.images.remove(image)
    return np.rint(pixels * 255).astype(np.uint8)


# Light that is not of 8 bits AgX shows otherwise than a picture of it, which is all that a painted frame can be.
CASES = [(kind, "Standard") for kind in KINDS] + [(kind, "AgX") for kind in KINDS if kind not in (scene_strip, linear)]


@pytest.mark.parametrize(("kind", "view"), CASES, ids=lambda value: getattr(value, "__name__", value))
def test_what_is_captured_and_put_back_is_the_same(
    kind: Callable[[bpy.types.Scene, Path], Any], view: str, module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    scene, timeline = small_scene(), module("operators.timeline")
    strip = kind(scene, tmp_path)
    scene.view_settings.view_transform = view
    bridge = module("backend.bridge.job")
    run = module("backend.bridge.settings").from_keywords("exemplar")
    job = bridge.Job.create(tmp_path / "job", "job", run, {"id": "job", "strip": strip.name})
    frames = list(range(*module("operators.versions").handles(strip)))
    before = [seen(scene, frame, tmp_path) for frame in frames]
    module("operators.capture").capture_strip(scene, strip, job.shot_folder).wait()
    for frame in frames:
        job.finish(frame, (job.shot_folder / "beauty" / f"{frame:06d}.png").read_bytes())
    placed = timeline.place(scene, job, frames, frames)
    assert module("operators.versions").handles(placed) == (frames[0], frames[-1] + 1)
    for each in strips(scene):
        each.mute = each != placed
    after = [seen(scene, frame, tmp_path) for frame in frames]
    assert len({picture.tobytes() for picture in before}) > 1
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one, other)
