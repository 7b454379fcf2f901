"""Starts an installing process, hears from it and ends it; never waits, so that Blender's window stays alive."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..client import clean_environment
from ..errors import UserError
from . import events
from .phases import ROOT, Plan


class Installation:
    """One run of ``install``, ``verify``, ``repair`` or ``remove`` in a process that dies with this one."""

    def __init__(self, command: str, plan: Plan, extra: Mapping[str, str]) -> None:
        """Start it. ``extra`` environment variables go to the process; UserError where it cannot be started."""
        self.command = command
        self.progress = events.Progress("check")
        self.ended: events.Ended | None = None
        self._events: queue.SimpleQueue[events.Event] = queue.SimpleQueue()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-m", "backend.bridge.install", command, "--owned", *_arguments(plan)],
                cwd=ROOT, env=clean_environment(os.environ) | dict(extra), stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
                start_new_session=os.name != "nt", creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )  # fmt: skip
        except OSError as error:
            reason = error.strerror or error
            raise UserError(f"The installer cannot be started ({reason}). Install Tempera again.") from error
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def poll(self) -> bool:
        """Take what the process told since the last call; return whether it is still at work."""
        if self.ended is None and not self._reader.is_alive() and self._process.poll() is not None:
            self._take()
            self.ended = self.ended or events.Ended("failed", self.progress.phase, self._obituary())
        self._take()
        return self.ended is None

    def cancel(self) -> None:
        """End the process and all it started, at once. What has arrived is kept for the next time."""
        if self.ended is None:
            self.ended = events.Ended("cancelled", self.progress.phase, "Stopped. Install goes on where it stopped.")
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "nt":
                subprocess.run(["taskkill", "/T", "/F", "/PID", str(self._process.pid)], check=False)
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _obituary(self) -> str:
        code = self._process.returncode
        return f"The installer was ended from outside (exit code {code}). Install goes on where it stopped."

    def _take(self) -> None:
        while not self._events.empty():
            event = self._events.get_nowait()
            if isinstance(event, events.Progress):
                self.progress = event
            elif self.ended is None:
                self.ended = event

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - Popen was asked for the pipe
        for line in self._process.stdout:
            event = events.decode(line)
            if event is not None:
                self._events.put(event)


def _arguments(plan: Plan) -> Sequence[str]:
    """Return ``plan`` as the installer's command line takes it."""
    house = ["--wheelhouse", str(plan.wheelhouse)] if plan.wheelhouse else []
    offline = [] if plan.online else ["--offline"]
    locks = ["--locks", str(plan.locks)]
    return ["--folder", str(plan.folder), "--accelerator", plan.accelerator, *house, *offline, *locks]


def look(locks: Path) -> Sequence[str]:
    """Return the command that prints what this machine can compute on, for :func:`subprocess.run` in ``ROOT``."""
    return [sys.executable, "-s", "-m", "backend.bridge.install", "detect", "--locks", str(locks)]
