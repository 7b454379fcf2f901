"""What the bench's rows about deflickering are measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.measure import bench_deflicker as module
from backend.measure.bench_deflicker import strip_time
from backend.measure.there_and_back import there_and_back
from backend.shot.shot import Shot
from tests.footage import make_job
from tests.shot.probe import BLENDERS, probe


def test_footage_goes_there_and_back(tmp_path: Path) -> None:
    job = make_job(tmp_path / "job", 3)
    shot = Shot.open(job.shot_folder)
    long = Shot.open(there_and_back(shot, 7, tmp_path / "long"))
    assert long.frames == (1, 2, 3, 4, 5, 6, 7) and not long.has_data
    for frame, source in zip(long.frames, (1, 2, 3, 2, 1, 2, 3), strict=True):
        assert np.array_equal(long.beauty(frame), shot.beauty(source))


@pytest.mark.parametrize("blender", BLENDERS)
def test_a_rendered_shot_goes_there_and_back_and_its_motion_with_it(tmp_path: Path, blender: str) -> None:
    shot = probe("frames=4", blender=blender).shot()
    long = Shot.open(there_and_back(shot, 11, tmp_path / "long", data=True))
    sources = (1, 2, 3, 4, 3, 2, 1, 2, 3, 4, 3)
    assert long.motion.describe() == shot.motion.describe()
    for frame, after, source, there in zip(long.frames, long.frames[1:], sources, sources[1:], strict=False):
        for i, j, k, n in ((frame, after, source, there), (after, frame, there, source)):
            found, expected = long.motion.pair(i, j), shot.motion.pair(k, n)
            assert np.array_equal(found.flow, expected.flow) and np.array_equal(found.strict, expected.strict)


def test_a_strip_is_timed_by_the_clock_and_told_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONG", 4)
    job = make_job(tmp_path / "job", 2)
    for shot, kinds in ((Shot.open(job.shot_folder), ["footage"]), (probe("frames=4").shot(), ["a rendered shot"])):
        size = f"{shot.width} x {shot.height}"
        rows = strip_time(job, shot)
        assert shot.has_data or not any("rendered" in name for name in rows)
        for kind in kinds:
            clock, busy = rows[f"4 frames of {kind}, {size}"], rows[f"4 frames of {kind}, {size}, processor time"]
            assert (clock.bar, clock.unit, busy.bar) == ("<= 30", "s", None)
            kept = rows[f"4 frames of {kind}, {size}, cores kept busy"].value
            assert kept == pytest.approx(busy.value / clock.value)
