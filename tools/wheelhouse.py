"""Fills a wheelhouse with what the backend takes on the processor, and serves one as a package index.

    .venv/bin/python tools/wheelhouse.py build/wheelhouse

Wheels of the lock file come from wherever pip is set up to look, each by its checksum, and PyTorch from there or from
its own index. About 400 MB, once.
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
from backend.bridge.install.lock import pinned_uv, read_lock  # noqa: E402
from backend.bridge.install.machine import Machine  # noqa: E402

PYTHON = "{}.{}".format(*sys.version_info[:2])


def accelerator(machine: Machine) -> str:
    """Return the accelerator that needs no card on ``machine``: "cpu", or "mps" on a Mac."""
    return "mps" if machine.platform == "macos" else "cpu"


def fill(folder: Path) -> None:
    """Fetch what is not in ``folder`` yet."""
    machine = Machine.here()
    lock = read_lock(machine.platform, accelerator(machine))
    uv = pinned_uv(machine.platform)
    wanted = [wheel for wheel in [*lock.chosen(PYTHON), *([uv] if uv else [])] if not (folder / wheel.file).is_file()]
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / "wanted.txt"
    pinned = [f"{wheel.name}=={wheel.file.split('-')[1]} --hash=sha256:{wheel.sha256}" for wheel in wanted]
    listing.write_text("\n".join(pinned), encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d", str(folder)]
    if wanted:
        subprocess.run([*pip, "--require-hashes", "-r", str(listing)], check=True)
    for requirement in lock.open:
        if not list(folder.glob(requirement.replace("==", "-") + "*")):
            subprocess.run([*pip, "--extra-index-url", lock.index, "--retries", "0", requirement], check=True)
    listing.unlink()


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


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
