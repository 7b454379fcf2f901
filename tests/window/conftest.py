"""What all tests in the window need: Tempera built, validated and installed from its zip in a profile of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_window import NAME, PLACE, PROGRAM, Blender, Screen

ROOT = Path(__file__).resolve().parents[2]
ENTER = f"""
import importlib, sys
session = importlib.import_module("{NAME}.operators.session").current()
"""


GOING = 20.0  # seconds in which what worked for a Blender that has ended is to end, on a busy machine too
TOLD: list[str] = []  # what tests measured, told at the end


@pytest.fixture
def report() -> list[str]:
    """Takes lines for the terminal, which stand below all tests."""
    return TOLD


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell what was measured."""
    for line in TOLD:
        terminalreporter.write_line(line)


def command(*words: str) -> None:
    """Run one of Blender's commands."""
    environment = os.environ | {"BLENDER_USER_RESOURCES": str(PLACE / "settings")}
    subprocess.run([PROGRAM, "--command", "extension", *words], env=environment, check=True)


@pytest.fixture(scope="session")
def package() -> Path:
    """The zip, validated and installed in a fresh profile below ``PLACE``."""
    if not PROGRAM:
        pytest.skip("No Blender is found. Put it on the PATH, or name it: BLENDER=/path/to/blender make test-window.")
    missing = [name for name in ("Xvfb", "xdotool", "ffmpeg") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"The window is driven with {', '.join(missing)}, which are not installed. Install them first.")
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    command("build", "--source-dir", str(ROOT), "--output-dir", str(PLACE))
    (package,) = PLACE.glob("*.zip")
    command("validate", str(package))
    command("install-file", "-r", "user_default", "--enable", str(package))
    return package


@pytest.fixture(scope="module")
def start(package: Path) -> Iterator[Callable[[str], Blender]]:
    """Start a Blender, named for its log, on a screen of its own.

    At the end each must still be alive, have told of no error of ours, and leave no process behind.
    """
    os.environ.setdefault("TEMPERA_WORKER_PYTHON", str(ROOT / ".venv-worker" / "bin" / "python"))
    started: list[Blender] = []
    with contextlib.ExitStack() as open_ones:

        def one(name: str) -> Blender:
            screen = Screen(PLACE / f"{name}-screen.log")
            open_ones.callback(screen.close)
            blender = Blender(screen, name)
            open_ones.callback(blender.close)
            started.append(blender)
            blender.run(ENTER)
            return blender

        yield one
        alive = [blender.process.poll() is None for blender in started]
    words = "".join(blender.log.read_text(errors="replace") for blender in started)
    assert all(alive), "Blender has ended before its time"
    assert "Traceback" not in words, words[words.index("Traceback") :][:2000]
    end = time.monotonic() + GOING
    while (left := left_behind()) and time.monotonic() < end:
        time.sleep(0.5)
    assert not left, f"processes are left behind: {left}"


def left_behind() -> list[str]:
    """Return the commands of the processes that still work in our profile: workers by where, Blenders by how."""
    ours, found = str(PLACE / "settings"), []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if ours in str((process / "cwd").readlink()) or ours.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
    return found
