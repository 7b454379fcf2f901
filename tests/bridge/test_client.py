"""A worker of another version than Blender's side is not worked with."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from backend.bridge import VERSION, messages
from backend.bridge.client import Worker
from backend.bridge.errors import UserError

SAY = "import sys, time; sys.stdout.buffer.write({!r}); sys.stdout.flush(); time.sleep(60)"


def greet(log: Path, hello: messages.Hello) -> Worker:
    """Start a process that greets as ``hello`` and take its greeting."""
    worker = Worker._launch([sys.executable, "-c", SAY.format(messages.encode(hello))], log.parent, log)
    try:
        end = time.monotonic() + 20
        while worker.hello is None and time.monotonic() < end:
            worker.poll()
            time.sleep(0.01)
    finally:
        worker.kill()
    return worker


def test_the_same_version_is_greeted(tmp_path: Path) -> None:
    hello = messages.Hello(messages.PROTOCOL, VERSION, "cpu")
    assert greet(tmp_path / "log", hello).hello == hello


@pytest.mark.parametrize(("protocol", "version"), [(messages.PROTOCOL + 1, VERSION), (messages.PROTOCOL, "9.9.9")])
def test_another_version_is_told(protocol: int, version: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"worker is of Tempera {version} .* Restart Blender"):
        greet(tmp_path / "log", messages.Hello(protocol, version, "cpu"))


def test_a_worker_that_is_ended_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import subprocess, sys; child = subprocess.Popen(['sleep', '60']); print(child.pid, file=sys.stderr); "
    script += "child.wait()"
    worker = Worker._launch([sys.executable, "-u", "-c", script], tmp_path, tmp_path / "log")
    while not (tmp_path / "log").read_text().endswith("\n"):
        time.sleep(0.01)
    wait, waiting = worker._process.wait, []

    def noted(timeout: float | None = None) -> int:
        waiting.append(threading.current_thread())
        return wait(timeout)

    monkeypatch.setattr(worker._process, "wait", noted)
    worker.kill()
    assert threading.current_thread() not in waiting
    assert worker.wait(20.0) and worker._process.returncode != 0
    child = Path("/proc", (tmp_path / "log").read_text().strip(), "stat")
    end = time.monotonic() + 20
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_request_to_a_worker_that_was_killed_is_refused(tmp_path: Path) -> None:
    worker = Worker._launch([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path, tmp_path / "log")
    worker.kill()
    assert worker.wait(20.0)
    with pytest.raises(UserError, match=r"stopped unexpectedly \(exit code -9\)\. Resume"):
        worker.send(messages.Cancel("job"))


def test_a_worker_that_hears_nothing_and_has_not_ended_is_told_without_an_exit_code(tmp_path: Path) -> None:
    script = "import os, sys, time; os.close(0); print('deaf', file=sys.stderr); time.sleep(60)"
    worker = Worker._launch([sys.executable, "-u", "-c", script], tmp_path, tmp_path / "log")
    try:
        while not (tmp_path / "log").read_text():
            time.sleep(0.01)
        with pytest.raises(UserError, match="stopped unexpectedly: deaf Resume"):
            worker.send(messages.Cancel("job"))
    finally:
        worker.kill()
