"""Starts the worker process, talks to it, cancels it and buries it.

One thread reads the worker's events into a queue and does nothing else; whoever owns the :class:`Worker` takes them out
with :meth:`Worker.poll`, which never waits.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from . import VERSION, messages
from .errors import UserError
from .messages import Message

HELLO_SECONDS = 120.0  # the first import of torch from a cold disk can take a minute
SILENCE_SECONDS = 60.0  # heartbeats come every second, also during long steps
DYING_SECONDS = 0.02  # between a process's last word and its exit code

# Blender adds these to its own environment; they would change what the worker's libraries load.
_BLENDERS_OWN = ("OCIO", "PYTHON", "SYCL_", "MATERIALX_", "PXR_", "LD_PRELOAD", "BLENDER_")


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` without what Blender and its Python put there, fit for another Python."""
    return {name: value for name, value in environment.items() if not name.startswith(_BLENDERS_OWN)}


class Worker:
    """One worker process. Make it with :meth:`start`; it dies with the pipe, so it cannot outlive its owner."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self._process = process
        self._log_path = log_path
        self._events: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._last_heard = time.monotonic()
        self.hello: messages.Hello | None = None
        self._started = time.monotonic()
        assert process.stdout is not None  # noqa: S101 - start() asked for the pipe
        threading.Thread(target=_read, args=(process.stdout, self._events), daemon=True).start()

    @classmethod
    def start(cls, python: Path, root: Path, log_path: Path) -> Worker:
        """Start ``python -m backend worker`` in ``root``, the folder that holds ``backend``.

        ``log_path`` takes what the process prints on standard error. UserError when it cannot be started.
        """
        return cls._launch([str(python), "-s", "-u", "-m", "backend", "worker"], root, log_path)

    @classmethod
    def _launch(cls, command: Sequence[str], root: Path, log_path: Path) -> Worker:
        try:
            log_path.parent.mkdir(parents=True, exist_ok=True)
            with log_path.open("wb") as log:
                process = subprocess.Popen(
                    command,
                    cwd=root,
                    env=clean_environment(os.environ),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=os.name != "nt",  # Ctrl-C in Blender's terminal is not meant for it
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            raise UserError(
                f"The worker cannot be started ({error.strerror or error}). Choose its Python again in the preferences."
            ) from error
        return cls(process, log_path)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def send(self, request: messages.Work | messages.Cancel) -> None:
        """Hand ``request`` to the worker; UserError when the worker has died or was killed."""
        assert self._process.stdin is not None  # noqa: S101 - start() asked for the pipe
        try:
            self._process.stdin.write(messages.encode(request))
            self._process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: the pipe of one that was killed is closed
            raise UserError(self.obituary()) from error

    def poll(self) -> list[Message]:
        """Return the events that came since the last call, heartbeats left out; never waits.

        UserError, once all events are taken, when the worker has died, hangs, or is of another version.
        """
        events: list[Message] = []
        while True:
            try:
                event = self._events.get_nowait()
            except queue.Empty:
                break
            self._last_heard = time.monotonic()
            if isinstance(event, messages.Hello):
                self._greet(event)
            elif not isinstance(event, messages.Heartbeat):
                events.append(event)
        if not events:
            self._check_health()
        return events

    def _greet(self, hello: messages.Hello) -> None:
        if (hello.protocol, hello.version) != (messages.PROTOCOL, VERSION):
            raise UserError(
                f"The worker is of Tempera {hello.version} (protocol {hello.protocol}), this is {VERSION} "
                f"(protocol {messages.PROTOCOL}). Restart Blender, so that both are of the same version."
            )
        self.hello = hello

    def _check_health(self) -> None:
        if not self.alive and self._events.empty():
            raise UserError(self.obituary())
        silence = time.monotonic() - self._last_heard
        if silence > (SILENCE_SECONDS if self.hello else HELLO_SECONDS):
            self.kill()
            raise UserError("The worker no longer answers and was stopped. Resume the job; finished frames are kept.")

    def obituary(self) -> str:
        """Return a sentence for the artist on why the worker died, with the last line that it printed."""
        self.wait(DYING_SECONDS)
        code = self._process.returncode
        told = "" if code is None else f" (exit code {code})"  # None: it is on its way still
        last = _last_line(self._log_path)
        reason = f": {last}" if last else "."
        return (
            f"The worker stopped unexpectedly{told}{reason} "
            f"Resume the job; finished frames are kept. Its log is {self._log_path}."
        )

    def kill(self) -> None:
        """End the process and its children at once, and wait for nothing: giving back much memory takes a while.

        The job folder stays whole.
        """
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "nt":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
        assert self._process.stdin is not None  # noqa: S101 - start() asked for the pipe
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        threading.Thread(target=self._process.wait, daemon=True).start()  # so that nothing of it is left in the system

    def wait(self, seconds: float) -> bool:
        """Wait at most so many ``seconds`` for the process to end, and return whether it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=seconds)
        return not self.alive


def _read(stdout: BinaryIO, events: queue.SimpleQueue[Message]) -> None:
    """Put the worker's events into the queue; a line that is no message is a worker's bug and is passed over."""
    for line in stdout:
        with contextlib.suppress(messages.MessageError):
            events.put(messages.decode(line))


def _last_line(path: Path) -> str:
    """Return the last line with text in the file at ``path``, shortened; "" when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:200] for line in reversed(lines) if line.strip()), "")
