"""Fetches a recommended model from the Hugging Face Hub into the cache that its tools share.

The layout is the cache's own (huggingface_hub, "Understand caching"): ``blobs/<checksum>`` holds the content,
``snapshots/<commit>/<path>`` links to it, ``refs/main`` names the commit and is written last. So a model that another
program has fetched is not fetched again, and one that Tempera has fetched is there for other programs.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

from ..errors import UserError
from ..install.fetch import disk_sentence, fetch, fetch_small, move, page_sentence
from .catalogue import Entry

HUB = "https://huggingface.co"
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Remote:
    """A file of a repository: its path, size in bytes, SHA-256 (of big files), and git's own checksum of small ones."""

    path: str
    size: int
    sha256: str
    git: str

    @property
    def blob(self) -> str:
        """What the shared cache calls its content."""
        return self.sha256 or self.git


def download(entry: Entry, cache: Path, tell: Tell) -> Path:
    """Put the files of ``entry`` into ``cache`` and return what a setting is to name.

    Files that are there are kept, one that broke off is gone on with, and every one is checked by the hub's listing.
    ``tell`` hears of bytes that are here, bytes in all, and the file. UserError: the network, the disk, a file that is
    not what the listing says.
    """
    home = cache / f"models--{entry.repository.replace('/', '--')}"
    commit = str(_ask(f"/api/models/{entry.repository}")["sha"])
    files = listing(entry, commit)
    total, behind = sum(file.size for file in files), 0
    snapshot = home / "snapshots" / commit
    for file in files:

        def count(done: int, file: Remote = file, behind: int = behind) -> None:
            tell(behind + done, total, file.path)

        _bring(f"{_hub()}/{entry.repository}/resolve/{commit}/{quote(file.path)}", file, home, snapshot, count)
        behind += file.size
    _write(home / "refs" / "main", commit)
    return snapshot / entry.use if entry.use else snapshot


def listing(entry: Entry, commit: str) -> list[Remote]:
    """Return the files of ``entry`` at ``commit``; UserError where the hub has none that match, or a pickle does."""
    tree = _ask(f"/api/models/{entry.repository}/tree/{commit}?recursive=true")
    found = []
    for each in tree:
        wanted = any(fnmatch.fnmatchcase(each["path"], pattern) for pattern in entry.files)
        if each.get("type") == "file" and wanted and ".." not in PurePosixPath(each["path"]).parts:
            found.append(Remote(each["path"], each["size"], each.get("lfs", {}).get("oid", ""), each["oid"]))
    weights = [file for file in found if file.path.endswith(".safetensors")]
    if not weights:
        raise UserError(f"{entry.repository} no longer has the files of {entry.label}. Update Tempera.")
    unchecked = [file.path for file in weights if not file.sha256]
    if unchecked:
        raise UserError(f"{entry.repository} gives no checksum for {unchecked[0]}. Update Tempera.")
    return found


def _bring(url: str, file: Remote, home: Path, snapshot: Path, count: Callable[[int], None]) -> None:
    """Put one file into the cache: its content among the blobs, and a link to it, or itself where links are refused."""
    blob, link = home / "blobs" / file.blob, snapshot / file.path
    if link.is_file():
        count(file.size)
        return
    if not blob.is_file():
        if file.sha256:
            fetch(url, blob, file.sha256, count)
        else:
            _write(blob, _checked_small(url, file))
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            link.symlink_to(os.path.relpath(blob, link.parent))
        except OSError:  # Windows without developer mode makes no links
            move(blob, link)
    except OSError as error:
        raise UserError(disk_sentence(error, link)) from error


def _checked_small(url: str, file: Remote) -> bytes:
    """Return the content of a small file, checked by the checksum that git gives it."""
    data = fetch_small(url)
    if hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest() != file.git:
        raise UserError(f"{file.path} is not the file that the hub lists: its checksum differs. Try again.")
    return data


def _write(path: Path, content: bytes | str) -> None:
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
        move(part, path)
    except OSError as error:
        raise UserError(disk_sentence(error, path)) from error


def _hub() -> str:
    return os.environ.get("HF_ENDPOINT", HUB).rstrip("/")


def _ask(path: str) -> Any:
    data = fetch_small(_hub() + path)
    try:
        return json.loads(data)
    except ValueError as error:
        raise UserError(page_sentence(_hub())) from error
