"""Finds the Python that the worker runs in."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UserError

VARIABLE = "TEMPERA_WORKER_PYTHON"
_ROOT = Path(__file__).resolve().parent.parent.parent  # the folder that holds ``backend``
_PYTHON = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")


def find_python(chosen: str, user_folder: Path | None) -> Path:
    """Return the worker's Python.

    The first of: ``chosen`` (the preference), the environment variable TEMPERA_WORKER_PYTHON, the environment in
    ``user_folder`` (the extension's own folder on the artist's disk, None when there is none), and ``.venv-worker``
    beside ``backend``, which a developer's checkout has. What the artist or the variable names is never passed over.

    UserError when that is no file, or when there is none at all.
    """
    for named, where in ((chosen, "Tempera's preferences"), (os.environ.get(VARIABLE, ""), VARIABLE)):
        if named:
            return _existing(Path(named), where)
    folders = ([user_folder / "environment"] if user_folder else []) + [_ROOT / ".venv-worker"]
    # Never resolved: an environment's python is a link, and what it points to knows nothing of the environment.
    found = next((folder / _PYTHON for folder in folders if (folder / _PYTHON).is_file()), None)
    if found is None:
        raise UserError("The worker's Python is not set. Choose it in Tempera's preferences.")
    return found


def _existing(python: Path, where: str) -> Path:
    if not python.is_file():
        raise UserError(f"There is no Python at {python}. Choose another one in {where}.")
    return python
