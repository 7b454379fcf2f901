"""The bench's rows, tables and what they are made from."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from backend.bridge.job import Job
from backend.measure import bench as bench_module
from backend.measure.bench import bench, markdown, table
from backend.measure.bench_methods import exemplar_cost
from backend.measure.bench_motion import chained_matches, farneback_flow, pair_time, warp_errors
from backend.measure.rows import row
from backend.measure.synthetic import SyntheticShot
from backend.shot.shot import Shot
from tests.footage import make_job


def test_a_goal_is_held_against_the_value():
    assert row(0.4, "px", at_most=0.45).holds is True
    assert row(0.5, "px", at_most=0.45).holds is False
    assert row(2.5, at_least=2).bar == ">= 2"
    assert row(None, at_least=2).holds is False
    assert row(None, at_most=2).holds is False
    assert (row(3.0, "ms").bar, row(3.0, "ms").holds) == (None, None)


def test_rows_are_written_and_drawn(tmp_path, monkeypatch):
    job = make_job(tmp_path / "job", 3)
    monkeypatch.setattr(bench_module, "ON_A_SHOT", {"motion": (lambda job, shot: {"x": row(2.5, "px", at_most=1)},)})
    monkeypatch.setattr(bench_module, "LONG_ON_A_SHOT", {})
    monkeypatch.setattr(bench_module, "SYNTHETIC", {"measure": (lambda: {"y": row(None, "s")},)})
    rows = bench(job.folder, tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text()) == rows
    assert rows["motion: x"] == {"value": 2.5, "unit": "px", "bar": "<= 1", "holds": False}
    assert "<= 1 MISSED" in table(rows)
    assert "| measure: y | - s |  |" in markdown(rows)


def test_the_numbers_of_a_run_stand_in_one_line():
    one, two = {"C": row(0.5, at_least=0.6)}, {"C": row(0.7), "x": row(2)}
    runs = {"one": one, "two": two}.items()
    rows = {"a": row(1.0)} | {f"shot | {run} | {name}": cell for run, cells in runs for name, cell in cells.items()}
    lines = table({name: dataclasses.asdict(one) for name, one in rows.items()}).splitlines()
    assert lines[1].split() == ["C", "x"]
    assert lines[2].split() == ["shot", "|", "one", "0.5!"]
    assert lines[3].split() == ["shot", "|", "two", "0.7", "2"]


def test_exact_motion_leaves_less_than_what_is_estimated():
    shot = SyntheticShot((160, 90), 6)
    rows = warp_errors(None, shot)
    assert rows["warp error, albedo-like, DIS / exact"].holds
    assert rows["warp error, albedo-like, Farneback / exact"].holds
    assert rows["warp error, source frames, exact"].value < rows["warp error, source frames, DIS"].value
    assert rows["distance of DIS from exact motion"].value > 0.05


def test_far_pairs_and_chains_are_counted():
    shot = SyntheticShot((96, 54), 24)
    assert chained_matches(None, shot)["matches first to last, chained / direct"].value < 0.6
    assert pair_time(None, shot)["pair, warm, 96 x 54"].value > 0


def test_estimated_flow_is_backward():
    rng = np.random.default_rng(0)
    image = np.kron(rng.random((12, 16)), np.ones((8, 8))).astype(np.float32)[..., None] * np.ones(3, np.float32)
    flow = farneback_flow(image, np.roll(image, 3, axis=1))
    assert np.median(flow[20:-20, 20:-20, 0]) == pytest.approx(3, abs=0.2)


def test_the_exemplars_time_is_shared_out(tmp_path):
    job = make_job(tmp_path / "job", 4)
    shot = Shot.open(job.shot_folder)
    rows = exemplar_cost(job, shot)
    assert rows["exemplar"].value > 0
    parts = [rows[f"exemplar, share of {part}"].value for part in ("motion", "reading", "warping", "writing")]
    assert all(part > 0 for part in parts)
    assert sum(parts) == pytest.approx(rows["exemplar, share that is not synthesis"].value)
    assert sum(parts) < 1
    assert not job.finished()
    job.key_path(1).unlink()
    assert exemplar_cost(Job.open(job.folder), shot) == {}
