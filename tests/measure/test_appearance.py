"""Edges, style and texture of single frames."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from backend.measure.appearance import geometry_edges, structure, style_change, texture_distance
from backend.measure.synthetic import SyntheticShot


@pytest.fixture(scope="module")
def shot() -> SyntheticShot:
    return SyntheticShot((128, 72), 4)


def test_edges_are_where_the_geometry_has_them(shot):
    layer = shot.layer(1)
    edges = geometry_edges(layer)
    border = cv2.morphologyEx(layer.index.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    assert edges[border].mean() > 0.6
    ground = (layer.index == 1) & ~cv2.dilate(border.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
    assert edges[ground].mean() < 0.01  # a plane at a grazing angle is no edge
    box = (layer.index == 2) & ~cv2.dilate(border.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    assert 10 < edges[box].sum() < 0.3 * box.sum()  # its creases, one pixel wide


def test_depth_alone_makes_an_edge_where_it_jumps_but_not_along_a_plane(shot):
    x = np.mgrid[:72, :128][1].astype(np.float32)
    wall = replace(
        shot.layer(1), index=np.ones((72, 128), np.int32), random=np.zeros((72, 128), np.float32),
        normal=np.ones((72, 128, 3), np.float32), depth=1 / (0.002 + 0.03 * x),
    )  # fmt: skip
    assert not geometry_edges(wall)[:, 3:].any()
    stepped = replace(wall, depth=np.where(x < 60, 5.0, 4.0).astype(np.float32))
    edges = geometry_edges(stepped)
    assert edges[1:-1, 59:61].all()
    assert not edges[:, :58].any()
    assert not edges[:, 62:].any()


def test_a_picture_with_the_objects_outlines_has_more_structure_than_one_without(shot):
    flat = lambda frame: shot.layer(frame).index[..., None].astype(np.float32) / 5 * np.ones(3, np.float32)  # noqa: E731
    moved = lambda frame: np.roll(flat(frame), 12, axis=1)  # noqa: E731
    assert structure(shot, flat) > 0.75
    assert structure(shot, moved) < structure(shot, flat) - 0.25


def test_style_is_distance_from_the_source_and_linear(shot):
    rng = np.random.default_rng(0)
    style = {frame: rng.random((72, 128, 3), np.float32) for frame in shot.frames}
    full = style_change(shot, style.__getitem__)
    half = style_change(shot, lambda frame: (style[frame] + shot.beauty(frame)) / 2)
    assert style_change(shot, shot.beauty) == 0
    assert half == pytest.approx(full / 2, rel=1e-4)


def noise(seed: int, deviation: float):
    def run(frame: int) -> np.ndarray:
        rng = np.random.default_rng((seed, frame))
        image = cv2.GaussianBlur(rng.normal(size=(72, 128, 3)).astype(np.float32), (0, 0), deviation)
        return image / image.std()

    return run


def test_texture_of_the_same_kind_is_near_and_of_another_kind_is_far():
    frames = list(range(1, 17))
    reference = noise(0, 1.5)
    assert texture_distance(frames, reference, reference) == pytest.approx(1)
    assert texture_distance(frames, noise(1, 1.5), reference) < 1.1
    assert texture_distance(frames, noise(1, 2.0), reference) > 1.25
    assert texture_distance(frames, lambda frame: 0.8 * reference(frame), reference) > 1.25


def test_faint_fine_texture_counts_beside_strong_coarse_texture():
    coarse, fine, other = noise(0, 6.0), noise(1, 1.0), noise(2, 1.0)
    frames = list(range(1, 17))
    reference = lambda frame: coarse(frame) + 0.05 * fine(frame)  # noqa: E731
    assert texture_distance(frames, lambda frame: coarse(frame) + 0.05 * other(frame), reference) < 1.1
    assert texture_distance(frames, coarse, reference) > 1.25


def test_one_picture_of_the_same_kind_throughout_is_no_further_than_many():
    frames = [-1, 0, 1, 2]
    still = noise(3, 2.5)(0)
    assert texture_distance(frames, lambda frame: still, lambda frame: noise(4, 2.5)(frame + 1)) < 1.15
