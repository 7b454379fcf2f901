"""The backend is installed, verified, repaired and removed from Blender, by clicks alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import bpy
import pytest

from tests.bridge.wheels import make_wheel, write_lock

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the lock of this test is for Linux")


@pytest.fixture
def setup(
    module: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    """The operators' module, with a wheelhouse of two tiny wheels and a lock of them."""
    found = module("operators.setup")
    house = tmp_path / "wheelhouse"
    wheels = [make_wheel(house, name) for name in ("canvas", "grain")]
    locks = write_lock(tmp_path / "locks", wheels)
    monkeypatch.setattr(found, "LOCKS", locks)
    make = found.make_plan
    monkeypatch.setattr(found, "make_plan", lambda chosen="": replace(make(chosen), locks=locks))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    chosen = module("preferences").preferences()
    chosen.backend_folder, chosen.wheelhouse = str(tmp_path / "backend"), str(house)
    yield found
    chosen.backend_folder = chosen.wheelhouse = ""


def test_nothing_is_looked_at_or_started_by_itself(module: Callable[[str], ModuleType]) -> None:
    state = module("operators.setup").current()
    assert state.installing.progress is None
    assert not state.offer


def test_install_verify_repair_and_remove_by_operators(
    setup: ModuleType, module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    state, environment = setup.current(), module("backend.bridge.environment")
    assert bpy.ops.tempera.install_backend("EXEC_DEFAULT") == {"FINISHED"}
    made = environment.environment_in(tmp_path / "backend")
    assert state.standing == environment.standing(made) == "ready"
    assert state.made["accelerator"] == "cpu"
    assert state.installing.ended.message == "The backend is installed and works."
    assert module("preferences").worker_python("") == environment.python_in(made)
    assert bpy.ops.tempera.verify_backend() == {"FINISHED"}
    site = next(made.rglob("canvas.py"))
    site.unlink()
    with pytest.raises(RuntimeError, match="canvas"):
        bpy.ops.tempera.verify_backend()
    assert "press Repair" in state.installing.ended.message or "Press Repair" in state.installing.ended.message
    assert bpy.ops.tempera.copy_install_report() == {"FINISHED"}
    assert bpy.ops.tempera.repair_backend() == {"FINISHED"}
    assert bpy.ops.tempera.remove_backend("EXEC_DEFAULT") == {"FINISHED"}
    assert state.standing == "absent"
    assert list((tmp_path / "backend").iterdir()) == []


def test_without_network_and_wheelhouse_it_says_what_to_allow(
    setup: ModuleType, module: Callable[[str], ModuleType]
) -> None:
    module("preferences").preferences().wheelhouse = ""
    assert not bpy.app.online_access
    with pytest.raises(RuntimeError, match="Allow it in Preferences"):
        bpy.ops.tempera.install_backend("EXEC_DEFAULT")


def test_what_the_machine_can_compute_on_is_found_out(setup: ModuleType) -> None:
    setup.current().find_choices()
    assert setup.current().offer["best"]
    assert [choice["name"] for choice in setup.current().offer["choices"]] == ["cpu"]
    assert setup._choices(None, None)[0][0] == "cpu"
    setup.current().offer = {}
