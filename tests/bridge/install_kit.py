"""What the tests of the installer share: installs of tiny wheels, real in all but size."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backend.bridge.environment import find_python, standing
from backend.bridge.errands import Errand, Progress
from backend.bridge.errors import UserError
from backend.bridge.install import phases
from backend.bridge.install.machine import Machine
from backend.bridge.install.phases import Plan

MACHINE = Machine("Linux", "x86_64", release=(6, 1), glibc=(2, 36), python=sys.version_info[:2])


def told(plan: Plan, machine: Machine = MACHINE) -> list[Progress]:
    heard: list[Progress] = []
    phases.install(plan, machine, heard.append)
    return heard


def refused(plan: Plan, machine: Machine = MACHINE) -> str:
    """Return the sentence that an install ends with; nothing may count as installed."""
    with pytest.raises(UserError) as error:
        phases.install(plan, machine, lambda _: None)
    sentence = str(error.value)
    assert "\n" not in sentence
    assert sentence.count(". ") >= 1, "what is wrong, then what to do"
    assert standing(plan.environment) != "ready"
    return sentence


def find_python_of_user(plan: Plan) -> Path:
    """Find the Python as an artist's Blender does, where no checkout's environment lies beside."""
    from backend.bridge import environment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(environment, "_ROOT", plan.folder)
        patch.delenv(environment.VARIABLE, raising=False)
        return find_python("", plan.folder)


def begun(plan: Plan, extra: dict[str, str] | None = None) -> Errand:
    return Errand("backend.bridge.install", ["install", *plan.arguments], extra)


def wait_for(running: Errand, happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < end
        running.poll()
        time.sleep(0.01)
