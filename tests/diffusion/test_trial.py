"""Two steps prove an environment, and a device that cannot compute is told."""

from __future__ import annotations

import pytest
import torch

from backend.__main__ import main
from backend.bridge.errors import UserError
from backend.diffusion.trial import run_trial


def test_two_steps_run_on_the_processor() -> None:
    trial = run_trial(torch.device("cpu"))
    assert (trial.device, trial.numbers) == ("cpu", "float32")


def test_a_device_that_computes_nothing_is_told() -> None:
    with pytest.raises(UserError, match="meta cannot compute"):
        run_trial(torch.device("meta"))


def test_the_doctor_runs_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--trial"]) == 0
    assert "two steps of a tiny model" in capsys.readouterr().out
