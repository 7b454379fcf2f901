"""What makes an environment and puts wheels into it: uv, or the venv and pip that come with Python."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ..client import clean_environment
from ..environment import python_in
from ..errors import UserError
from .fetch import Tell, checksum, fetch
from .index import find_wheel
from .lock import Wheel

UV_PYTHON = "3.12"  # the Python that uv brings
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

    def resolve_command(self, environment: Path, wanted: Path, sources: Sequence[str], target: Path) -> list[str]:
        """Return the command that writes what the file ``wanted`` brings into ``environment`` to the file ``target``.

        ``sources`` are pip's arguments on where to look. See :func:`resolved` for what is written.
        """
        python = ["--python", str(python_in(environment))]
        sources = ["--only-binary", ":all:", *sources]  # what is built from source is run before it could be checked
        if self.uv is not None:
            quiet = ["--quiet", "--no-header", "--no-annotate"]
            return [str(self.uv), "pip", "compile", *quiet, *python, *sources, "-o", str(target), str(wanted)]
        quiet = ["--quiet", "--no-input", "--disable-pip-version-check"]
        dry = ["install", "--dry-run", "--report", str(target)]
        return [*_pip(), *python, *dry, *quiet, *sources, "-r", str(wanted)]

    def variables(self) -> dict[str, str]:
        """Return the environment variables for either command: this process's, without what Blender put there."""
        own = {
            "UV_CACHE_DIR": str(self.folder / "cache"),
            "UV_PYTHON_INSTALL_DIR": str(self.folder / "python"),
            "UV_NO_CONFIG": "1",
            "UV_CONCURRENT_DOWNLOADS": "2",  # more have been reported to fail on slow lines
        }
        return clean_environment(os.environ) | own


def resolved(target: Path) -> list[tuple[str, str]]:
    """Return the names and versions that :meth:`Tool.resolve_command` wrote: pip's report, or uv's pinned lines."""
    text = target.read_text(encoding="utf-8")
    if text.startswith("{"):
        found = [each["metadata"] for each in json.loads(text)["install"]]
        return [(each["name"], each["version"]) for each in found]
    lines = [line.partition(";")[0].strip().partition("==") for line in text.splitlines() if "==" in line]
    return [(name, version) for name, _, version in lines]


def find_tool(folder: Path, pinned: Wheel | None, wheelhouse: Path | None, online: bool, tell: Tell) -> Tool:
    """Return the best tool at hand: uv from the path, an earlier run, the wheelhouse or the network; else pip.

    ``pinned`` is the wheel of uv that Tempera knows for this machine.
    """
    known = (shutil.which("uv"), shutil.which("uv", path=str(folder / "tools")))
    uv = next((Path(found) for found in known if found and _recent(found)), None)
    if uv is None and pinned is not None:
        wheel = folder / "wheels" / pinned.file
        if wheelhouse and (wheelhouse / pinned.file).is_file():
            wheel = wheelhouse / pinned.file
        try:
            if not wheel.is_file() and online:
                obtain(pinned, wheel, tell)
            if wheel.is_file() and checksum(wheel) == pinned.sha256:
                unpacked = _unpacked(wheel, folder / "tools")
                uv = unpacked if _recent(str(unpacked)) else None  # a disk may forbid that programs are run
        except UserError:
            uv = None  # pip will do
    return Tool(folder, uv)


def obtain(wheel: Wheel, target: Path, tell: Tell) -> None:
    """Put ``wheel`` into the file ``target``, whole or not at all, going on where an earlier call broke off.

    It comes from its address; without one, from the package index. UserError as :func:`fetch` raises it.
    """
    fetch(wheel.url or find_wheel(wheel, package_indexes()), target, wheel.sha256, tell)


_INDEXES = """
from pip._internal.commands import create_command
chosen, _ = create_command("download").parse_args([])
print(chosen.index_url, *chosen.extra_index_urls)
"""


@cache
def package_indexes() -> tuple[str, ...]:
    """Return the addresses of the package indexes that pip is set up for here: the public one, or a studio's mirror."""
    pip = [] if find_spec("pip") else [str(_bundled_pip())]
    code = f"import sys; sys.path[:0] = {pip!r}{_INDEXES}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], env=clean_environment(os.environ), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        said = " ".join(" ".join(done.stderr.splitlines()[-4:]).split())  # pip names the file, then the line
        trouble = "" if done.returncode == 0 else said or f"exit code {done.returncode}"
    except (OSError, subprocess.SubprocessError) as error:
        trouble = type(error).__name__
    if trouble:
        raise UserError(
            f"pip does not say which package index it uses ({trouble[:300]}). Mend its settings, or choose a "
            "wheelhouse, then try again."
        )
    return tuple(address for address in done.stdout.split() if address.startswith("http"))


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
    return [sys.executable, str(_bundled_pip() / "pip")]


def _bundled_pip() -> Path:
    """Return the wheel of the pip that this Python keeps; a distribution may keep it elsewhere (WHEEL_PKG_DIR)."""
    bundled, elsewhere = find_spec("ensurepip"), sysconfig.get_config_var("WHEEL_PKG_DIR")
    folders = [Path(bundled.origin).with_name("_bundled")] if bundled and bundled.origin else []
    folders += [Path(elsewhere)] if elsewhere else []
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("pip-*.whl"))]
    if not wheels:
        raise UserError(
            "Blender's Python has no pip, which knows where packages are. Install it (Linux calls it python3-pip), "
            "choose a wheelhouse that holds uv as well, or choose the Python of another environment."
        )
    return wheels[-1]


def run(command: Sequence[str], log: Path, variables: Mapping[str, str], folder: Path | None = None) -> str:
    """Run ``command`` in ``folder``, add what it says to ``log``; return its last words, "" when all went well."""
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {subprocess.list2cmdline(command)}\n")
    try:
        done = subprocess.run(
            command, cwd=folder, env=dict(variables), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            encoding="utf-8", errors="replace", check=False, creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )  # fmt: skip
    except OSError as error:  # a scanner took it away, or programs may not be run from that disk
        return f"{command[0]} cannot be started: {error.strerror or error}"
    said = done.stdout + done.stderr
    with log.open("a", encoding="utf-8") as file:
        file.write(said)
    return "" if done.returncode == 0 else _last_words(said) or f"exit code {done.returncode}"


def _last_words(said: str) -> str:
    """Return the last line, or, where uv or pip names an error, that and what it says to it, as one line."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [number for number, line in enumerate(lines) if line.lower().startswith("error:")]
    return " ".join(" ".join(lines[(named or [-1])[-1] :]).split())
