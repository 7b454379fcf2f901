"""What makes an environment and puts wheels into it: uv, or the venv and pip that come with Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..client import clean_environment
from ..environment import python_in
from ..errors import UserError
from .fetch import Tell, checksum, disk_sentence, fetch, move
from .lock import Wheel

UV_PYTHON = "3.12"  # the Python that uv brings
LOG = "install.log"
OLDEST_UV = (0, 8)  # the first that knows "venv --clear"
_PROGRAM = "uv.exe" if os.name == "nt" else "uv"


@dataclass(frozen=True)
class Tool:
    """How to make environments: ``uv`` is its program, None for venv and pip; ``folder`` takes what uv keeps."""

    folder: Path
    uv: Path | None

    def make_commands(self, environment: Path, pythons: Sequence[str], online: bool) -> list[list[str]]:
        """Return the commands that each make an environment, the best first; none where nothing fits ``pythons``.

        Best is a Python that uv brings, which no update of Blender takes away; else it is of the one that runs this.
        """
        commands = []
        if self.uv is not None:
            make = [str(self.uv), "venv", "--quiet", "--clear", str(environment)]
            if online:
                commands.append([*make, "--managed-python", "--python", UV_PYTHON])
            commands.append([*make, "--python", sys.executable])
        else:
            commands.append([sys.executable, "-m", "venv", "--clear", "--without-pip", str(environment)])
        fits = "{}.{}".format(*sys.version_info[:2]) in pythons
        return commands if fits else [command for command in commands if "--managed-python" in command]

    def install_command(self, environment: Path, requirements: Sequence[str]) -> list[str]:
        """Return the command that puts ``requirements``, as pip's arguments, into ``environment``."""
        python = str(python_in(environment))
        if self.uv is not None:
            return [str(self.uv), "pip", "install", "--quiet", "--python", python, *requirements]
        quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
        return [*_pip(), "--python", python, "install", *quiet, *requirements]

    def variables(self) -> dict[str, str]:
        """Return the environment variables for either command: this process's, without what Blender put there."""
        own = {
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(self.folder / "python"),
            "UV_NO_CONFIG": "1",
            "UV_CONCURRENT_DOWNLOADS": "2",  # more have been reported to fail on slow lines
        }
        return clean_environment(os.environ) | own


def find_tool(folder: Path, pinned: Wheel | None, wheelhouse: Path | None, online: bool, tell: Tell) -> Tool:
    """Return the best tool at hand: uv from the path, an earlier run, the wheelhouse or the network; else pip.

    ``pinned`` is the wheel of uv that Tempera knows for this machine.
    """
    known = (shutil.which("uv"), shutil.which("uv", path=str(folder / "tools")))
    uv = next((Path(found) for found in known if found and _recent(found)), None)
    if uv is None and pinned is not None:
        wheel = (wheelhouse or folder / "wheels") / pinned.file
        try:
            if not wheel.is_file() and online:
                obtain(pinned, wheel, folder, tell)
            if wheel.is_file() and checksum(wheel) == pinned.sha256:
                uv = _unpacked(wheel, folder / "tools")
        except UserError:
            uv = None  # pip will do
    return Tool(folder, uv)


def obtain(wheel: Wheel, target: Path, folder: Path, tell: Tell) -> None:
    """Put ``wheel`` into the file ``target``, whole or not at all.

    It comes from its address, taken up again where it broke off; without one from the package index that pip is set up
    for, whole. pip logs and keeps its files in ``folder``. UserError: the network, the disk, or another checksum.
    """
    if wheel.url:
        return fetch(wheel.url, target, wheel.sha256, tell)
    begun = folder / "cache" / "begun"
    try:
        begun.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        wanted = begun / "wanted.txt"
        wanted.write_text(wheel.requirement + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(disk_sentence(error, target)) from error
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    fits = ["--python-version", wheel.python, "--ignore-requires-python"]
    place = ["--dest", str(begun), "--require-hashes", "-r", str(wanted)]
    trouble = run([*_pip(), "download", *quiet, *fits, *place], folder / LOG, Tool(folder, None).variables())
    if "No space left" in trouble:
        raise UserError(f"The disk of {folder} is full. Free some space, or choose another folder, then try again.")
    came = begun / wheel.file
    if trouble or not came.is_file() or checksum(came) != wheel.sha256:
        raise UserError(
            f"{wheel.file} cannot be had from the package index ({trouble[:200] or 'another file came'}). Check the "
            "network, a proxy or a firewall, then try again: what has arrived is kept."
        )
    move(came, target)
    return tell(wheel.size)


def _recent(uv: str) -> bool:
    """Return whether the program ``uv`` runs and knows the options that are used here."""
    try:
        said = subprocess.run([uv, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
        major, minor = re.findall(r"\d+", said)[:2]
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return (int(major), int(minor)) >= OLDEST_UV


def _unpacked(wheel: Path, tools: Path) -> Path:
    """Take the one program out of uv's wheel, and return where it is."""
    tools.mkdir(parents=True, exist_ok=True)
    program = tools / _PROGRAM
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(f"/scripts/{_PROGRAM}"))
        program.write_bytes(archive.read(name))
    program.chmod(0o755)
    return program


def _pip() -> list[str]:
    """Return the command of a pip: this Python's, or the one that it keeps for new environments (PEP 453)."""
    if find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    bundled = find_spec("ensurepip")
    wheels = sorted(Path(bundled.origin).parent.glob("_bundled/pip-*.whl")) if bundled and bundled.origin else []
    if not wheels:
        raise UserError(
            "This Python has no pip, and uv could not be had. Connect to the network once, or choose the Python of "
            "another environment."
        )
    return [sys.executable, str(wheels[-1] / "pip")]


def run(command: Sequence[str], log: Path, variables: Mapping[str, str], folder: Path | None = None) -> str:
    """Run ``command`` in ``folder``, add what it says to ``log``, and return its last words, "" when all went well."""
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {subprocess.list2cmdline(command)}\n")
    done = subprocess.run(
        command, cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, capture_output=True, text=True,
        encoding="utf-8", errors="replace", check=False, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )  # fmt: skip
    said = done.stdout + done.stderr
    with log.open("a", encoding="utf-8") as file:
        file.write(said)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return "" if done.returncode == 0 else (lines[-1] if lines else f"exit code {done.returncode}")
