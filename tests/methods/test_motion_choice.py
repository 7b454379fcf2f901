"""The setting that says which motion a method follows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from backend.bridge.errors import UserError
from backend.bridge.settings import specs
from backend.bridge.settings.diffusion import DiffusionSettings, MotionSettings
from backend.methods.motion import motion_of
from backend.motion.estimate import EstimatedMotion
from backend.shot.shot import Shot
from tests.footage import write_shot


def test_estimated_motion_never_touches_the_render_data(tmp_path: Path) -> None:
    write_shot(tmp_path, [1, 2, 3])
    shot = Shot.open(tmp_path)
    assert motion_of(shot, "exact") is shot.motion
    estimated = motion_of(shot, "estimated")
    assert isinstance(estimated, EstimatedMotion) and estimated is not shot.motion
    assert estimated.pair(1, 3).valid.mean() > 0.5


def test_the_choice_joins_a_methods_settings_after_the_models() -> None:
    @dataclass(frozen=True)
    class Moving(MotionSettings, DiffusionSettings):
        """A method's settings."""

    assert list(specs(Moving)) == [*specs(DiffusionSettings), "motion"]
    assert Moving().motion == "exact"
    with pytest.raises(UserError, match="motion is 'guessed'"):
        Moving(motion="guessed")
