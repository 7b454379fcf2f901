"""What is known of a shot's surfaces: how crisp outlines may be, and how far strokes hold in other light."""

from __future__ import annotations

import numpy as np
import pytest

from backend.methods.strokes import Sights
from backend.methods.surfaces import CRISP, MIXED, Surfaces
from backend.patches.statistics import fine_detail
from tests.methods.layered_shot import LayeredShot


@pytest.mark.parametrize(("lines", "most"), [(64, 1.1**0.5), (2, CRISP)])
def test_outlines_may_be_crisper_than_paint_where_they_are_few(
    lines: int, most: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    shot = LayeredShot((96, 64))
    surfaces, distance = Surfaces(shot, shot.motion), np.full((64, 96), 9, np.float32)
    distance[:lines] = 0
    monkeypatch.setattr(surfaces, "from_outline", lambda _: distance)
    paint = np.random.default_rng(0).random((64, 96, 3), dtype=np.float32)
    wanted = surfaces.outline_detail(paint, 1) / fine_detail(paint, distance < MIXED)
    assert wanted == pytest.approx(most, rel=1e-3)


def test_strokes_count_less_where_the_light_is_another() -> None:
    shot = LayeredShot((96, 64), shadow=True)
    sight = Sights(Surfaces(shot, shot.motion), shot.beauty).get((1, 5))
    ground = np.zeros((64, 96), bool)
    ground[34:, 40:] = sight.weight[34:, 40:] > 0  # the bar's shadow has come over a part of it
    dark = ground & (np.abs(sight.light) > 0.5)
    assert dark.any()
    assert sight.weight[dark].max() < 0.5
    assert np.median(sight.weight[ground & (sight.light == 0)]) == 1
