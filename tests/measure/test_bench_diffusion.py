"""The bench's rows about diffusion methods: which are run, and what is made of their runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from backend.measure import bench_diffusion
from backend.measure.bench_diffusion import METHODS, diffusion_tables, join_ratio, variants
from backend.measure.rows import row
from backend.methods.windows import windows
from tests.methods.layered_shot import LayeredShot

EVERYTHING = {(name, method) for name in ("demo", "other") for method in METHODS}


@pytest.mark.parametrize(("only", "ran"), [((), EVERYTHING), (("rerender", "other"), {("other", "rerender")})])
def test_methods_and_shots_can_be_chosen(
    only: tuple[str, ...], ran: set[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("demo", "other"):
        (tmp_path / name / "shot").mkdir(parents=True)
    monkeypatch.setattr(bench_diffusion.Shot, "open", lambda path: path)
    monkeypatch.setattr(bench_diffusion, "stylized", lambda *given: None)
    monkeypatch.setattr(
        bench_diffusion, "_shot_rows", lambda shot, methods, ablated: {f"{one} | {ablated}": row(1) for one in methods}
    )
    rows = diffusion_tables(tmp_path, only)
    assert set(rows) == {f"{name} | {method} | {name == 'demo'}" for name, method in ran}


def test_every_method_is_run_as_it_should_be_first() -> None:
    for method in METHODS:
        assert next(iter(variants(method).items())) == (method, {})
    labels = {label for method in METHODS for label in variants(method)}
    assert labels >= {*bench_diffusion.LOSSES, *(whole for whole, _ in bench_diffusion.LOSSES.values())}


def test_a_jump_between_windows_is_seen() -> None:
    shot = LayeredShot((96, 64), count=20)
    cards = [SimpleNamespace(index=card, label=str(card)) for card in (1, 2, 3)]
    shot.info = SimpleNamespace(cuts=(), size=(96, 64), objects=cards)
    part = {frame: k for k, part in enumerate(windows(shot.frames, 8)) for frame in part.frames}
    rng = np.random.default_rng(0)
    noise = {frame: 0.01 * rng.standard_normal((64, 96, 3)).astype(np.float32) for frame in shot.frames}
    assert join_ratio(shot, noise.__getitem__) == pytest.approx(1, abs=0.1)
    assert join_ratio(shot, lambda frame: noise[frame] + np.float32(0.05 * part[frame])) > 3
    shot.frames = shot.frames[:5]
    assert join_ratio(shot, noise.__getitem__) is None


def test_what_is_left_out_is_held_against_the_whole() -> None:
    rows = {"synchronized | C": row(0.9), "synchronized, estimated flow | C": row(0.95), "rerender | C": row(0.8)}
    found = bench_diffusion._losses(rows)
    assert list(found) == ["synchronized, estimated flow | C lost"]
    assert found["synchronized, estimated flow | C lost"].holds is False
