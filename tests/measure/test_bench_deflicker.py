"""What the bench's rows about deflickering are measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.measure import bench_deflicker as module
from backend.measure.bench_deflicker import strip_time, there_and_back
from backend.shot.shot import Shot
from tests.footage import make_job


def test_footage_goes_there_and_back(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", 3)
    shot = Shot.open(job.shot_folder)
    long = Shot.open(there_and_back(shot, 7, tmp_path / "long"))
    assert long.frames == (1, 2, 3, 4, 5, 6, 7) and not long.has_data
    for frame, source in zip(long.frames, (1, 2, 3, 2, 1, 2, 3), strict=True):
        assert np.array_equal(long.beauty(frame), shot.beauty(source))


def test_a_strip_is_timed_by_the_clock_and_told_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONG", 4)
    job = make_job(tmp_path / "job", 2)
    rows = strip_time(job, Shot.open(job.shot_folder))
    for kind in ("footage", "a rendered shot"):
        clock, busy = rows[f"4 frames of {kind}"], rows[f"4 frames of {kind}, processor time"]
        assert (clock.bar, clock.unit, busy.bar) == ("<= 30", "s", None)
        kept = rows[f"4 frames of {kind}, cores kept busy"].value
        assert kept == pytest.approx(busy.value / clock.value)
