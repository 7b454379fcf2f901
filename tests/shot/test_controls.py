"""Control images on geometry whose right answer is known: a plane, a step in depth, turned cameras."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backend.bridge.errors import UserError
from backend.motion.geometry import Camera, DataLayer
from backend.shot.controls import ControlMaps, edges, lines, nearness, normals, soften
from backend.shot.shot import Shot
from tests.footage import write_shot

SIZE = (48, 64)


def layer(depth: np.ndarray | None = None, **changes: np.ndarray) -> DataLayer:
    """Return a wall that faces +x at distance 5, without sky, one object."""
    plane = np.zeros((*SIZE, 3), np.float32)
    scalar = np.zeros(SIZE, np.float32)
    normal = plane + np.float32([1, 0, 0])
    made = DataLayer(
        depth=scalar + 5 if depth is None else depth.astype(np.float32), normal=normal,
        vector=np.zeros((*SIZE, 4), np.float32), position=plane, uv=plane[..., :2], generated=plane, rest=plane,
        random=scalar, index=np.ones(SIZE, np.int32), surface=np.ones(SIZE, bool), sky=np.zeros(SIZE, bool),
    )  # fmt: skip
    return replace(made, **changes)


def camera(x: tuple = (1, 0, 0), y: tuple = (0, 1, 0), z: tuple = (0, 0, 1), kind: str = "PERSP") -> Camera:
    """Return a camera whose right, up and backward axes are ``x``, ``y`` and ``z`` in the world, scaled unevenly."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([x, y, z]).T * (1.0, 2.0, 3.0)
    return Camera("Camera", kind, matrix, np.eye(4))


def shot(layers: list[DataLayer]) -> SimpleNamespace:
    frames = range(1, len(layers) + 1)
    info = SimpleNamespace(data_frames=tuple(frames), cameras={frame: camera() for frame in frames})
    return SimpleNamespace(info=info, has_data=True, layer=lambda frame: layers[frame - 1])


def test_depth_has_one_range_for_the_shot() -> None:
    """A wall that stands still keeps its grey when a near object enters and when a far one does."""
    wall, near, far = layer(), layer(), layer()
    near.depth[:10] = 2.0
    far.depth[-10:] = 20.0
    maps = ControlMaps(shot([wall, near, far]), ["depth"])
    greys = [maps.image("depth", frame) for frame in (1, 2, 3)]
    assert greys[0].shape == (*SIZE, 3)
    middle = [grey[24, 32, 0] for grey in greys]
    assert middle[0] == middle[1] == middle[2] == pytest.approx((1 / 5 - 1 / 20) / (1 / 2 - 1 / 20), abs=1e-3)
    assert greys[1][0, 0, 0] == pytest.approx(1.0, abs=1e-3)
    assert greys[2][-1, 0, 0] == pytest.approx(0.0, abs=1e-3)


def test_the_sky_is_far_and_does_not_widen_the_range() -> None:
    sky = np.zeros(SIZE, bool)
    sky[:20] = True
    depth = np.where(sky, 1e10, np.linspace(4, 6, SIZE[0])[:, None])
    maps = ControlMaps(shot([layer(depth, sky=sky)]))
    nearest, farthest = maps.depth_range
    assert 4 < nearest < farthest < 6.01
    assert maps.image("depth", 1)[0, 0, 0] == 0.0
    empty = ControlMaps(shot([layer(depth, sky=np.ones(SIZE, bool))]))
    assert not empty.image("depth", 1).any()


@pytest.mark.parametrize(
    ("axes", "colour"),
    [
        ({"x": (0, 1, 0), "y": (0, 0, 1), "z": (1, 0, 0)}, (0.5, 0.5, 1.0)),  # seen from the front: blue
        ({"x": (1, 0, 0), "y": (0, 0, 1), "z": (0, -1, 0)}, (0.0, 0.5, 0.5)),  # it faces right: no red
        ({"x": (-1, 0, 0), "y": (0, 0, 1), "z": (0, 1, 0)}, (1.0, 0.5, 0.5)),  # it faces left: red
        ({"x": (0, 1, 0), "y": (1, 0, 0), "z": (0, 0, -1)}, (0.5, 1.0, 0.5)),  # it faces up: green
    ],
)
def test_normals_are_seen_from_the_camera(axes: dict, colour: tuple) -> None:
    assert np.allclose(normals(layer(), camera(**axes))[10, 10], colour, atol=1e-6)


def test_a_scaled_camera_sees_oblique_normals_right() -> None:
    oblique = layer(normal=np.zeros((*SIZE, 3), np.float32) + np.float32([0.6, 0.0, 0.8]))
    assert np.allclose(normals(oblique, camera())[5, 5], (0.2, 0.5, 0.9), atol=1e-6)


def test_the_sky_faces_the_viewer() -> None:
    sky = np.zeros(SIZE, bool)
    sky[:20] = True
    assert np.allclose(normals(layer(sky=sky), camera())[0, 0], (0.5, 0.5, 1.0))


def grazing_ground() -> np.ndarray:
    """Return the depth of a ground plane below the camera, from just under the horizon to near."""
    below = np.linspace(0.02, 0.6, SIZE[0])[:, None] + np.zeros(SIZE)
    return 1.5 / below


def test_a_plane_draws_no_lines_however_steep() -> None:
    assert lines(layer(grazing_ground()), camera()).max() == 0.0
    tilted = np.linspace(2, 9, SIZE[1])[None] + np.zeros(SIZE)
    assert lines(layer(tilted), camera(kind="ORTHO")).max() <= 1e-3


def test_lines_are_where_geometry_breaks() -> None:
    step = np.where(np.arange(SIZE[1]) < 32, 5.0, 8.0) + np.zeros(SIZE)
    index = np.ones(SIZE, np.int32)
    index[:, 10:] = 2
    turned = layer().normal.copy()
    turned[:, 50:] = (0, 1, 0)
    drawn = lines(layer(step, index=index, normal=turned), camera())
    columns = set(np.flatnonzero(drawn.max(axis=0)))
    assert columns == {9, 31, 49}
    assert (drawn[:, [9, 49]] == 1.0).all()


def test_the_outline_against_the_sky_is_drawn() -> None:
    sky = np.zeros(SIZE, bool)
    sky[:20] = True
    depth = np.where(sky, 1e10, 5.0)
    for kind in ("PERSP", "ORTHO"):
        drawn = lines(layer(depth, sky=sky), camera(kind=kind))
        assert drawn[20].min() == 1.0
        assert drawn[:20].max() == drawn[21:].max() == 0.0


def test_soft_edges_peak_on_the_line_and_fade() -> None:
    drawn = np.zeros((256, 256), np.float32)
    drawn[:, 100] = 1
    soft = soften(drawn)[128]
    assert soft.argmax() == 100
    assert soft[100] == pytest.approx(1.0, abs=0.05)
    assert 1 > soft[101] > soft[102] > 0
    assert not soft[130:].any()


def test_canny_edges_stand_in_where_there_is_no_data(tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2])
    footage = Shot.open(tmp_path)
    maps = ControlMaps(footage, ["lines", "softedge", "edges", "tile"])
    expected = edges(footage.beauty(1))
    assert 0.01 < expected.mean() < 0.5
    assert set(np.unique(expected)) == {0.0, 1.0}
    assert np.array_equal(maps.image("lines", 1)[..., 0], expected)
    assert np.array_equal(maps.image("tile", 2), footage.beauty(2))
    assert maps.image("softedge", 1).shape == footage.beauty(1).shape
    for kind in ("depth", "normal"):
        with pytest.raises(UserError, match=f"Footage has no {kind}"):
            ControlMaps(footage, [kind])


def test_nearness_clips_what_lies_outside_the_range() -> None:
    depth = np.full(SIZE, 5.0)
    depth[0], depth[1] = 0.0, 100.0
    grey = nearness(layer(depth), 2.0, 20.0)
    assert grey[0, 0] == 1.0
    assert grey[1, 0] == 0.0
    assert grey.dtype == np.float32
