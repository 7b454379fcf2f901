"""The data layer's files, as Blender writes them in one part and in several, and as accidents leave them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import OpenEXR
import pytest

from backend.bridge.errors import UserError
from backend.measure.ray_truth import RayTruth
from backend.shot.exr import read_layer, read_passes, write_picture
from tests.shot.probe import probe

OLD_NAMES = {"Object Index": "IndexOB"}


@pytest.fixture(scope="module")
def captured() -> RayTruth:
    return probe()


def rewrite(
    source: Path, target: Path, drop: str = "-", rename: dict[str, str] | None = None, single: bool = False
) -> None:
    """Write a data file anew: without passes that contain ``drop``, renamed, or as the one part of Blender 4."""
    parts = []
    for part in OpenEXR.File(str(source), separate_channels=True).parts:
        channels = {}
        for name, channel in part.channels.items():
            layer, name_of_pass, component = name.rsplit(".", 2)
            if drop not in name_of_pass:
                full = f"{layer}.{(rename or {}).get(name_of_pass, name_of_pass)}.{component}"
                channels[full] = np.ascontiguousarray(channel.pixels)
        if channels:
            parts.append(OpenEXR.Part(dict(part.header), channels, part.name()))
    if single:
        merged = {name: channel for part in parts for name, channel in part.channels.items()}
        header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
        OpenEXR.File(header, merged).write(str(target))
    else:
        OpenEXR.File(parts).write(str(target))


def first(captured: RayTruth) -> Path:
    return captured.folder / "data" / "000001.exr"


def test_blender_4_layout_and_names_read_the_same(captured: RayTruth, tmp_path: Path) -> None:
    rewrite(first(captured), tmp_path / "old.exr", rename=OLD_NAMES, single=True)
    new, old = read_passes(first(captured)), read_passes(tmp_path / "old.exr")
    assert set(new) == set(old) and "Object Index" in old
    for name in new:
        np.testing.assert_array_equal(new[name], old[name], err_msg=name)


def test_passes_are_what_the_scene_holds(captured: RayTruth) -> None:
    layer = captured.shot().layer(1)
    truth = captured.truth(1, 2)
    assert layer is not None and layer.addressed
    np.testing.assert_array_equal(layer.sky, truth.owner == len(captured.objects))
    np.testing.assert_array_equal(layer.surface, ~layer.sky)
    for number, entry in enumerate(captured.objects):
        assert set(layer.index[truth.owner == number]) <= {entry.index}
        assert set(layer.random[truth.owner == number]) <= {np.float32(entry.random)}
    ground = truth.owner == captured.number("Ground")
    assert np.abs(layer.position[ground][:, 2]).max() < 1e-5
    np.testing.assert_allclose(layer.normal[ground], [[0, 0, 1]] * ground.sum(), atol=1e-6)
    np.testing.assert_allclose(layer.generated[ground][:, :2], layer.position[ground][:, :2] / 16 + 0.5, atol=1e-6)
    np.testing.assert_allclose(layer.rest[ground], layer.position[ground], atol=1e-5)


@pytest.mark.parametrize("size", [0, 3, 100, 5000, -2000, -1])
def test_truncated_file(captured: RayTruth, tmp_path: Path, size: int) -> None:
    (tmp_path / "short.exr").write_bytes(first(captured).read_bytes()[:size])
    with pytest.raises(UserError, match="cannot be read"):
        read_layer(tmp_path / "short.exr", (192, 108))


def test_truncated_file_of_one_part(captured: RayTruth, tmp_path: Path) -> None:
    rewrite(first(captured), tmp_path / "old.exr", single=True)
    (tmp_path / "short.exr").write_bytes((tmp_path / "old.exr").read_bytes()[:-1])
    with pytest.raises(UserError, match="cannot be read"):
        read_layer(tmp_path / "short.exr", (192, 108))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_layer(tmp_path / "none.exr", (192, 108))


def test_without_vector(captured: RayTruth, tmp_path: Path) -> None:
    rewrite(first(captured), tmp_path / "no.exr", drop="Vector")
    with pytest.raises(UserError, match="no Vector pass"):
        read_layer(tmp_path / "no.exr", (192, 108))


def test_of_another_size(captured: RayTruth) -> None:
    with pytest.raises(UserError, match="192 x 108 pixels, the shot 64 x 36"):
        read_layer(first(captured), (64, 36))


def test_without_addresses(captured: RayTruth, tmp_path: Path) -> None:
    rewrite(first(captured), tmp_path / "old.exr", drop="Tempera")
    layer = read_layer(tmp_path / "old.exr", (192, 108))
    assert not layer.addressed and not layer.generated.any()
    np.testing.assert_array_equal(layer.surface, ~captured.shot().layer(1).sky)


def test_path_outside_ascii(captured: RayTruth, tmp_path: Path) -> None:
    shutil.copy(first(captured), tmp_path / "größe-動き.exr")
    assert read_layer(tmp_path / "größe-動き.exr", (192, 108)).addressed


def test_numbers_that_are_none(captured: RayTruth, tmp_path: Path) -> None:
    file = OpenEXR.File(str(first(captured)), separate_channels=True)
    for part in file.parts:
        for name, channel in part.channels.items():
            if name.endswith(("Vector.X", "TemperaGenerated.R")):
                channel.pixels[10, 20] = np.nan
            if name.endswith(("Vector.W", "Position.Y", "Depth.Z")):
                channel.pixels[60, 30] = np.inf
    file.write(str(tmp_path / "nan.exr"))
    layer = read_layer(tmp_path / "nan.exr", (192, 108))
    for place in ((10, 20), (60, 30)):
        assert np.isnan(layer.vector[place]).all() and not layer.surface[place]
    assert np.isnan(layer.vector).sum() == 8
    for values in (layer.depth, layer.position, layer.generated, layer.rest, layer.normal, layer.uv, layer.random):
        assert np.isfinite(values).all()


def test_a_picture_is_written_scene_linear_with_associated_alpha(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image, alpha = rng.random((6, 9, 3), np.float32), rng.random((6, 9), np.float32)
    for given in (None, alpha):
        write_picture(tmp_path / "new" / "picture.exr", image, given)
        channels = OpenEXR.File(str(tmp_path / "new" / "picture.exr")).channels()
        (pixels,) = (channel.pixels for channel in channels.values())
        shown = pixels[..., :3].astype(np.float64)
        if given is not None:
            np.testing.assert_allclose(pixels[..., 3], given, atol=1e-3)
            shown /= given[..., None]
        encoded = np.where(shown <= 0.0031308, 12.92 * shown, 1.055 * shown ** (1 / 2.4) - 0.055)
        np.testing.assert_allclose(encoded, image, atol=2e-3)
    assert pixels.dtype == np.float16 and [path.name for path in (tmp_path / "new").iterdir()] == ["picture.exr"]
