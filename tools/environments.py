"""Makes the Python environments of a checkout: Blender's side, the worker's, and other Blenders for the tests.

    python3 tools/environments.py blender|worker|bpy42|bpy45|bpy52

An environment is made anew whenever its requirements change; a marker written last tells a whole one from an aborted
one. Written for any Python 3.8 or newer, so that an unfit one can be told what to install.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "tools" / "requirements"
FITTING = ("3.11", "3.13")  # the Pythons that bpy 5.0 and bpy 5.2 are built for
FOLDERS = {"blender": ".venv", "worker": ".venv-worker"}
OTHERS = {"bpy42": "3.11", "bpy45": "3.11", "bpy52": "3.13"}  # each Blender's own Python


def fitting_python(only: str = "") -> str | None:
    """Return the command of a Python that bpy wheels exist for (``only`` that version), this one first; else None."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if here == only or (not only and here in FITTING):
        return sys.executable
    for version in (only,) if only else FITTING:
        command = shutil.which("python" + version)
        # A shim may be on the path without its Python behind it.
        if command and subprocess.run([command, "-c", ""], check=False, capture_output=True).returncode == 0:
            return command
    return None


def make(name: str) -> None:
    """Make the environment ``name`` unless it is whole and up to date."""
    python = fitting_python(OTHERS.get(name, ""))
    if python is None:
        wanted = OTHERS.get(name, " or ".join(FITTING))
        sys.exit(f"Tempera's checks need Python {wanted}, for which Blender's wheels exist: install it.")
    folder = ROOT / FOLDERS.get(name, f".venv-{name}")
    version = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], check=True, capture_output=True, text=True
    ).stdout.strip()
    requirements = REQUIREMENTS / (f"blender-{version}.txt" if name == "blender" else name + ".txt")
    wanted_marker = version + "\n" + requirements.read_text()
    marker = folder / ".ready"
    if marker.exists() and marker.read_text() == wanted_marker:
        return
    sys.stdout.write(f"Making {folder.name} with Python {version} (once, a few minutes)\n")
    sys.stdout.flush()
    if marker.exists():
        marker.unlink()
    subprocess.run([python, "-m", "venv", str(folder.resolve())], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    install(pip, requirements)
    marker.write_text(wanted_marker)


def install(pip: list[str], requirements: Path) -> None:
    """Install ``requirements`` by ``pip``; leave with one sentence when that fails."""
    if subprocess.run([*pip, "-r", str(requirements)], check=False).returncode != 0:
        sys.exit(f"The packages of {requirements} could not be installed: see above, then run again.")


if __name__ == "__main__":
    for chosen in sys.argv[1:]:
        make(chosen)
