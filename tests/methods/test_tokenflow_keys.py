"""The keys of a step: one in every group, in every take; and between which of them a frame lies, at what weights."""

from __future__ import annotations

from itertools import pairwise

import pytest

from backend.bridge.settings.tokenflow import TokenFlowSettings
from backend.methods.token_keys import Plan, plans
from backend.motion.keyframes import takes

FRAMES = tuple(range(1, 36))  # no multiple of any group


def drawn(steps: int = 30, cuts: tuple[int, ...] = (), **settings: object) -> list[Plan]:
    return plans(takes(FRAMES, cuts), TokenFlowSettings(**settings), steps, seed=3)


def weights(plan: Plan, frame: int) -> dict[int, float]:
    return {key: dict(plan.brackets(frame)).get(key, 0.0) for key in plan.keys}


def test_every_group_has_one_key_and_no_frame_is_left_out() -> None:
    seen = set()
    for plan in drawn():
        assert len(plan.keys) == 5
        assert all(8 * group < key <= min(8 * group + 8, 35) for group, key in enumerate(plan.keys))
        assert plan.work == 35
        seen.update(plan.keys)
    assert len(seen) > 30  # any frame may be a key
    assert len({plan.keys for plan in drawn(key_draw="fixed")}) == 1
    assert drawn() == drawn()


def test_a_take_has_keys_of_its_own() -> None:
    for plan in drawn(cuts=(11, 30)):
        for take in plan.takes:
            assert set(take) & set(plan.keys)
            assert all(key in take for frame in take for key, _ in plan.brackets(frame))


@pytest.mark.parametrize("cuts", [(), (11,)])
def test_weights_change_by_no_more_than_one_over_the_gap(cuts: tuple[int, ...]) -> None:
    """From frame to frame of a take, within a bracket and across a key."""
    for plan in drawn(cuts=cuts):
        for take in plan.takes:
            keys = [key for key in plan.keys if key in take]
            for before, after in pairwise(take):
                around = [(a, b) for a, b in pairwise(keys) if a < after and b > before]
                gap = min((b - a for a, b in around), default=1)
                now, then = weights(plan, before), weights(plan, after)
                assert sum(now.values()) == pytest.approx(1)
                assert max(abs(now[key] - then[key]) for key in keys) <= 1 / gap + 1e-9
            assert all(plan.brackets(key) == [(key, 1.0)] for key in keys)


def test_logistic_weights_are_the_papers_and_jump_at_a_key() -> None:
    plan = Plan((tuple(range(1, 21)),), (1, 11, 20), 0, logistic=True)
    assert dict(plan.brackets(6)) == pytest.approx({1: 1 - 0.6224593, 11: 0.6224593})
    assert dict(plan.brackets(11)) == pytest.approx({11: 0.5, 20: 0.5})
    assert abs(weights(plan, 10)[11] - weights(plan, 11)[11]) > 1 / 9
    assert plan.work == 23


@pytest.mark.parametrize("weighting", ["linear", "logistic"])
@pytest.mark.parametrize("most", [1, 2, 3, 5, 40])
def test_frames_are_made_once_all_their_keys_are_known_and_all_are_made(weighting: str, most: int) -> None:
    for plan in drawn(cuts=(11,), key_spacing=4, weighting=weighting):
        made, known = [], ()
        for window, others in plan.passes(most):
            assert 1 <= len(window) <= most
            known = (*known[-1:], *window)  # what a run keeps
            made += window if weighting == "linear" else ()
            for part in others:
                assert 1 <= len(part) <= most
                assert all(key in known for frame in part for key, _ in plan.brackets(frame))
                made += part
        assert sorted(made) == list(FRAMES)
    borders = {window[-1] for plan in drawn(key_spacing=4) for window, _ in plan.passes(3)}
    assert len(borders) > 8  # windows end elsewhere at every step
