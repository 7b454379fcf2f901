"""Chains over a long shot of footage: as cheap as its neighbours, and the same whoever asks first."""

from __future__ import annotations

import numpy as np

from backend.motion import correspondence, estimate
from backend.motion.estimate import EstimatedMotion


def frames_of(count: int) -> tuple[tuple[int, ...], list[np.ndarray]]:
    rng = np.random.default_rng(2)
    wide = np.repeat(np.repeat(rng.random((8, 16 + count // 4, 3)), 4, 0), 4, 1).astype(np.float32)
    return tuple(range(count)), [wide[:32, k // 8 : k // 8 + 48] for k in range(count)]


def test_six_hundred_frames_are_chained_and_every_neighbour_is_estimated_once(monkeypatch) -> None:
    numbers, images = frames_of(600)
    calls, composed = [], []
    real, compose = estimate.estimate_flow, correspondence.compose
    monkeypatch.setattr(correspondence, "compose", lambda a, b: composed.append(1) or compose(a, b))
    monkeypatch.setattr(estimate, "estimate_flow", lambda a, b: calls.append(1) or real(a, b))
    motion = EstimatedMotion(numbers, images.__getitem__, frozenset())
    assert np.isfinite(motion.pair(0, 599).flow).all()
    for frame in (1, 50, 598):
        motion.pair(frame, 599)
    assert len(calls) == 2 * 599 and len(composed) == 598


def test_a_chain_is_the_same_whoever_asks_first() -> None:
    numbers, images = frames_of(40)
    one = EstimatedMotion(numbers, images.__getitem__, frozenset())
    other = EstimatedMotion(numbers, images.__getitem__, frozenset())
    asked = [(0, 12), (30, 12), (5, 12), (11, 12), (12, 39)]
    first = {pair: one.pair(*pair) for pair in asked}
    for pair in reversed(asked):
        found = other.pair(*pair)
        np.testing.assert_array_equal(found.flow, first[pair].flow)
        np.testing.assert_array_equal(found.valid, first[pair].valid)
        np.testing.assert_array_equal(found.strict, first[pair].strict)
