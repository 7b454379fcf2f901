"""The worker's command line: ``python -m backend worker | run JOB | doctor``."""

from __future__ import annotations

import argparse
import importlib.metadata
import platform
import sys
from pathlib import Path

from .bridge import VERSION, messages
from .bridge.errors import UserError
from .bridge.messages import Message

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "opencv-python-headless", "OpenEXR", "numpy", "pillow")


def main(arguments: list[str]) -> int:
    """Run one command and return its exit status: 0 all well, 1 the artist can mend it, 130 cancelled."""
    parser = argparse.ArgumentParser(prog="python -m backend", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("worker", help="answer requests on standard input (Blender starts this)")
    run = commands.add_parser("run", help="work on a job folder, or go on with one, until it is done")
    run.add_argument("job", type=Path)
    commands.add_parser("doctor", help="say what this Python has and what is missing")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "run":
            return _run(chosen.job)
        return _serve() if chosen.command == "worker" else _doctor()
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _serve() -> int:
    from .worker import serve

    serve()
    return 0


def _run(folder: Path) -> int:
    """Work on the job in ``folder`` in this process, showing progress on standard output; Ctrl-C keeps what is done."""
    from .worker import run_job

    try:
        state = run_job(folder, _show, lambda: False)
    except KeyboardInterrupt:
        sys.stdout.write("\nStopped. Run the same command to go on.\n")
        return 130
    return 0 if state.state == "done" else 1


def _show(event: Message) -> None:
    """Draw one event on the terminal, progress on a line of its own that is redrawn."""
    if isinstance(event, messages.Progress):
        filled = round(30 * event.done / max(event.total, 1))
        bar = "█" * filled + "·" * (30 - filled)
        sys.stdout.write(f"\r{bar} {event.done}/{event.total} {event.note:<40.40}")
    elif isinstance(event, messages.Ended):
        sys.stdout.write(f"\n{event.state}. {event.message}\n")
    sys.stdout.flush()


def _doctor() -> int:
    """Say what this Python is and which of the worker's packages it has; 1 when one is missing."""
    sys.stdout.write(f"Tempera worker {VERSION}, Python {platform.python_version()} on {platform.platform()}\n")
    missing = []
    for package in PACKAGES:
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            version = "missing"
            missing.append(package)
        sys.stdout.write(f"  {package:<24} {version}\n")
    if missing:
        sys.stdout.write(f"Missing: {', '.join(missing)}. Install the worker again from Tempera's preferences.\n")
        return 1
    from .worker import device

    sys.stdout.write(f"  computes on {device()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
