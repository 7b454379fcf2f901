"""The self-check: every known defect of the data, real or made, is corrected, or caught and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from backend.measure.ray_truth import VISIBLE, RayTruth
from backend.motion.exact import ExactMotion
from backend.motion.geometry import DataLayer, SceneObject
from backend.motion.stability import NAMES, System
from backend.motion.vectors import neighbour_flow
from tests.shot.probe import BLENDERS, probe

Change = Callable[[DataLayer, int, np.ndarray], DataLayer]  # of a layer, its frame, the pixels of the object
HARD = [(1, 2), (2, 3), (4, 5), (8, 7)]


def altered(captured: RayTruth, name: str = "", change: Change | None = None, **entry: object) -> ExactMotion:
    """The motion of the probe with the data of one object changed."""
    shot = captured.shot()

    def layer(frame: int) -> DataLayer:
        found = shot.layer(frame)
        if change is None:
            return found
        whose = found.surface if not name else found.index == captured.objects[captured.number(name)].index
        return change(found, frame, whose & found.surface)

    objects = tuple(replace(each, **entry) if each.name == name else each for each in captured.objects)
    return ExactMotion(replace(shot.motion.scene, layer=layer, objects=objects))


def put(values: np.ndarray, where: np.ndarray, new: object) -> np.ndarray:
    """A copy of ``values`` with ``new`` at ``where``."""
    values = values.copy()
    values[where] = new
    return values


def told(motion: ExactMotion, name: str) -> tuple[str, str]:
    """The source and the reason that an artist reads."""
    entry = motion.describe()["objects"][name]
    return entry["source"], entry["reason"]


def accuracy(captured: RayTruth, motion: ExactMotion, name: str, i: int, j: int) -> tuple[float, float]:
    """Share of an object's visible, facing pixels that is accepted, and the 90th percentile of their error."""
    found, truth = motion.pair(i, j), captured.truth(i, j)
    seen = (truth.owner == captured.number(name)) & (truth.state == VISIBLE) & ~truth.grazing
    assert seen.sum() > 20
    kept = seen & (found.valid > 0)
    errors = np.linalg.norm(found.flow - truth.flow, axis=-1)[kept]
    return kept.sum() / seen.sum(), float(np.percentile(errors, 90)) if kept.any() else np.inf


def vector_error(captured: RayTruth, name: str, i: int, j: int) -> float:
    """Median error of the Vector pass on an object."""
    truth = captured.truth(i, j)
    kept = (truth.owner == captured.number(name)) & np.isfinite(truth.flow).all(-1)
    flow = neighbour_flow(captured.shot().layer(i), j - i)
    return float(np.median(np.linalg.norm(flow - truth.flow, axis=-1)[kept]))


@pytest.mark.parametrize("blender", BLENDERS)
def test_animated_lens_and_sensor_shift(blender: str) -> None:
    captured = probe("scene=hard", "lens=animated", "cut=6", blender=blender)
    motion = captured.shot().motion
    # 4.2 ignores an animated lens, all of them an animated shift.
    assert vector_error(captured, "Ground", 4, 5) > 0.5
    assert motion.describe()["vector"]
    for i, j in HARD:
        for name in ("Ground", "Cube"):
            share, error = accuracy(captured, motion, name, i, j)
            assert share > 0.96 and error < 0.001


@pytest.mark.parametrize("blender", BLENDERS)
def test_orthographic_camera_with_animated_scale(blender: str) -> None:
    captured = probe("scene=hard", "camera=ORTHO", "lens=animated", blender=blender)
    motion = captured.shot().motion
    assert vector_error(captured, "Ground", 4, 5) > 0.5
    assert motion.describe()["vector"]
    for i, j in [*HARD, (1, 8), (8, 1)]:
        share, error = accuracy(captured, motion, "Cube", i, j)
        assert share > 0.96 and error < 0.001


@pytest.mark.parametrize("camera", ["PERSP", "ORTHO"])
@pytest.mark.parametrize("blender", BLENDERS)
def test_vertex_count_that_changes(blender: str, camera: str) -> None:
    moving = ["lens=animated"] if camera == "ORTHO" else []
    captured = probe("scene=hard", f"camera={camera}", *moving, blender=blender)
    motion = captured.shot().motion
    assert captured.objects[captured.number("Changing")].topology == "changes"
    assert told(motion, "Changing") == (NAMES[System.REST], "")
    for i, j in ((1, 4), (4, 1), (8, 2), (5, 8)):  # frames with the same mesh, so that a truth exists
        share, error = accuracy(captured, motion, "Changing", i, j)
        assert share > 0.96 and error < 0.08  # facets of half a pixel


@pytest.mark.parametrize("blender", BLENDERS)
def test_deformation_that_the_vector_pass_drops_is_kept(blender: str) -> None:
    captured = probe("scene=hard", "camera=PERSP", blender=blender)
    motion = captured.shot().motion
    assert motion.describe()["vector"] == ""
    for i, step in ((2, 1), (3, 1), (5, -1)):
        found = motion.pair(i, i + step)
        systems = motion.stability.systems(i, i + step)
        page, there = (motion.book.page(f, systems) for f in (i, i + step))
        changing = (page.owner == captured.number("Changing")) & found.strict
        x, y = (np.rint(np.argwhere(changing)[:, ::-1] + found.flow[changing])).astype(int).T
        # Rest positions, that are told by neither frame's vectors, meet within a pixel.
        slopes = motion.book.slopes(i + step, systems)[y, x].reshape(-1, 2, 3) / there.scale[y, x, None, None]
        footprint = np.linalg.norm(slopes, axis=-1).max(-1)
        off = np.linalg.norm(there.address[y, x] - page.address[changing], axis=-1) / footprint
        assert np.percentile(off, 99) < 1.0
        vector = neighbour_flow(captured.shot().layer(i), step)[changing]
        assert np.median(np.linalg.norm(vector - found.flow[changing], axis=-1)) > 0.3


@pytest.mark.parametrize("blender", BLENDERS)
def test_object_hidden_in_the_neighbour_frame(blender: str) -> None:
    captured = probe("scene=hard", "camera=PERSP", blender=blender)
    motion = captured.shot().motion
    for i in (2, 4):
        blinking = captured.truth(i, 3).owner == captured.number("Blinking")
        assert blinking.sum() > 100 and not motion.pair(i, 3).valid[blinking].any()
    share, error = accuracy(captured, motion, "Blinking", 1, 4)
    assert share > 0.96 and error < 0.001


@pytest.mark.parametrize("blender", BLENDERS)
def test_semi_transparent_surface(blender: str) -> None:
    captured = probe("scene=hard", "camera=PERSP", "alpha=0.3", "frames=4", blender=blender)
    shot = captured.shot()
    opaque = probe("scene=hard", "camera=PERSP", blender=blender).shot()
    cube = captured.truth(1, 2).owner == captured.number("Cube")
    assert np.abs(shot.beauty(1) - opaque.beauty(1))[cube].mean() > 0.01  # the artist sees through it
    assert shot.layer(1).surface[cube].mean() > 0.99  # the data does not: its passes tell of the first surface met
    for i, j in ((1, 2), (4, 3), (1, 4)):
        share, error = accuracy(captured, shot.motion, "Cube", i, j)
        assert share > 0.96 and error < 0.001


def test_coordinates_that_repeat_are_found_without_a_vector_pass() -> None:
    captured = probe("camera=ORTHO", "frames=4")
    motion = captured.shot().motion
    assert motion.describe()["vector"]
    assert told(motion, "Array")[0] == NAMES[System.GENERATED]  # every copy has the same rest positions
    assert told(motion, "Nodes")[0] == NAMES[System.REST]
    for name in ("Array", "Nodes", "Cloth", "Cube"):
        for i, j in ((1, 4), (4, 1)):
            share, error = accuracy(captured, motion, name, i, j)
            assert share > 0.96 and error < 0.1


def slide(*names: str, speed: float = 0.02) -> Change:
    """Coordinates of which each frame has another."""
    def change(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        moved = {name: getattr(layer, name).copy() for name in names}
        for values in moved.values():
            values[whose, 0] += np.float32(speed * frame)
        return replace(layer, **moved)
    return change


@pytest.mark.parametrize(("sliding", "source"), [
    ((), System.GENERATED),
    (("generated",), System.REST),
    (("generated", "rest"), System.UV),
    (("generated", "rest", "uv"), System.VECTORS),
])  # fmt: skip
def test_a_coordinate_that_slides_is_not_used(sliding: tuple[str, ...], source: System) -> None:
    captured = probe()
    motion = altered(captured, "Cloth", slide(*sliding))
    assert told(motion, "Cloth")[0] == NAMES[source]
    assert bool(told(motion, "Cloth")[1]) == bool(sliding)
    assert told(motion, "Array") == (NAMES[System.GENERATED], "")
    for i, j in ((1, 2), (1, 8), (8, 1)):
        share, error = accuracy(captured, motion, "Cloth", i, j)
        assert share > 0.9 and error < 0.05


def test_a_slow_slide_is_found() -> None:
    captured = probe()
    # Generated of the cloth spans 1 over some 50 pixels: a tenth of a pixel a frame.
    assert told(altered(captured, "Cloth", slide("generated", speed=0.002)), "Cloth")[0] == NAMES[System.REST]


@pytest.mark.parametrize(("share", "source"), [(0.04, System.GENERATED), (0.2, System.REST)])
def test_a_few_points_that_are_not_found_do_not_speak_against_a_coordinate(share: float, source: System) -> None:
    """As in the creases of a character, which open and close; they are no slide."""
    captured = probe()

    def lost(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        gone = whose & (np.cumsum(whose.sum(1)) <= share * whose.sum())[:, None]
        return replace(layer, generated=put(layer.generated, gone, 1e3 + frame))

    assert told(altered(captured, "Cloth", lost), "Cloth")[0] == NAMES[source]


@pytest.mark.parametrize("pair", [(4, 5), (5, 4), (1, 8), (8, 1)])
def test_a_slide_in_the_middle_of_the_shot_is_found_where_it_is_asked_for(pair: tuple[int, int]) -> None:
    captured = probe()

    def jump(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        return slide("generated", speed=0.1)(layer, 1, whose) if frame > 4 else layer

    motion, number = altered(captured, "Cloth", jump), captured.number("Cloth")
    assert 4 not in motion.stability.sample
    assert motion.stability.systems(1, 3)[number] == motion.stability.systems(6, 8)[number] == System.GENERATED
    share, error = accuracy(captured, motion, "Cloth", *pair)
    assert share > 0.9 and error < 0.05
    source, reason = told(motion, "Cloth")
    assert source == NAMES[System.REST] and "slide" in reason


@pytest.mark.parametrize(("i", "j"), [(4, 5), (5, 4)])
def test_a_wrong_vector_pass_in_the_middle_of_the_shot_is_not_used(i: int, j: int) -> None:
    captured = probe()

    def wrong(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        offset = {4: (0, 0, -2, 0), 5: (2, 0, 0, 0)}.get(frame, (0, 0, 0, 0))  # there and back agree
        return replace(layer, vector=layer.vector + np.float32(offset))

    motion = altered(captured, change=wrong)
    motion.pair(1, 2)
    assert motion.describe()["vector"] == ""
    for name in ("Cube", "Cloth", "Array", "Nodes"):
        share, error = accuracy(captured, motion, name, i, j)
        assert share > 0.96 and error < 0.05
    assert "between frames 4 and 5 contradicts" in motion.describe()["vector"]
    assert told(motion, "Cloth") == (NAMES[System.GENERATED], "")


def test_a_mesh_that_deforms_though_it_is_said_to_be_rigid() -> None:
    captured = probe()
    motion = altered(captured, "Cloth", rigid=True)
    assert told(motion, "Cloth")[0] == NAMES[System.GENERATED]
    assert "matrices" in told(motion, "Cloth")[1]


def test_an_object_that_the_sample_did_not_see() -> None:
    captured = probe()

    def hide(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        return layer if frame in (6, 7) else replace(layer, surface=layer.surface & ~whose)

    motion, number = altered(captured, "Nodes", hide), captured.number("Nodes")
    assert not {6} & motion.stability.sample
    assert motion.stability.systems(6, 6)[number] == System.REST
    assert told(motion, "Nodes")[0] == NAMES[System.REST]


def test_an_object_with_no_stable_address_and_a_changing_mesh() -> None:
    captured = probe()
    # Frames that repeat their coordinate everywhere, as a remeshed fluid does that has lost its attributes.
    motion = altered(
        captured, "Cloth", lambda layer, _, whose: replace(layer, rest=put(layer.rest, whose, 0)), topology="changes"
    )
    source, reason = told(motion, "Cloth")
    assert source == NAMES[System.UNKNOWN] and "new in every frame" in reason
    truth = captured.truth(1, 2)
    assert not motion.pair(1, 2).valid[truth.owner == captured.number("Cloth")].any()
    assert accuracy(captured, motion, "Cube", 1, 8)[0] > 0.96


def test_objects_that_cannot_be_told_apart() -> None:
    captured = probe()
    cube, sphere = (captured.objects[captured.number(name)] for name in ("Cube", "Sphere"))

    def merge(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        return replace(layer, random=put(layer.random, whose, cube.random), index=put(layer.index, whose, cube.index))

    motion = altered(captured, "Sphere", merge, random=cube.random, index=cube.index)
    for name in ("Cube", "Sphere"):
        source, reason = told(motion, name)
        assert source == NAMES[System.VECTORS] and "told apart" in reason
    assert accuracy(captured, motion, "Cube", 1, 2) > (0.96, 0) and accuracy(captured, motion, "Cube", 1, 2)[1] < 0.001
    assert sphere.random != cube.random


def test_a_shot_without_addresses() -> None:
    captured = probe()

    def older(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        zero = np.zeros_like(layer.rest)
        return replace(layer, generated=zero, rest=zero, random=zero[..., 0], addressed=False)

    motion = altered(captured, change=older)
    assert told(motion, "Cube") == (NAMES[System.MATRICES], "")
    assert told(motion, "Cloth") == (NAMES[System.VECTORS], "")
    assert accuracy(captured, motion, "Cube", 1, 8) == accuracy(captured, captured.shot().motion, "Cube", 1, 8)
    for name in ("Cloth", "Cone"):  # the two instances share their index: followed by the Vector pass alone
        share, error = accuracy(captured, motion, name, 1, 2)
        assert share > 0.96 and error < 0.001


def test_vectors_that_are_no_numbers() -> None:
    captured = probe()
    hole = np.s_[20:60, 40:90]
    motion = altered(captured, change=lambda layer, *_: replace(layer, vector=put(layer.vector, hole, np.nan)))
    plain = captured.shot().motion
    for i, j in ((1, 2), (2, 1), (1, 8)):
        found, usual = motion.pair(i, j), plain.pair(i, j)
        assert np.isfinite(found.flow).all() and np.isfinite(found.valid).all()
        assert (found.valid == usual.valid).mean() > 0.999
        assert np.percentile(np.abs(found.flow - usual.flow)[usual.valid > 0], 99) < 0.05


def test_pixels_of_several_layers_count_for_nothing() -> None:
    captured = probe()

    def veil(layer: DataLayer, frame: int, whose: np.ndarray) -> DataLayer:
        return replace(layer, surface=layer.surface & ~whose) if frame == 1 else layer

    motion, truth = altered(captured, "Cube", veil), captured.truth(1, 2)
    cube = truth.owner == captured.number("Cube")
    for j in (2, 8):
        found, usual = motion.pair(1, j), captured.shot().motion.pair(1, j)
        assert not found.valid[cube].any() and np.isfinite(found.flow).all()
        np.testing.assert_array_equal(found.valid[~cube], usual.valid[~cube])


def test_an_object_that_is_not_in_the_list() -> None:
    captured = probe()
    shot, gone = captured.shot(), captured.number("Cloth")
    scene = shot.motion.scene
    kept = [k for k in range(len(captured.objects)) if k != gone]
    motion = ExactMotion(replace(
        scene, objects=tuple(captured.objects[k] for k in kept), matrices=scene.matrices[kept],
    ))  # fmt: skip
    share, error = accuracy(captured, motion, "Cloth", 1, 2)
    assert share > 0.96 and error < 0.001
    assert accuracy(captured, motion, "Cloth", 1, 8)[0] > 0.5


def test_labels() -> None:
    assert SceneObject("Leaf", "Tree:3", 0.5, 1, True).label == "Tree:3 > Leaf"
    assert SceneObject("Leaf", "", 0.5, 1, True).label == "Leaf"
