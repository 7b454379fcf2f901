"""What each number must be where the answer is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from backend.measure.metrics import (
    blur_ratio,
    blurred,
    detail,
    differences,
    frame_pairs,
    interior,
    matching_blur,
    spread,
)
from backend.measure.synthetic import SyntheticShot


@pytest.fixture(scope="module")
def shot() -> SyntheticShot:
    return SyntheticShot((96, 54), 18)


def noise(frame: int) -> np.ndarray:
    rng = np.random.default_rng(frame)
    return 0.5 + 0.1 * cv2.GaussianBlur(rng.normal(size=(54, 96, 3)).astype(np.float32), (0, 0), 1.0)


def test_a_still_colour_does_not_change(shot):
    still = {"still": lambda frame: np.full((54, 96, 3), 0.4, np.float32)}
    for lag in ("1", "8", "first-last"):
        found = differences(shot, still, frame_pairs(shot, lag))["still"]
        assert (found.mean, found.mse) == pytest.approx((0, 0), abs=1e-7)
        assert 0 < found.share < 1
    assert spread(shot, still)["still"].mean < 1e-3


def test_a_known_flicker_is_measured_as_it_is(shot):
    delta = 0.05
    flicker = {"flicker": lambda frame: np.full((54, 96, 3), 0.5 + delta * (-1) ** frame, np.float32)}
    found = differences(shot, flicker, frame_pairs(shot, "1"))["flicker"]
    assert found.mse == pytest.approx((2 * delta) ** 2, rel=1e-4)
    assert found.mean == pytest.approx(2 * delta, rel=1e-4)
    assert found.p95 == pytest.approx(2 * delta, abs=1e-3)
    assert all(mean == pytest.approx(2 * delta, rel=1e-4) for mean in found.objects.values())
    assert {"Sky", "Ground", "Box", "Sphere"} <= set(found.objects)
    assert differences(shot, flicker, frame_pairs(shot, "8"))["flicker"].mean == pytest.approx(0, abs=1e-6)
    assert spread(shot, flicker)["flicker"].mean == pytest.approx(delta, rel=0.05)  # seen by odd numbers of frames


def test_the_object_that_changes_is_named(shot):
    def only_the_box(frame):
        on = shot.layer(frame).index[..., None] == 2
        return np.where(on, 0.5 + 0.1 * (-1) ** frame, 0.5).astype(np.float32) * np.ones(3, np.float32)

    found = differences(shot, {"run": only_the_box}, frame_pairs(shot, "1"))["run"]
    assert found.objects["Box"] == pytest.approx(0.2, rel=1e-3)
    assert found.mean < 0.1  # the box is a small part of the picture,
    assert found.p95 == pytest.approx(0.2, abs=1e-3)  # but more than a twentieth
    assert max(mean for name, mean in found.objects.items() if name != "Box") < 1e-6


def test_pairs_stay_within_a_take(shot):
    assert frame_pairs(shot, "8") == [(frame, frame - 8) for frame in range(9, 19)]
    assert frame_pairs(shot, "first-last") == [(18, 1)]
    cut = SyntheticShot((96, 54), 18)
    cut.info = replace(cut.info, cuts=(7, 18))
    assert frame_pairs(cut, "first-last") == [(6, 1), (17, 7)]


def test_pixels_near_borders_are_left_out(shot):
    layer = shot.layer(9)
    inner = interior(layer, (96, 54), 2)
    border = cv2.morphologyEx(layer.index.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)) > 0
    assert not (inner & border).any()
    assert not inner[:2].any()
    assert not inner[:, -2:].any()
    far = cv2.morphologyEx(layer.index.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) == 0
    assert inner[4:-4, 4:-4][far[4:-4, 4:-4]].all()


def test_two_instances_of_one_object_have_a_border(shot):
    layer = shot.layer(9)
    split = np.zeros_like(layer.random)
    split[:, 48:] = 0.25
    merged = replace(layer, index=np.ones_like(layer.index), random=split)
    inner = interior(merged, (96, 54), 2)
    assert not inner[:, 45:51].any()
    assert inner[10:40, 5:40].all()


@pytest.mark.parametrize("deviation", [0.7, 1.9, 3.3])
def test_the_blur_that_leaves_the_same_detail_is_found(shot, deviation):
    wanted = detail(shot, blurred(noise, deviation))
    assert matching_blur(shot, noise, wanted) == pytest.approx(deviation, rel=0.01)


def test_more_detail_needs_no_blur(shot):
    assert matching_blur(shot, noise, 1.1 * detail(shot, noise)) == 0
    assert 0.5 * detail(shot, noise) > detail(shot, blurred(noise, 1.0)) > 0


def test_the_ratio_forgives_the_floor_and_no_more():
    assert blur_ratio(0.06, 0.11, 0.01) == pytest.approx(0.5)
    assert blur_ratio(0.005, 0.11, 0.01) == 0
    assert blur_ratio(0.01, 0.0104, 0.01) is None


def test_nothing_in_common_has_no_number(shot):
    assert differences(shot, {"run": noise}, [])["run"] is None
