"""The clip on which TokenFlow's memory is measured, and the process that measures it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from backend.measure.bench_tokenflow import PanningClip, main
from backend.motion.warp import warp
from tests.diffusion import tiny


def test_the_clips_motion_is_that_of_its_pictures() -> None:
    clip = PanningClip(5)
    pair = clip.pair(2, 4)
    there = warp(clip.beauty(4), pair.flow, "linear")
    assert 0.9 < pair.valid.mean() < 1
    assert np.allclose(there[pair.strict], clip.beauty(2)[pair.strict], atol=1e-5)


def test_a_run_tells_its_peak_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(tiny.save_sd(tmp_path)), "3"])
    assert 50 < float(capsys.readouterr().out.split()[-1]) < 50_000
