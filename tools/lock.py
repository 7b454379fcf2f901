"""Writes the lock files of the backend: ``.venv-worker/bin/python tools/lock.py``.

The versions are those that the tests ran with: what ``.venv-worker`` holds. Wheels are locked by name, size and
checksum for every Python that Blender may bring; a PyTorch that only PyTorch's own index has is locked by version.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from backend.bridge.install.lock import LOCKS, Lock, Wheel  # noqa: E402

PYTHONS = ("3.11", "3.12", "3.13", "3.14")  # Blender 4.2 to 5.0, uv, Blender 5.1 and newer, distributions
PLATFORMS = {
    "linux": "x86_64-manylinux_2_28",
    "windows": "x86_64-pc-windows-msvc",
    "macos": "aarch64-apple-darwin",
}
PYTORCH = "https://download.pytorch.org/whl/"
ROWS = (  # platform, accelerator, label, PyTorch's index where PyPI has no such build, about how many bytes that is
    ("linux", "cuda", "CUDA 13 (NVIDIA, RTX 20 series and newer)", "", 0),
    ("linux", "cuda126", "CUDA 12.6 (NVIDIA, GTX 900 to RTX 40 series, older drivers)", "cu126", 2_900_000_000),
    ("linux", "rocm", "ROCm (AMD)", "rocm7.2", 5_000_000_000),
    ("linux", "xpu", "XPU (Intel Arc)", "xpu", 2_500_000_000),
    ("linux", "cpu", "CPU (any machine, slow)", "cpu", 190_000_000),
    ("windows", "cuda", "CUDA 13 (NVIDIA, RTX 20 series and newer)", "cu130", 1_900_000_000),
    ("windows", "cuda126", "CUDA 12.6 (NVIDIA, GTX 900 to RTX 40 series, older drivers)", "cu126", 2_500_000_000),
    ("windows", "xpu", "XPU (Intel Arc)", "xpu", 1_500_000_000),
    ("windows", "cpu", "CPU (any machine, slow)", "", 0),
    ("macos", "mps", "Metal (Apple M series)", "", 0),
)
OF_PYTORCH = re.compile(r"(torch|triton|nvidia_|cuda_)")  # what another build of PyTorch brings in another form


def main() -> None:
    """Write all lock files."""
    LOCKS.mkdir(exist_ok=True)
    tested = _tested()
    resolved = {platform: _merged(platform, tested) for platform in PLATFORMS}
    for platform, accelerator, label, index, open_size in ROWS:
        wheels = [wheel for wheel in resolved[platform] if not (index and OF_PYTORCH.match(wheel.name))]
        plain: dict[str, Any] = {"label": label, "pythons": PYTHONS}
        if index:
            plain |= {"index": PYTORCH + index, "open": [tested["torch"]], "open_size": open_size}
        plain["wheels"] = [_plain(wheel) for wheel in wheels]
        _write(LOCKS / f"{platform}-{accelerator}.json", plain)
    uv = {platform: _resolve(platform, "3.12", "uv\n", {})[0] for platform in PLATFORMS}
    _write(LOCKS / "uv.json", {platform: _plain(wheel) for platform, wheel in uv.items()})


def _plain(wheel: Wheel) -> dict[str, Any]:
    return {"file": wheel.file, "sha256": wheel.sha256, "size": wheel.size}


def _tested() -> dict[str, str]:
    """Return what ``.venv-worker`` holds, as ``{name: "name==version"}``."""
    python = str(ROOT / ".venv-worker" / "bin" / "python")
    frozen = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True).stdout
    lines = [re.sub(r"\+\w+", "", line.replace(" @ ", "==", 1)) for line in frozen.splitlines()]
    return {line.partition("==")[0].lower(): line for line in lines if "/" not in line} | {"torch": _torch(python)}


def _torch(python: str) -> str:
    code = "import importlib.metadata as m; print(m.version('torch').partition('+')[0])"
    return "torch==" + subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _merged(platform: str, tested: dict[str, str]) -> list[Wheel]:
    """Return one wheel of each distribution for each of PYTHONS, without repetition, by name."""
    text = (ROOT / "tools" / "requirements" / "worker.txt").read_text().partition("# For the checks only.")[0]
    found: dict[str, Wheel] = {}
    for python in PYTHONS:
        lock = Lock("", PYTHONS, tuple(_resolve(platform, python, text, tested)))
        found |= {wheel.file: wheel for wheel in lock.chosen(python)}
    return sorted(found.values(), key=lambda wheel: wheel.file.lower())


def _resolve(platform: str, python: str, requirements: str, tested: dict[str, str]) -> list[Wheel]:
    """Let uv resolve ``requirements``; return all wheels that it finds fit."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, constraints, target = (Path(folder) / name for name in ("in.txt", "constraints.txt", "pylock.toml"))
        wanted.write_text(requirements)
        constraints.write_text("\n".join(tested.values()))
        files = [str(wanted), "--constraint", str(constraints), "--output-file", str(target)]
        machine = ["--python-platform", PLATFORMS[platform], "--python-version", python, "--only-binary", ":all:"]
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "compile", "--quiet", *files, *machine],
            check=True, env=os.environ | {"UV_NO_CONFIG": "1", "MACOSX_DEPLOYMENT_TARGET": "14.0"},
        )  # fmt: skip
        packages = tomllib.loads(target.read_text())["packages"]
    wheels = [wheel for package in packages for wheel in package["wheels"]]
    with ThreadPoolExecutor(8) as pool:
        sizes = pool.map(_size, [wheel["url"] for wheel in wheels])
    files = [unquote(wheel["url"].rpartition("/")[2]) for wheel in wheels]
    return [
        Wheel(file, wheel["hashes"]["sha256"], size) for file, wheel, size in zip(files, wheels, sizes, strict=True)
    ]


@cache
def _size(url: str) -> int:
    """Return the size of a file in bytes, which not every index tells."""
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD")) as answer:  # noqa: S310
        return int(answer.headers["Content-Length"])


def _write(path: Path, plain: dict[str, Any]) -> None:
    """Write JSON with one wheel a line, so that a change of versions reads well."""
    text = json.dumps({**plain, "wheels": []} if "wheels" in plain else plain, indent=1)
    lines = ",\n  ".join(json.dumps(wheel) for wheel in plain.get("wheels", ()))
    path.write_text(text.replace('"wheels": []', f'"wheels": [\n  {lines}\n ]') + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
