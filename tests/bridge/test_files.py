"""Locks on files, between processes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backend.bridge.files import lock

ROOT = Path(__file__).resolve().parents[2]


def test_another_process_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as file:
        assert lock(file.fileno())
        script = f"from backend.bridge.files import lock; file = open({str(path)!r}, 'w'); print(lock(file.fileno()))"
        told = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


@pytest.mark.skipif(os.name == "nt", reason="Windows locks otherwise")
def test_a_file_system_without_locks_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", none)  # such a file system cannot be made here
    with (tmp_path / "lock").open("w") as file:
        assert lock(file.fileno())
