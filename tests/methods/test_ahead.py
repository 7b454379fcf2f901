"""Frames made by several threads come in order, no further ahead than there are threads."""

from __future__ import annotations

from threading import Barrier

import pytest

from backend.methods import ahead as module
from backend.methods.ahead import ahead


def test_results_come_in_order_and_two_are_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 2)
    together = Barrier(2, timeout=10)

    def make(item: int) -> int:
        together.wait()
        return item * item

    assert list(ahead(make, range(6))) == [0, 1, 4, 9, 16, 25]


def test_what_goes_wrong_is_raised_in_its_place_and_the_rest_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "cpu_count", lambda: 1)
    begun = []

    def make(item: int) -> float:
        begun.append(item)
        return 6 / item

    results = ahead(make, [3, 0, 1, 1, 1, 1])
    assert next(results) == 2
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(begun) < 6
