"""The table of pretended stylizations: each way of cheating shows in the column that is meant for it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from backend.measure.stylizers import stylizers
from backend.measure.synthetic import SyntheticShot
from backend.measure.verdict import COLUMNS, judge


@pytest.fixture(scope="module")
def verdicts():
    shot = SyntheticShot((112, 64), 32)
    runs = stylizers(shot)
    independent = runs["independent"]
    runs["independent, half size"] = lambda frame: cv2.resize(
        cv2.resize(independent(frame), (56, 32), interpolation=cv2.INTER_AREA), (112, 64)
    )
    return judge(shot, runs, independent)


def test_an_ideal_anchored_texture_is_consistent_and_admissible(verdicts):
    ideal = verdicts["anchored"]
    assert max(ideal.plain_ratio.values()) <= 0.15
    assert ideal.admissible
    assert ideal.consistency > 0.9
    assert 0.9 < ideal.detail < 1.1


def test_the_independent_run_is_the_unit(verdicts):
    unit = verdicts["independent"]
    assert all(ratio == pytest.approx(1) for ratio in unit.ratio.values())
    assert (unit.detail, unit.structure, unit.style, unit.texture) == pytest.approx((1, 1, 1, 1))
    assert unit.consistency == pytest.approx(0)


@pytest.mark.parametrize("blur", ["blur 2 px", "blur 4 px", "box 5 px", "half size"])
def test_a_low_pass_gains_nothing(verdicts, blur):
    blurry = verdicts[f"independent, {blur}"]
    assert blurry.change["1"].mean < 0.9 * verdicts["independent"].change["1"].mean
    assert all(ratio == pytest.approx(1, abs=0.02) for ratio in blurry.plain_ratio.values())
    assert blurry.passed["detail"] is False


@pytest.mark.parametrize(
    ("cheat", "column"),
    [
        ("screen-fixed", "8"),
        ("warp chain", "first-last"),
        ("warp chain, 20 % refresh", "first-last"),
        ("slow drift", "first-last"),
        ("keys every 8, cross-fade", "first-last"),
    ],
)
def test_a_cheat_shows_at_the_lag_that_is_meant_for_it(verdicts, cheat, column):
    assert verdicts[cheat].plain_ratio[column] > 0.75
    assert verdicts[cheat].ratio[column] > 0.75
    assert verdicts[cheat].consistency < 0.25


@pytest.mark.parametrize("cheat", ["warp chain", "warp chain, 20 % refresh", "slow drift", "keys every 8, cross-fade"])
def test_neighbouring_frames_alone_would_be_fooled(verdicts, cheat):
    assert verdicts[cheat].plain_ratio["1"] < 0.25


@pytest.mark.parametrize(
    ("cheat", "gate"),
    [
        ("unstylized input", "style"),
        ("warp chain, 20 % refresh", "detail"),
        ("blur with anchored grain", "texture"),
        ("screen-fixed", "texture"),
    ],
)
def test_what_was_given_up_is_not_admissible(verdicts, cheat, gate):
    assert verdicts[cheat].passed[gate] is False
    assert verdicts[cheat].admissible is False


def test_blur_with_grain_passes_everything_but_the_look(verdicts):
    grained = verdicts["blur with anchored grain"]
    assert grained.passed["detail"]
    assert grained.consistency > 0.5


def test_flicker_of_the_exposure_is_seen_but_small(verdicts):
    flicker = verdicts["anchored, 3 % flicker"]
    assert verdicts["anchored"].consistency - 0.4 < flicker.consistency < verdicts["anchored"].consistency - 0.1


def test_what_the_source_itself_changes_is_allowed():
    shot = SyntheticShot((112, 64), 10)
    steady, runs = shot.beauty, stylizers(shot)
    shot.beauty = lambda frame: steady(frame) * (1.0 if frame % 2 else 0.9)
    lit = lambda frame: runs["anchored"](frame) * (1.0 if frame % 2 else 0.9)  # noqa: E731
    found = judge(shot, {"lit": lit}, runs["independent"])["lit"]
    assert found.allowance["1"] > 0.03
    assert found.ratio["1"] < found.plain_ratio["1"] - 0.2


def test_noise_of_the_source_pays_for_no_flicker():
    shot = SyntheticShot((112, 64), 10)
    steady, runs = shot.beauty, stylizers(shot)

    def noise(seed, frame):
        return np.random.default_rng((seed, frame)).normal(0, 0.05, (64, 112, 3)).astype(np.float32)

    shot.beauty = lambda frame: steady(frame) + noise(0, frame)
    flickering = lambda frame: runs["anchored"](frame) + noise(1, frame)  # noqa: E731
    found = judge(shot, {"run": flickering}, runs["independent"])["run"]
    assert found.change["1"].mean > 0.03
    assert found.allowance["1"] < 0.3 * found.change["1"].mean
    assert found.ratio["1"] > 0.9 * found.plain_ratio["1"]


def test_without_an_independent_run_there_is_no_ratio():
    shot = SyntheticShot((112, 64), 4)
    found = judge(shot, {"run": stylizers(shot)["anchored"]})["run"]
    assert found.change["1"].mean > 0
    assert found.change["8"] is None
    assert found.change["sigma"] is None  # no point is seen by six frames
    assert all(found.ratio[column] is None for column in COLUMNS)
    assert (found.consistency, found.admissible) == (None, None)
