"""A shot on disk: what it gives, what it holds in memory, and what it says where something is wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.bridge.errors import UserError
from backend.motion.cache import Cache, array_bytes
from backend.motion.estimate import EstimatedMotion
from backend.motion.exact import ExactMotion
from backend.shot.pictures import read_picture
from backend.shot.shot import Shot
from tests.shot.probe import probe

FRAMES = range(1, 9)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the probe shot, in a folder with a name outside ASCII."""
    return Path(shutil.copytree(probe().folder, tmp_path / "größe-動き"))


def rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change ``shot.json``."""
    found = json.loads((folder / "shot.json").read_text(encoding="utf-8"))
    change(found)
    (folder / "shot.json").write_text(json.dumps(found), encoding="utf-8")


def to_footage(found: dict[str, Any]) -> None:
    found.update(data_frames=[], cameras={}, objects=[])


def test_a_captured_shot(folder: Path) -> None:
    shot = Shot.open(folder)
    assert (shot.width, shot.height, shot.frames, shot.has_data) == (192, 108, tuple(FRAMES), True)
    assert shot.info.cuts == () and shot.info.vector.trusted and isinstance(shot.motion, ExactMotion)
    colour = shot.beauty(3)
    assert colour.shape == (108, 192, 3) and colour.dtype == np.float32 and shot.alpha(3) is None
    with Image.open(folder / "beauty" / "000003.png") as image:
        np.testing.assert_array_equal(np.rint(colour * 255), np.asarray(image.convert("RGB")))
    layer = shot.layer(3)
    assert layer is not None and layer.depth.shape == (108, 192) and layer.index.dtype == np.int32
    assert shot.layer(3) is layer


def test_footage(folder: Path) -> None:
    rewrite(folder, to_footage)
    shutil.rmtree(folder / "data")
    (folder / "matrices.npy").unlink()
    shot = Shot.open(folder)
    assert not shot.has_data and shot.layer(1) is None and isinstance(shot.motion, EstimatedMotion)


def test_frame_step_and_negative_frames(folder: Path) -> None:
    for kind, extension in (("beauty", "png"), ("data", "exr")):
        for frame in FRAMES:
            (folder / kind / f"{frame:06d}.{extension}").rename(folder / kind / f"{frame - 4:06d}.{extension}")
    assert (folder / "beauty" / "-00003.png").exists()

    def shift(found: dict[str, Any]) -> None:
        found["frames"] = [-3, 0, 3]
        found["data_frames"] = [frame - 4 for frame in FRAMES]
        found["cameras"] = {str(int(frame) - 4): camera for frame, camera in found["cameras"].items()}

    rewrite(folder, shift)
    shot = Shot.open(folder)
    assert shot.frames == (-3, 0, 3) and shot.beauty(-3).any()
    np.testing.assert_array_equal(shot.motion.pair(-3, 3).flow, probe().shot().motion.pair(1, 7).flow)


def test_alpha(folder: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (108, 192, 4), np.uint8)
    Image.fromarray(pixels).save(folder / "beauty" / "000001.png")
    shot = Shot.open(folder)
    np.testing.assert_array_equal(np.rint(shot.alpha(1) * 255), pixels[..., 3])
    np.testing.assert_array_equal(np.rint(shot.beauty(1) * 255), pixels[..., :3])


def test_capture_that_is_not_whole(folder: Path) -> None:
    (folder / "shot.json").unlink()
    with pytest.raises(UserError, match=r"shot\.json is missing"):
        Shot.open(folder)


def test_newer_format(folder: Path) -> None:
    rewrite(folder, lambda found: found.update(format=2))
    with pytest.raises(UserError, match="newer Tempera"):
        Shot.open(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "x"}', "\x00"])
def test_description_that_is_none(folder: Path, text: str) -> None:
    (folder / "shot.json").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="description"):
        Shot.open(folder)


@pytest.mark.parametrize("key", ["frames", "size", "cameras", "objects", "vector", "colour", "cuts", "fps"])
def test_description_without_an_entry(folder: Path, key: str) -> None:
    rewrite(folder, lambda found: found.pop(key))
    with pytest.raises(UserError, match=f"damaged at '{key}'"):
        Shot.open(folder)


@pytest.mark.parametrize(("change", "message"), [
    ({"frames": []}, "no frames"),
    ({"frames": [2, 1]}, "not in order"),
    ({"data_frames": [1, 2, 4, 5, 6, 7, 8]}, "does not cover"),
    ({"data_frames": [2, 3, 4, 5, 6, 7, 8]}, "does not cover"),
    ({"cameras": {}}, "no camera for frame 1"),
    ({"size": [0, 108]}, "no size"),
    ({"size": [64, 36]}, "192 x 108 pixels, the shot 64 x 36"),
    ({"cameras": {"1": {"name": "C", "type": "PERSP", "matrix_world": [[1]], "projection": [[1]]}}}, "damaged"),
])  # fmt: skip
def test_description_that_contradicts_itself(folder: Path, change: dict[str, Any], message: str) -> None:
    rewrite(folder, lambda found: found.update(change))
    with pytest.raises(UserError, match=message):
        Shot.open(folder)


@pytest.mark.parametrize("name", ["beauty/000004.png", "data/000005.exr"])
def test_frame_missing_in_the_middle(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UserError, match=name):
        Shot.open(folder)


def test_resolution_change_in_the_middle(folder: Path) -> None:
    Image.new("RGB", (64, 36)).save(folder / "beauty" / "000004.png")
    with pytest.raises(UserError, match=r"000004\.png is 64 x 36"):
        Shot.open(folder)
    shutil.copy(folder / "beauty" / "000003.png", folder / "beauty" / "000004.png")
    small = probe("scene=inside", "frames=2", "size=64x36").folder
    shutil.copy(small / "data" / "000001.exr", folder / "data" / "000004.exr")
    shot = Shot.open(folder)
    with pytest.raises(UserError, match=r"000004\.exr is 64 x 36"):
        shot.layer(4)


def test_damaged_image(folder: Path) -> None:
    path = folder / "beauty" / "000002.png"
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(UserError, match=r"000002\.png"):
        Shot.open(folder).beauty(2)
    path.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"000002\.png"):
        Shot.open(folder)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY"])
def test_damaged_matrices(folder: Path, content: bytes) -> None:
    (folder / "matrices.npy").write_bytes(content)
    with pytest.raises(UserError, match="matrices cannot be read"):
        Shot.open(folder)
    np.save(folder / "matrices.npy", np.zeros((1, 8, 4, 4)))
    with pytest.raises(UserError, match="do not match"):
        Shot.open(folder)


@pytest.mark.parametrize("ask", ["beauty", "layer"])
def test_frame_outside_the_shot(folder: Path, ask: str) -> None:
    with pytest.raises(UserError, match="Frame 9"):
        getattr(Shot.open(folder), ask)(9)


def test_memory_is_bounded(folder: Path) -> None:
    shot = Shot.open(folder)
    size = array_bytes(shot.layer(1))
    assert 108 * 192 * 80 < size < 108 * 192 * 96
    cache = Cache(3 * size, shot._load_layer)
    for frame in (*FRAMES, 1, 8):
        cache.get(frame)
        assert cache.budget.used <= 3 * size
    assert list(cache.items) == [7, 1, 8]  # the least recently used went first
    small = Cache(size // 2, shot._load_layer)
    assert small.get(1) is small.get(1)


def test_grey_of_sixteen_bits_is_read_in_all_its_range(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 30000, 65535]], np.uint16)).save(tmp_path / "grey.png")
    colour, alpha = read_picture(tmp_path / "grey.png")
    np.testing.assert_allclose(colour, np.repeat([[[0.0], [30000 / 65535], [1.0]]], 3, axis=-1), atol=1e-6)
    assert alpha is None
