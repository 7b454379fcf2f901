"""Lock files: exactly which wheels make up an environment, by file name, size and checksum.

One file for each platform and accelerator, such as ``linux-cuda.json``, written by ``tools/lock.py``. It names the
wheels of every Python that it fits; which of them a Python takes is told by the tags in their names (PEP 427).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError

LOCKS = Path(__file__).resolve().parent / "locks"
PROOF = ("-m", "backend", "doctor", "--trial")  # proves an environment


@dataclass(frozen=True)
class Wheel:
    """A wheel: its file name, such as ``numpy-2.4.6-cp312-cp312-win_amd64.whl``, its SHA-256, its size in bytes.

    ``url`` is where it lies; without one the package index is asked that pip is set up for, a studio's mirror too.
    """

    file: str
    sha256: str
    size: int
    url: str = ""

    @property
    def name(self) -> str:
        """Its distribution's name as file names write it."""
        return self.file.split("-")[0]


@dataclass(frozen=True)
class Lock:
    """What an environment is made of.

    ``pythons`` are the versions it fits ("3.12"); ``wheels`` are fetched and checked one by one. ``open`` are
    requirements that only the index at ``index`` has, pinned by version; that index must give a checksum for each of
    their files. ``open_size`` is about what these are in bytes. With the arguments ``proof`` the made Python proves
    that it works.
    """

    label: str
    pythons: tuple[str, ...]
    wheels: tuple[Wheel, ...]
    open: tuple[str, ...] = ()
    index: str = ""
    open_size: int = 0
    proof: tuple[str, ...] = PROOF
    digest: str = ""

    def chosen(self, python: str) -> list[Wheel]:
        """Return the one wheel of each distribution for ``python`` ("3.12"), the most specific of those that fit.

        UserError where one has none.
        """
        best: dict[str, tuple[int, Wheel]] = {}
        for wheel in self.wheels:
            rank = closeness(wheel.file, python)
            if rank > best.get(wheel.name, (-1, wheel))[0]:
                best[wheel.name] = (rank, wheel)
        lacking = sorted({wheel.name for wheel in self.wheels if best.get(wheel.name, (-1,))[0] < 0})
        if lacking:
            raise UserError(f"Python {python} does not fit {lacking[0]}. Use one of Python {', '.join(self.pythons)}.")
        return [wheel for _, wheel in best.values()]

    def size(self, python: str) -> int:
        """Return about how many bytes are fetched for ``python``."""
        return sum(wheel.size for wheel in self.chosen(python)) + self.open_size


def closeness(file: str, python: str) -> int:
    """Return how closely a wheel's tags fit CPython ``python``: -1 not at all, 0 any Python, more the closer.

    The platform is not looked at: a lock file is of one.
    """
    tags, abi, _ = file.removesuffix(".whl").split("-")[-3:]
    wanted = python.replace(".", "")
    ranks = [-1]
    for tag in tags.split("."):
        if tag.startswith("cp") and abi == "abi3" and int(tag[3:] or 0) <= int(wanted[1:]):
            ranks.append(int(tag[3:]))
        elif tag == f"cp{wanted}" and abi in (tag, "none"):
            ranks.append(1000)
        elif tag in ("py3", f"py{wanted}"):
            ranks.append(0)
    return max(ranks)


def read_lock(platform: str, accelerator: str, folder: Path = LOCKS) -> Lock:
    """Return the lock of a platform and an accelerator; UserError where Tempera has none."""
    path = folder / f"{platform}-{accelerator}.json"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(accelerators(platform, folder)) or "none"
        raise UserError(
            f"Tempera has no environment for {accelerator} on {platform}. Choose one of: {known}."
        ) from None
    return _parsed(json.loads(text), hashlib.sha256(text.encode()).hexdigest())


def pinned_uv(platform: str, folder: Path = LOCKS) -> Wheel | None:
    """Return the wheel of uv for a platform, None where there is none."""
    path = folder / "uv.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return Wheel(**known[platform]) if platform in known else None


def accelerators(platform: str, folder: Path = LOCKS) -> list[str]:
    """Return the accelerators that there are locks for on ``platform``."""
    return sorted(path.stem.partition("-")[2] for path in folder.glob(f"{platform}-*.json"))


def _parsed(plain: dict[str, Any], digest: str) -> Lock:
    tuples: dict[str, Any] = {name: tuple(plain[name]) for name in ("pythons", "open", "proof") if name in plain}
    wheels = tuple(Wheel(**wheel) for wheel in plain["wheels"])
    others = {name: plain[name] for name in ("label", "index", "open_size") if name in plain}
    return Lock(wheels=wheels, digest=digest, **tuples, **others)
