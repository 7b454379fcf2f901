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
from urllib.parse import quote, unquote

HERE = "{}.{}".format(*sys.version_info[:2])
PAGE = b"<!DOCTYPE html><html><body>Welcome. <a href='/login'>Sign in</a></body></html>"
PROOF = ("-c", "import grain, canvas; assert canvas.SIZE == grain.SIZE == 3")


def make_wheel(
    folder: Path, name: str, filler: int = 0, version: str = "1.0", tags: str = "py3-none-any", needs: str = ""
) -> Path:
    """Write a wheel whose module ``name`` has SIZE = 3, with ``filler`` bytes of ballast."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tags}.whl"
    info = f"{name}-{version}.dist-info"
    more = f"Requires-Dist: {needs}\n" if needs else ""
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"SIZE = 3\nBALLAST = {'x' * filler!r}\n")
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}")
        wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tags}\n")
        wheel.writestr(f"{info}/RECORD", f"{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return path


def write_lock(folder: Path, wheels: list[Path], accelerator: str = "cpu", **more: object) -> Path:
    """Write ``linux-<accelerator>.json`` for ``wheels``, as Tempera's own are: without addresses."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {"label": "Test", "pythons": [HERE], "proof": PROOF, "wheels": [locked(wheel) for wheel in wheels], **more}
    (folder / f"linux-{accelerator}.json").write_text(json.dumps(plain))
    return folder


def locked(wheel: Path) -> dict[str, object]:
    """Return a lock's entry for the file."""
    return {"file": wheel.name, "sha256": sha256(wheel), "size": wheel.stat().st_size}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Index:
    """A package index of the wheels in a folder, with ranges, at ``address``/simple.

    ``log`` tells which files were asked for and from which byte, ``login`` with which login at last; ``spoil`` changes
    what is sent; ``cut`` is after how many bytes of an answer the line is cut, once for each entry; ``down`` refuses
    all, after the last cut where it ``dies``. Listings are JSON (PEP 691), or with ``old`` HTML (PEP 503); with
    ``vouching`` they give checksums, of the file unless in ``says``. What is ``moved`` lies at another address.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[tuple[str, int]] = []
        self.cut: list[int] = []
        self.down = self.old = self.dies = False
        self.vouching = True
        self.says: dict[str, str] = {}
        self.login = self.moved = ""
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
        name = unquote(request.path.lstrip("/"))
        self.login = request.headers.get("Authorization", "")
        if self.moved:
            request.send_response(302)
            request.send_header("Location", f"{self.moved}{request.path}")
            request.end_headers()
            return
        if not self.down and (name.startswith("simple/") or name.endswith(".metadata")):
            kind, text = self._metadata(name) if name.endswith(".metadata") else self._list(name.split("/")[1])
            request.send_response(200)
            request.send_header("Content-Type", kind)
            request.send_header("Content-Length", str(len(text)))
            request.end_headers()
            request.wfile.write(text)
            return
        start = int(request.headers.get("Range", "bytes=0-")[6:-1])
        if not name.startswith("simple/"):
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
            self.down = self.dies and not self.cut
        half = len(data) // 2
        request.wfile.write(data[:half])
        request.wfile.flush()
        self.slow.wait(20)
        request.wfile.write(data[half:])

    def _list(self, project: str) -> tuple[str, bytes]:
        """Return the media type and the text of a project's listing."""
        paths = [path for path in sorted(self.folder.glob("*.whl")) if path.name.split("-")[0] == project]
        known = [(quote(path.name), self.says.get(path.name, sha256(path)) if self.vouching else "") for path in paths]
        if self.old:
            rows = [
                f'<a href="/{name}{"#sha256=" + digest if digest else ""}" data-core-metadata="true">{name}</a>'
                for name, digest in known
            ]
            return "text/html", ("<!DOCTYPE html><html><body>" + "\n".join(rows) + "</body></html>").encode()
        files = [
            {"filename": unquote(name), "url": f"../../{name}", "hashes": {"sha256": digest} if digest else {}}
            for name, digest in known
        ]
        text = json.dumps({"meta": {"api-version": "1.0"}, "name": project, "files": files})
        return "application/vnd.pypi.simple.v1+json", text.encode()

    def _metadata(self, name: str) -> tuple[str, bytes]:
        """Return the media type and the text of a wheel's metadata, which PEP 658 lays beside it."""
        with zipfile.ZipFile(self.folder / name.removesuffix(".metadata")) as wheel:
            member = next(each for each in wheel.namelist() if each.endswith("/METADATA"))
            return "text/plain", wheel.read(member)

    def close(self) -> None:
        self.slow.set()
        self._server.shutdown()
        self._server.server_close()


class Portal(Index):
    """An index behind a network that wants its user to sign in: what matches ``closed`` is answered with its page."""

    closed = ""

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if not self.closed or self.closed not in request.path:
            super().answer(request)
            return
        request.send_response(200)
        request.send_header("Content-Type", "text/html; charset=utf-8")
        request.send_header("Content-Length", str(len(PAGE)))
        request.end_headers()
        request.wfile.write(PAGE)
