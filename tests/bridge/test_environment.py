"""Which Python the worker gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.bridge import environment
from backend.bridge.environment import find_python
from backend.bridge.errors import UserError

PYTHON = "Scripts/python.exe" if os.name == "nt" else "bin/python"


@pytest.fixture(autouse=True)
def no_other_python(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(environment.VARIABLE, raising=False)
    monkeypatch.setattr(environment, "_ROOT", tmp_path / "checkout")


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    return path


def test_the_preference_comes_first_and_the_checkout_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = make(tmp_path / "checkout" / ".venv-worker" / PYTHON)
    assert find_python("", None) == find_python("", tmp_path / "user") == checkout
    users = make(tmp_path / "user" / "environment" / PYTHON)
    assert find_python("", tmp_path / "user") == checkout, "no marker: the install was not finished"
    (tmp_path / "user" / "environment" / environment.MARKER).write_text('{"version": "1"}')
    assert find_python("", tmp_path / "user") == users
    variable = make(tmp_path / "variable")
    monkeypatch.setenv(environment.VARIABLE, str(variable))
    assert find_python("", tmp_path / "user") == variable
    chosen = make(tmp_path / "Künstlerin" / "python")
    assert find_python(str(chosen), tmp_path / "user") == chosen


@pytest.mark.parametrize("by_variable", [False, True])
def test_a_named_python_that_is_gone_is_told_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_variable: bool
) -> None:
    make(tmp_path / "checkout" / ".venv-worker" / PYTHON)
    gone = str(tmp_path / "gone")
    if by_variable:
        monkeypatch.setenv(environment.VARIABLE, gone)
    with pytest.raises(UserError, match="There is no Python at"):
        find_python("" if by_variable else gone, None)


def test_no_python_at_all_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not installed\. Install it in Tempera's preferences"):
        find_python("", tmp_path / "user")
    make(tmp_path / "user" / "environment" / PYTHON)
    with pytest.raises(UserError, match="was not finished"):
        find_python("", tmp_path / "user")


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_the_link_of_an_environment_is_kept(tmp_path: Path) -> None:
    link = tmp_path / "checkout" / ".venv-worker" / PYTHON
    link.parent.mkdir(parents=True)
    link.symlink_to(sys.executable)
    found = find_python("", None)
    assert found == link
    assert subprocess.run([str(found), "-c", ""], check=False).returncode == 0
