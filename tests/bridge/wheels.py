"""Tiny real wheels, a lock of them, and a server that serves them and fails on command."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = "{}.{}".format(*sys.version_info[:2])
PROOF = ("-c", "import grain, canvas; assert canvas.SIZE == grain.SIZE == 3")


def make_wheel(folder: Path, name: str, filler: int = 0) -> Path:
    """Write a wheel whose module ``name`` has SIZE = 3, with ``filler`` bytes of ballast."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"SIZE = 3\nBALLAST = {'x' * filler!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def write_lock(folder: Path, wheels: list[Path], address: str, accelerator: str = "cpu", **more: object) -> Path:
    """Write ``linux-<accelerator>.json`` for ``wheels`` as the server at ``address`` has them."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [
        {"file": wheel.name, "url": f"{address}/{wheel.name}", "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
         "size": wheel.stat().st_size}
        for wheel in wheels
    ]  # fmt: skip
    plain = {"label": "Test", "pythons": [HERE], "proof": PROOF, "wheels": entries, **more}
    (folder / f"linux-{accelerator}.json").write_text(json.dumps(plain))
    return folder


class Index:
    """A server of the files in a folder, with ranges; ``spoil`` changes what it sends, ``log`` tells what was asked.

    ``cut`` is after how many bytes of an answer the line is cut, once for each entry; ``down`` refuses all.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[tuple[str, int]] = []
        self.cut: list[int] = []
        self.down = False
        self.slow = threading.Event()
        self.slow.set()
        self.spoil: Callable[[bytes], bytes] = bytes
        index = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                index.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        name = request.path.lstrip("/")
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        self.log.append((name, start))
        if self.down:
            return
        if not (self.folder / name).is_file():
            request.send_error(404)
            return
        whole = self.spoil((self.folder / name).read_bytes())
        if start >= len(whole):
            request.send_error(416)
            return
        data = whole[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(data)))
        request.end_headers()
        if self.cut:
            data = data[: self.cut.pop(0)]
        half = len(data) // 2
        request.wfile.write(data[:half])
        request.wfile.flush()
        self.slow.wait(20)
        request.wfile.write(data[half:])

    def close(self) -> None:
        self.slow.set()
        self._server.shutdown()
        self._server.server_close()
