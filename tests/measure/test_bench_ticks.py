"""The bench's rows of how live the window stays."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.bridge.errors import UserError
from backend.measure.bench_ticks import tick_times


def test_a_long_tick_misses_its_goal(tmp_path: Path) -> None:
    path = tmp_path / "ticks.json"
    path.write_text(json.dumps([1.0] * 199 + [60.0]))
    rows = tick_times(path)
    assert rows["work per tick, median"].value == 1.0
    assert rows["work per tick, 99th percentile"].holds is True
    assert rows["work per tick, longest"].value == 60.0 and rows["work per tick, longest"].holds is False


@pytest.mark.parametrize("words", ["", "[]", "{}", "no"])
def test_what_is_no_list_of_times_is_refused(tmp_path: Path, words: str) -> None:
    path = tmp_path / "ticks.json"
    path.write_text(words)
    with pytest.raises(UserError, match="Measure them again"):
        tick_times(path)
