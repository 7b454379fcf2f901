"""The large shot that memory is measured on, and how that is told."""

from __future__ import annotations

import json

import numpy as np

from backend.measure.bench_memory import FRAMES, peak_memory, write_large_shot
from backend.shot.shot import Shot

SIZE = (96, 54)


def test_the_large_shot_is_one_that_motion_understands(tmp_path):
    write_large_shot(tmp_path, SIZE)
    shot = Shot.open(tmp_path)
    assert len(shot.frames) == FRAMES == len(json.loads((tmp_path / "shot.json").read_text())["frames"])
    assert len({(tmp_path / "data" / f"{frame:06d}.exr").stat().st_ino for frame in shot.frames}) == 2
    there, back = shot.motion.pair(3, 4), shot.motion.pair(4, 3)
    assert there.valid.mean() > 0.9 and 0.5 < np.abs(there.flow).max() < 20
    assert np.abs(there.flow.mean((0, 1)) + back.flow.mean((0, 1))).max() < 0.2
    np.testing.assert_array_equal(shot.motion.pair(1, 5).flow[shot.motion.pair(1, 5).valid > 0].round(3), 0)
    assert shot.motion.describe()["vector"] == ""


def test_the_peak_is_that_of_a_process_of_its_own():
    name, found = next(iter(peak_memory(SIZE, 3).items()))
    assert "96 x 54" in name and 0.05 < found.value < 1 and found.bar == "<= 4"
