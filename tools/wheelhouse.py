"""Fills a wheelhouse with what the backend takes on the processor, and serves one as a package index.

Wheels of the lock file come from wherever pip is set up to look, each by its checksum. PyTorch for the processor comes
from there too or from its own index, about 400 MB in all; where neither has it, the one for CUDA is taken with all that
it brings, which computes on the processor as well: 2.9 GB.
"""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from backend.bridge.install.index import normal  # noqa: E402
from backend.bridge.install.lock import Wheel, closeness, pinned_uv, read_lock  # noqa: E402
from backend.bridge.install.machine import Machine  # noqa: E402

MACHINE = Machine.here()


def accelerator() -> str:
    """Return the accelerator that needs no card on this machine: "cpu", or "mps" on a Mac."""
    return "mps" if MACHINE.platform == "macos" else "cpu"


def fill(folder: Path, python: str) -> None:
    """Fetch what is not in ``folder`` yet of what the backend takes on ``python`` ("3.13")."""
    folder.mkdir(parents=True, exist_ok=True)
    lock, uv = read_lock(MACHINE.platform, accelerator()), pinned_uv(MACHINE.platform)
    _fetch(folder, python, [*lock.chosen(python), *([uv] if uv else [])])
    for requirement in lock.open:
        build = f"{requirement}+{accelerator()}"
        here = [wheel for wheel in folder.glob(build.replace("==", "-") + "*") if closeness(wheel.name, python) >= 0]
        if not here and _pip(folder, python, ["--extra-index-url", lock.index, "--retries", "0", build], told=False):
            _fetch(folder, python, read_lock(MACHINE.platform, "cuda").chosen(python))


def _fetch(folder: Path, python: str, wheels: list[Wheel]) -> None:
    """Fetch those of the locked ``wheels`` that are not in ``folder``; fail where one is not to be had."""
    wanted = [wheel for wheel in wheels if not (folder / wheel.file).is_file()]
    if not wanted:
        return
    listing = folder / "wanted.txt"
    pinned = [f"{wheel.name}=={wheel.file.split('-')[1]} --hash=sha256:{wheel.sha256}" for wheel in wanted]
    listing.write_text("\n".join(pinned), encoding="utf-8")
    failure = _pip(folder, python, ["--require-hashes", "-r", str(listing)])
    listing.unlink()
    if failure:
        raise SystemExit("The wheelhouse could not be filled: see above, then run again.")


def _pip(folder: Path, python: str, arguments: list[str], told: bool = True) -> int:
    """Let pip download wheels for ``python`` into ``folder``; return its exit status; it says why only if ``told``."""
    fitting = ["--no-deps", "--only-binary", ":all:", "--python-version", python]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", *fitting, "--dest", str(folder), *arguments]
    return subprocess.run(pip, check=False, stderr=None if told else subprocess.DEVNULL).returncode


class Served:
    """A wheelhouse as a package index with checksums (PEP 503) at ``address``, laid out in the folder ``pages``."""

    def __init__(self, wheelhouse: Path, pages: Path) -> None:
        for wheel in wheelhouse.glob("*.whl"):
            page = pages / normal(wheel.name.split("-")[0])
            page.mkdir(parents=True, exist_ok=True)
            (page / wheel.name).symlink_to(wheel.resolve())
            with wheel.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            with (page / "index.html").open("a", encoding="utf-8") as listing:
                listing.write(f'<a href="{wheel.name.replace("+", "%2B")}#sha256={digest}">{wheel.name}</a>\n')
        handler = partial(_Quiet, directory=str(pages))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Be no longer reached."""
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing of every request."""
