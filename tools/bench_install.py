"""Goes the way of an artist, from the zip to a painted shot and back, in a fresh profile, and prints what it takes.

    BLENDER=/path/to/blender .venv/bin/python tools/bench_install.py build/tempera-0.1.0.zip build/wheelhouse

The Blender is the one that BLENDER names, else the one on the PATH, else the module in this Python. Its profile, home
and folder for temporary files are new. The wheelhouse (see ``wheelhouse.py``) is served by this process: the only
network that there is. The backend is installed three times: cold, with nothing here; cached, after an install that was
ended once all had arrived; and offline, from the wheelhouse itself. It fails where any step does, or where Tempera
leaves anything outside the artist's own folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wheelhouse import Served, accelerator, fill

STEPS = Path(__file__).resolve().parent / "trial_steps.py"
ROW = "| "  # begins the lines of the table among all that Blender says
ONLINE = (  # sessions of Blender and what is done in each
    ("cold", ("install", "verify", "demo", "remove")),
    ("cached", ("end-early", "install", "repair", "remove")),
)
OFFLINE = ("install", "verify", "remove")
OWN = ("profile", "home", "temporary")  # folders where nothing may stay; the artist's own, "work", keeps the job
ASK = "import bpy, sys; print('is', bpy.app.version_string, 'with Python', '%d.%d' % sys.version_info[:2])"
MODULE = "import sys, bpy, addon_utils; addon_utils.enable('bl_pkg'); from bl_pkg import bl_extension_cli as cli\n"


def main(archive: Path, wheelhouse: Path) -> None:
    """Install the extension from ``archive`` and its backend in three ways; paint; remove; fail where one does."""
    place = Path(tempfile.mkdtemp(prefix="tempera-trial-"))
    blender = Blender(place)
    say(f"Blender {blender.version} ({blender.program or 'the bpy module, no BLENDER is named or on the PATH'})")
    say(f"Python {blender.python}, backend for {accelerator()}, in {place}")
    fill(wheelhouse, blender.python)
    served = Served(wheelhouse, place / "index")
    blender.network(served.address)
    timed("extension install-file", blender, ["install-file", "-r", "user_default", "--enable", str(archive)])
    stand_in(place / "profile", served.address)
    choice = ["--accelerator", accelerator(), "--work", str(place / "work")]
    for session, steps in ONLINE:
        blender.run(STEPS, ["--session", session, *choice, *steps])
    served.close()
    blender.run(STEPS, ["--session", "offline", *choice, "--wheelhouse", str(wheelhouse), *OFFLINE])
    timed("extension remove", blender, ["remove", "tempera"])
    left = files_left(place)
    say(f"left: {', '.join(left) or 'nothing'}")
    if any("tempera" in name.lower() for name in left):
        raise SystemExit(f"Some of that is Tempera's. All is in {place}.")
    shutil.rmtree(place)


class Blender:
    """A Blender whose profile, home and temporary files are in the folder ``place``; "program" is "" of the module."""

    def __init__(self, place: Path) -> None:
        self.program = os.environ.get("BLENDER") or shutil.which("blender") or ""
        self._log = place / "blender.log"
        for name in OWN:
            (place / name).mkdir()
        own = {"BLENDER_USER_RESOURCES": "profile", "HOME": "home", "USERPROFILE": "home", "TMPDIR": "temporary"}
        self._environment = os.environ | {name: str(place / folder) for name, folder in own.items()}
        for name in ("TEMPERA_WORKER_PYTHON", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "PIP_FIND_LINKS"):
            self._environment.pop(name, None)
        said = self._said(self._start(ASK, [])).split()
        self.version, self.python = said[said.index("is") + 1], said[said.index("Python") + 1]

    def network(self, address: str) -> None:
        """Let the package index at ``address`` be all that pip and uv can reach, and no uv be at hand."""
        self._environment |= {"PIP_INDEX_URL": address, "PIP_CONFIG_FILE": os.devnull}
        without_uv = [folder for folder in os.get_exec_path() if not shutil.which("uv", path=folder)]
        self._environment |= {"UV_PYTHON_DOWNLOADS": "never", "PATH": os.pathsep.join(without_uv)}
        self._environment.pop("PIP_EXTRA_INDEX_URL", None)

    def extension(self, words: list[str]) -> None:
        """Run one of Blender's commands for extensions."""
        module = [sys.executable, "-c", MODULE + "sys.exit(cli.cli_extension_handler(sys.argv[1:]))"]
        self._said([*([self.program, "--command", "extension"] if self.program else module), *words])

    def run(self, script: Path, arguments: list[str]) -> None:
        """Run a script in background, and print the lines of it that are for the table."""
        self._said(self._start(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", arguments))

    def _start(self, code: str, arguments: list[str]) -> list[str]:
        if not self.program:
            return [sys.executable, "-c", code, "--", *arguments]
        return [self.program, "-b", "--python-exit-code", "1", "--python-expr", code, "--", *arguments]

    def _said(self, command: list[str]) -> str:
        """Run a command, print its lines of the table, and return all that it says; fail where it fails."""
        words = []
        with self._log.open("a", encoding="utf-8") as log:
            process = subprocess.Popen(
                command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                encoding="utf-8", errors="replace",
            )  # fmt: skip
            for line in process.stdout or ():
                words.append(line)
                log.write(line)
                if line.startswith(ROW):
                    say(line.removeprefix(ROW).rstrip())
        if process.wait() != 0:
            raise SystemExit(f"{''.join(words[-25:])}\nThat failed; {self._log} has all that was said.")
        return "".join(words)


def timed(what: str, blender: Blender, words: list[str]) -> None:
    """Run one of Blender's commands for extensions and print how long it took."""
    started = time.monotonic()
    blender.extension(words)
    say(f"{what:<22} {time.monotonic() - started:7.1f} s")


def stand_in(profile: Path, address: str) -> None:
    """Let the index at ``address`` stand in for PyTorch's own in the installed lock files."""
    for path in profile.glob("**/tempera/backend/bridge/install/locks/*.json"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("https://download.pytorch.org/whl/cpu", address), encoding="utf-8")


def files_left(place: Path) -> list[str]:
    """Return the files in the folders where nothing may stay, as paths below ``place``."""
    paths = [path for name in OWN for path in (place / name).rglob("*") if path.is_file() or path.is_symlink()]
    return sorted(path.relative_to(place).as_posix() for path in paths)


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
