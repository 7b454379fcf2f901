"""Tone that flickers is steadied; light that changes, and what moves through the picture, is not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from backend.patches.tone import BLACK, CELL, STEADY, cells, passed_on, steadied, tone_difference, with_tone

RNG = np.random.default_rng(3)


def steady(tones: np.ndarray, kept: float = 0.8) -> np.ndarray:
    """Return by how much each of ``tones`` (N,), of frames one cell large, is moved."""
    shape = (1, 1)
    before, after = [np.zeros((1, 1, 9))], [np.zeros((1, 1, 9))]
    for series, order in ((before, tones), (after, tones[::-1])):
        for there, here in pairwise(order):
            series.append(passed_on(series[-1], np.full((1, 1, 3), there - here), np.full(shape, kept)))
    return np.array([steadied(*pair)[0, 0, 0] for pair in zip(before, after[::-1], strict=True)])


def test_the_running_sums_fit_a_line_through_all_frames() -> None:
    tones, kept = RNG.normal(size=15), 0.8
    for frame, shift in enumerate(steady(tones, kept)):
        time = np.arange(15) - frame
        weight = kept ** np.abs(time)
        # The belief in steadiness is a slope of 0, of this weight.
        system = np.array([[weight.sum(), weight @ time], [weight @ time, weight @ time**2 + STEADY]])
        line = np.linalg.solve(system, [weight @ tones, weight @ (time * tones)])
        assert shift == pytest.approx(line[0] - tones[frame], abs=1e-9)


def test_a_steady_change_of_light_is_left_alone_and_an_alternating_one_is_not() -> None:
    ramp = 0.02 * np.arange(40)
    assert np.abs(steady(ramp)).max() < 0.01
    flicker = 0.04 * (-1.0) ** np.arange(40)
    assert np.abs((ramp + flicker + steady(ramp + flicker))[5:-5] - ramp[5:-5]).max() < 0.004


def test_a_frame_alone_keeps_its_tone() -> None:
    assert np.array_equal(steady(np.array([0.3])), [0.0])


def test_the_tone_of_a_region_is_the_light_on_its_surfaces_and_not_what_moves_through_it() -> None:
    image = RNG.random((50, 70, 3)).astype(np.float32) * 0.5 + 0.2
    brighter = np.clip((image + BLACK) * 1.2 - BLACK, 0, 1).astype(np.float32)
    brighter[10:20, 10:30] = 1.0  # another surface, which does not count
    weight = np.ones((50, 70), np.float32)
    weight[10:20, 10:30] = 0
    difference, known = tone_difference(brighter, image, weight, 8.0)
    assert difference.shape == (7, 9, 3) == (*cells(weight).shape, 3)
    assert np.allclose(difference, np.log(1.2), atol=1e-4)
    assert known[-1, -1] > 0.95
    assert known[1, 2] < 0.7
    assert not np.any(tone_difference(brighter, image, 0 * weight, 8.0)[0])


def test_a_picture_takes_a_tone_and_gives_it_back() -> None:
    image = RNG.random((3 * CELL + 5, 4 * CELL + 1, 3)).astype(np.float32) * 0.5 + 0.2
    shift = np.full((4, 5, 3), np.float32(np.log(1.1)))
    lighter = with_tone(image, shift)
    assert lighter.shape == image.shape
    assert np.allclose(lighter + BLACK, 1.1 * (image + BLACK), atol=1e-5)
    assert np.allclose(with_tone(lighter, -shift), image, atol=1e-5)
    assert np.array_equal(with_tone(image, 0 * shift), np.clip((image + BLACK) - BLACK, 0, 1))
