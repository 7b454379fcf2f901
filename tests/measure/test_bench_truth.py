"""A real Blender's data against ray casting, as the bench reports it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from backend.bridge.errors import UserError
from backend.measure.bench_truth import KINDS, ray_cast_truth
from backend.motion.exact import ExactMotion
from tests.shot.probe import probe

SHOT = ("size=96x54", "frames=9", "end=9", "lag=8")


def test_every_goal_is_held_against_rays():
    rows = ray_cast_truth(probe(*SHOT).folder.parent)
    judged = {name.removeprefix("ray-cast truth, "): one for name, one in rows.items()}
    assert {name.split(":")[0] for name in judged} >= {"neighbours", "sky", "lag 8", "first-last", "occlusion"}
    assert {name.split(":")[0] for name in judged} >= set(KINDS.values())
    assert all(one.value is not None and one.bar for name, one in judged.items() if "chained" not in name)
    for name in ("neighbours: largest error, silhouettes included", "sky: largest error, near and far",
                 "lag 8: mean error", "lag 8: recall", "occlusion: recall"):
        assert judged[name].holds, name


def test_wrong_motion_misses_its_goals(monkeypatch):
    pair = ExactMotion.pair

    def shifted(motion, i, j):
        found = pair(motion, i, j)
        return replace(found, flow=found.flow + np.float32(0.1), valid=np.ones_like(found.valid))

    monkeypatch.setattr(ExactMotion, "pair", shifted)
    rows = ray_cast_truth(probe(*SHOT).folder.parent)
    for name in ("neighbours: largest error, silhouettes included", "sky: largest error, near and far",
                 "lag 8: mean error", "lag 8: precision", "occlusion: recall"):
        assert rows[f"ray-cast truth, {name}"].holds is False, name


def test_a_folder_without_truth(tmp_path):
    with pytest.raises(UserError, match="bench_truth"):
        ray_cast_truth(tmp_path)
