"""Finds the Python that the worker runs in, and tells a whole environment from an aborted one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from .errors import UserError

VARIABLE = "TEMPERA_WORKER_PYTHON"
MARKER = "tempera.json"  # in an environment, written last
_ROOT = Path(__file__).resolve().parent.parent.parent  # the folder that holds ``backend``
_PYTHON = Path("Scripts", "python.exe") if os.name == "nt" else Path("bin", "python")


def find_python(chosen: str, backend_folder: Path | None) -> Path:
    """Return the worker's Python.

    The first of: ``chosen`` (the preference), the environment variable TEMPERA_WORKER_PYTHON, the environment that
    Tempera made in ``backend_folder`` (None when there is no such folder), and ``.venv-worker`` beside ``backend``,
    which a developer's checkout has. What the artist or the variable names is never passed over.

    UserError when that is no file, when the environment was not finished, or when there is none at all.
    """
    for named, where in ((chosen, "Tempera's preferences"), (os.environ.get(VARIABLE, ""), VARIABLE)):
        if named:
            return _existing(Path(named), where)
    made = environment_in(backend_folder) if backend_folder else None
    if made and standing(made) == "ready":
        return python_in(made)
    checkout = _ROOT / ".venv-worker"
    if python_in(checkout).is_file():
        return python_in(checkout)
    if made and standing(made) == "unfinished":
        raise UserError("The backend's install was not finished. Go on with it in Tempera's preferences.")
    raise UserError("The backend is not installed. Install it in Tempera's preferences, or choose a Python there.")


def environment_in(backend_folder: Path) -> Path:
    """Return the folder of the environment that Tempera makes in ``backend_folder``."""
    return backend_folder / "environment"


def python_in(environment: Path) -> Path:
    """Return the Python of an environment. Never resolved: it is a link, whose target knows nothing of it."""
    return environment / _PYTHON


def standing(environment: Path) -> str:
    """Return "ready", "unfinished" (begun, and ended before its marker was written) or "absent"."""
    if marker(environment) and python_in(environment).is_file():
        return "ready"
    return "unfinished" if environment.is_dir() else "absent"


def marker(environment: Path) -> dict[str, Any]:
    """Return what was noted when the environment was finished (version, accelerator, lock); {} where it was not."""
    try:
        noted = json.loads((environment / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def _existing(python: Path, where: str) -> Path:
    if not python.is_file():
        raise UserError(f"There is no Python at {python}. Choose another one in {where}.")
    return python
