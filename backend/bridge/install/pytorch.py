"""What only PyTorch's own index has: which files these are, and what they must be.

A lock file names such a build by version alone. Its files and their checksums are asked of that index when it is
installed; a file without a checksum is refused, and what was taken once is kept on record: another file of the same
name is never taken later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import UserError
from .fetch import checksum, move
from .index import Link, listing, normal, vouched
from .lock import Lock, Wheel, closeness

KNOWN = "checksums.json"  # the record, {file: SHA-256}
_PLATFORMS = {"linux": "x86_64", "windows": "win_amd64", "macos": "arm64"}  # what a wheel's last tag must have


def open_wheels(
    lock: Lock, pins: Iterable[tuple[str, str]], platform: str, python: str, wheelhouse: Path | None
) -> list[Wheel]:
    """Return a wheel for each of ``pins`` (name, version) that ``lock`` does not hold itself.

    ``python`` ("3.12") and ``platform`` are what it must fit. What the wheelhouse has is taken as its owner put it
    there. UserError: the index has no such file, or gives no checksum of it.
    """
    locked = {normal(wheel.name) for wheel in lock.wheels}
    wheels = []
    for name, version in pins:
        if normal(name) in locked:
            continue
        lent = {path.name: path for path in wheelhouse.glob("*.whl")} if wheelhouse else {}
        if file := _fitting(lent, name, version, platform, python):
            wheels.append(Wheel(file, checksum(lent[file]), lent[file].stat().st_size))
        else:
            wheels.append(_offered(lock.index, name, version, platform, python))
    return wheels


def remember(record: Path, wheels: Sequence[Wheel], index: str) -> None:
    """Keep the checksums of ``wheels`` in the file ``record``; UserError where one was another before."""
    known = _record(record)
    for wheel in wheels:
        if known.get(wheel.file, wheel.sha256) != wheel.sha256:
            raise UserError(
                f"{wheel.file} is not the file that {urlsplit(index).hostname} gave before: its checksum differs, so "
                "it was not used. Ask there for the reason, or press Remove, which forgets it, and install again."
            )
    part = record.with_name(record.name + ".part")
    part.write_text(json.dumps(known | {wheel.file: wheel.sha256 for wheel in wheels}, indent=1), encoding="utf-8")
    move(part, record)


def _record(record: Path) -> dict[str, str]:
    """Return the checksums in the file ``record``; UserError where it is damaged, for it must not pass for empty."""
    try:
        return dict(json.loads(record.read_text(encoding="utf-8"))) if record.is_file() else {}
    except (ValueError, TypeError) as error:
        raise UserError(
            f"{record} is damaged, so it cannot be told whether PyTorch's files are those of before. Press Remove, "
            "which forgets it, and install again."
        ) from error


def _offered(index: str, name: str, version: str, platform: str, python: str) -> Wheel:
    """Return the wheel that the index at the address ``index`` offers and vouches for."""
    links: dict[str, Link] = {link.file: link for link in listing(index, name)}
    file = _fitting(links, name, version, platform, python)
    if not file:
        raise UserError(
            f"{urlsplit(index).hostname} has no {name} {version} for Python {python} on {platform}. Choose another "
            "accelerator, or put the file into a wheelhouse."
        )
    link = vouched(index, links[file])
    return Wheel(file, link.sha256, 0, link.url)


def _fitting(files: Iterable[str], name: str, version: str, platform: str, python: str) -> str:
    """Return which of ``files`` is the wheel of ``name`` in ``version`` that fits closest, "" where none does."""
    fitting = [
        file
        for file in files
        if file.endswith(".whl")
        and (normal(file.split("-")[0]), file.split("-")[1]) == (normal(name), version)
        and (file.endswith("-any.whl") or _PLATFORMS[platform] in file.rpartition("-")[2])
        and "musllinux" not in file
        and closeness(file, python) >= 0
    ]
    return max(fitting, key=lambda file: closeness(file, python), default="")
