"""Strips captured by the sequencer of a real child Blender, compared with the pictures that went in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import bpy
import numpy as np
import pytest
from capture_probe import SIZE, Captured, box, dump_file, new_scene, numbered_pictures, read_png, spin
from sequencer_kit import effect, trim

Module = Callable[[str], ModuleType]


@pytest.fixture
def strips(module: Module) -> Callable[[Any], Any]:
    return module("operators.versions").strips


@pytest.fixture
def scene() -> bpy.types.Scene:
    """A scene that is edited in, with a view transform that would change every picture."""
    scene = bpy.context.scene
    scene.name = "Edit"
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    scene.view_settings.view_transform = "AgX"
    scene.sequence_editor_create()
    return scene


def image_strip(owner: Any, name: str, pictures: Sequence[Path], channel: int, start: int) -> Any:
    strip = owner.new_image(name, str(pictures[0]), channel, start, fit_method="ORIGINAL")
    for picture in pictures[1:]:
        strip.elements.append(picture.name)
    return strip


def test_an_image_strip_comes_out_as_it_went_in(
    capture: ModuleType, scene: bpy.types.Scene, strips: Callable[[Any], Any], tmp_path: Path
) -> None:
    pictures = numbered_pictures(tmp_path / "in", 6)
    above = numbered_pictures(tmp_path / "above", 6, seed=2)
    owner = strips(scene.sequence_editor)
    strip = image_strip(owner, "Shot", pictures, 1, 10)
    image_strip(owner, "Above", above, 3, 10)
    strip.use_flip_x, strip.mute, strip.blend_type, strip.blend_alpha = True, True, "ADD", 0.5
    strip.crop.min_y = 8
    scene.sequence_editor.channels[1].mute = True
    scene.render.resolution_percentage, scene.render.dither_intensity = 100, 2.0
    trim(strip, 1, 2)
    before = dump_file()
    shot = Captured(capture.capture_strip(scene, strip, tmp_path / "job" / "shot").wait())
    assert dump_file() == before
    info = shot.info
    assert (info["name"], info["source"], info["frames"], info["data_frames"]) == ("Shot", "strip", [11, 12, 13], [])
    assert info["alpha"] and info["objects"] == [] and not (shot.folder / "matrices.npy").exists()
    for frame, picture in zip(info["frames"], pictures[1:4], strict=True):
        got, wanted = shot.beauty(frame), read_png(picture)[:, ::-1]
        assert (got[:-8, :, :3] == wanted[:-8]).all() and (got[:-8, :, 3] == 255).all()
        assert not got[-8:].any()


def test_metas_and_effects_show_what_flows_into_them(
    capture: ModuleType, scene: bpy.types.Scene, strips: Callable[[Any], Any], tmp_path: Path
) -> None:
    pictures, others = numbered_pictures(tmp_path / "in", 4), numbered_pictures(tmp_path / "other", 4, seed=2)
    owner = strips(scene.sequence_editor)
    meta = owner.new_meta("Meta", 1, 1)
    first = image_strip(owner, "First", pictures, 2, 1)
    for strip in (first, image_strip(owner, "Covering", others, 3, 1)):
        strip.move_to_meta(meta)
        trim(strip, 0, 0)  # only now does the meta know how long it is; its handles stay one frame apart
    trim(meta, 0, -3)
    trim(meta, 1, 0)
    shot = Captured(capture.capture_strip(scene, meta, tmp_path / "meta" / "shot").wait())
    assert shot.info["frames"] == [2, 3, 4]
    assert (shot.beauty(3)[..., :3] == read_png(others[2])).all()
    shot = Captured(capture.capture_strip(scene, first, tmp_path / "first" / "shot").wait())
    assert shot.info["frames"] == [2, 3, 4]
    assert (shot.beauty(3)[..., :3] == read_png(pictures[2])).all()
    owner.remove(meta)
    pair = image_strip(owner, "A", pictures, 1, 1), image_strip(owner, "B", others, 2, 1)
    image_strip(owner, "Above", others, 5, 1)
    product = effect(owner, "MULTIPLY", 3, 1, 4, pair)
    shot = Captured(capture.capture_strip(scene, product, tmp_path / "product" / "shot").wait())
    wanted = read_png(pictures[0]) * read_png(others[0]) / 255
    assert np.abs(shot.beauty(1)[..., :3] - wanted).max() <= 1


def test_a_movie_strip_keeps_its_frames(
    capture: ModuleType, scene: bpy.types.Scene, strips: Callable[[Any], Any], tmp_path: Path
) -> None:
    pictures = numbered_pictures(tmp_path / "in", 4)
    owner = strips(scene.sequence_editor)
    still = image_strip(owner, "Images", pictures, 1, 1)
    render = scene.render
    scene.frame_start, scene.frame_end, render.filepath = 1, 4, str(tmp_path / "movie")
    scene.view_settings.view_transform, render.dither_intensity = "Standard", 0.0
    if hasattr(render.image_settings, "media_type"):
        render.image_settings.media_type = "VIDEO"
    render.image_settings.file_format = "FFMPEG"
    render.ffmpeg.format, render.ffmpeg.codec = "MKV", "FFV1"
    bpy.ops.render.render(animation=True)
    owner.remove(still)
    strip = owner.new_movie("Movie", str(next(tmp_path.glob("movie*.mkv"))), 1, 20, fit_method="ORIGINAL")
    shot = Captured(capture.capture_strip(scene, strip, tmp_path / "job" / "shot").wait())
    assert shot.info["frames"] == [20, 21, 22, 23] and shot.info["data_frames"] == []
    for frame, picture in zip(shot.info["frames"], pictures, strict=True):
        assert np.abs(shot.beauty(frame)[..., :3] - read_png(picture)).max() <= 1


def shown_scene() -> bpy.types.Scene:
    """A second scene with a moving cube, shown by a scene strip."""
    window = bpy.context.window
    edit = window.scene
    source = bpy.data.scenes.new("Shown")
    window.scene = source
    spin(box("Cube", (0, 0, 1), 2))
    source = new_scene((5, 9))
    window.scene = edit
    return source


def test_a_scene_strip_brings_its_geometry(
    capture: ModuleType, scene: bpy.types.Scene, strips: Callable[[Any], Any], tmp_path: Path
) -> None:
    source = shown_scene()
    strip = strips(scene.sequence_editor).new_scene("Strip", source, 1, 20)
    trim(strip, 1, 1)
    shot = Captured(capture.capture_strip(scene, strip, tmp_path / "strip" / "shot").wait())
    assert shot.info["frames"] == shot.info["data_frames"] == [21, 22, 23]
    source.render.film_transparent = True
    source.view_settings.view_transform, source.render.dither_intensity = "Standard", 0.0
    direct = Captured(capture.capture_scene(source, tmp_path / "scene" / "shot", [6, 7, 8]).wait())
    for ours, theirs in ((21, 6), (22, 7), (23, 8)):
        assert all((shot.data(ours)[name] == values).all() for name, values in direct.data(theirs).items())
        covered = direct.beauty(theirs)[..., 3] == 255
        assert covered.mean() > 0.05
        assert np.abs(shot.beauty(ours) - direct.beauty(theirs))[covered].max() <= 1
    assert shot.vector_error(21) < 1e-3
    assert (shot.matrices == direct.matrices).all()


def test_a_scene_strip_that_is_changed_has_none(
    capture: ModuleType, scene: bpy.types.Scene, strips: Callable[[Any], Any], tmp_path: Path
) -> None:
    strip = strips(scene.sequence_editor).new_scene("Strip", shown_scene(), 1, 20)
    strip.transform.offset_x = 3
    trim(strip, 0, 4)
    shot = Captured(capture.capture_strip(scene, strip, tmp_path / "shot").wait())
    assert shot.info["frames"] == [20] and shot.info["data_frames"] == []
    assert shot.info["notes"] == [
        "Strip: the strip moves, crops or retimes its scene, so its motion is estimated from the pictures."
    ]


def test_strips_without_pictures_are_refused(
    capture: ModuleType,
    refused: Callable[[str], Any],
    scene: bpy.types.Scene,
    strips: Callable[[Any], Any],
    tmp_path: Path,
) -> None:
    pictures = numbered_pictures(tmp_path / "in", 4)
    owner = strips(scene.sequence_editor)
    meta = owner.new_meta("Meta", 1, 1)
    image_strip(owner, "Shot", pictures, 2, 1).move_to_meta(meta)
    if bpy.app.build_options.audaspace:  # the 4.2 wheel has no sound
        sound = owner.new_sound("Sound", str(pictures[0]), 5, 1)
        with refused("Sound is a sound"):
            capture.capture_strip(scene, sound, tmp_path / "shot")
    for gone in pictures[1:3]:
        gone.unlink()
    with refused("Meta has lost p001.png, p002.png. Find the missing files"):
        capture.capture_strip(scene, meta, tmp_path / "shot")
