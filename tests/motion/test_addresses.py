"""The address book's own parts: whose surface a pixel shows, and what a page holds."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from backend.motion.addresses import NOBODY, Page, System, bind, grow_seeds, repeats
from backend.motion.geometry import DataLayer, SceneObject
from backend.motion.kernels import SPREAD, differentiate
from tests.shot.probe import probe

HALF = float(np.float32(0.5))


def layer(index: list[int], random: list[float], addressed: bool = True, veiled: int | None = None) -> DataLayer:
    """A frame one pixel high; index -1 is the sky."""
    numbers, shape = np.array([index], np.int32), (1, len(index))
    empty = {field.name: np.zeros((*shape, 3), np.float32) for field in fields(DataLayer) if field.name != "addressed"}
    surface = numbers >= 0
    if veiled is not None:
        surface = surface & (np.arange(len(index)) != veiled)
    own = {"index": numbers, "random": np.array([random], np.float32), "sky": numbers < 0, "surface": surface}
    return DataLayer(**{**empty, **own}, addressed=addressed)


def entry(name: str, random: float, index: int, instance: str = "") -> SceneObject:
    return SceneObject(name, instance, random, index, True)


OBJECTS = (entry("A", 0.25, 1), entry("B", HALF, 2), entry("C", 0.1, 3, "I:0"), entry("C", 0.2, 3, "I:1"))


def test_objects_are_told_by_their_random() -> None:
    found = bind(layer([1, 2, 3, 3, -1], [0.25, HALF, 0.2, 0.1, 0]), OBJECTS)
    np.testing.assert_array_equal(found, [[0, 1, 3, 2, 4]])
    assert found.dtype == np.int32


def test_rounding_of_random_is_forgiven() -> None:
    near = float(np.nextafter(np.float32(0.1), np.float32(1)))
    assert bind(layer([3], [near]), OBJECTS)[0, 0] == 2


def test_same_random_but_another_index_is_another_object() -> None:
    twins = (entry("A", HALF, 1), entry("B", HALF, 2))
    np.testing.assert_array_equal(bind(layer([2, 1], [HALF, HALF]), twins), [[1, 0]])


def test_unknown_random() -> None:
    # Of an object itself the pass index is enough; of an instance it is not.
    np.testing.assert_array_equal(bind(layer([1, 3, 9], [0.9, 0.9, 0.9]), OBJECTS), [[0, 5, 5]])


def test_without_addresses_the_index_tells_what_it_can() -> None:
    found = bind(layer([1, 2, 3, 9], [0, 0, 0, 0], addressed=False), OBJECTS)
    np.testing.assert_array_equal(found, [[0, 1, 5, 5]])


def test_mixed_layers_are_nobodys() -> None:
    np.testing.assert_array_equal(bind(layer([1, 1], [0.25, 0.25], veiled=1), OBJECTS), [[0, NOBODY]])


def test_a_frame_of_nothing() -> None:
    np.testing.assert_array_equal(bind(layer([-1, -1], [0, 0]), ()), [[0, 0]])


def page(address: np.ndarray) -> Page:
    """A page that one owner fills."""
    owner, scale = np.zeros(address.shape[:2], np.int32), np.ones(address.shape[:2], np.float32)
    seeds = grow_seeds(owner, address, owner == 0)
    return Page(owner, address, scale, *seeds)


def repeated(found: Page, number: int) -> tuple[int, int]:
    return repeats(found, differentiate(found.owner, found.address, found.scale), number)


def test_coordinates_that_repeat() -> None:
    y, x = np.mgrid[:40, :60].astype(np.float32)
    plain = np.stack([x, y, 0 * x], -1) / 60
    asked, found = repeated(page(plain), 0)
    assert asked > 100 and found == 0
    steep = np.stack([x**3 / 60**2, y / 40, 0 * x], -1) / 60  # unlike footprints within one object
    assert repeated(page(steep), 0)[1] == 0
    twice = np.stack([x % 30, y, 0 * x], -1) / 60
    assert repeated(page(twice), 0)[1] > 0.9 * asked
    assert repeated(page(0 * plain), 0)[1] > 0.9 * asked
    assert repeated(page(plain), 7) == (0, 0)


def test_a_page_of_a_rendered_frame() -> None:
    captured = probe()
    book = captured.shot().motion.book
    systems = np.full(len(captured.objects) + 2, System.MATRICES, np.int8)
    systems[-1] = System.VECTORS
    truth, made = captured.truth(1, 2), book.page(1, systems)
    assert (made.owner == truth.owner).mean() > 0.9999
    cube = made.owner == captured.number("Cube")
    # In object space every point of a cube of edge 1.4 is on one of its faces.
    np.testing.assert_allclose(np.abs(made.address[cube]).max(-1), 0.7, atol=1e-5)
    assert len(made.tree) == 0
    systems[captured.number("Cloth")] = System.GENERATED
    pulled = book.page(1, systems)
    assert set(np.rint(pulled.tree[:, 3] / SPREAD)) == {captured.number("Cloth")}
    x, y = pulled.places.T
    np.testing.assert_array_equal(pulled.address[y, x], pulled.tree[:, :3].astype(np.float32))


@pytest.mark.parametrize("flat", ["nan", "flat"])
def test_an_object_without_a_usable_matrix_is_nobodys(flat: str) -> None:
    captured = probe()
    scene = captured.shot().motion.scene
    cube = captured.number("Cube")
    scene.matrices[cube] = np.nan if flat == "nan" else np.diag([1, 1, 0, 1])
    motion = type(captured.shot().motion)(scene)
    found, truth = motion.pair(1, 8), captured.truth(1, 8)
    assert np.isfinite(found.flow).all()
    others = (truth.owner != cube) & (truth.owner < len(captured.objects))
    usual = captured.shot().motion.pair(1, 8)
    np.testing.assert_array_equal(found.flow[others], usual.flow[others])
