"""A worker of another version than Blender's side is not worked with."""

from __future__ import annotations

import sys
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
