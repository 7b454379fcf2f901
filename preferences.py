"""What holds for all files of this artist: where the worker, the models and the jobs are."""

import functools
from pathlib import Path
from typing import Any

import bpy
from bpy.props import StringProperty

from .backend.bridge.environment import find_python
from .backend.bridge.errors import UserError

PACKAGE = __package__ or ""  # Blender's name for this extension: "bl_ext.<repository>.tempera"


def absolute(path: str) -> str:
    """Return a path of the artist's, which may begin with //, as an absolute one; "" stays as it is."""
    # Not resolved: the Python of an environment is a link that must stay one.
    return str(Path(bpy.path.abspath(path)).absolute()) if path else ""


@functools.lru_cache(maxsize=1)
def worker_problem(chosen: str) -> str:
    """Return why the worker cannot be started with the preference ``chosen``, "" when it can.

    The answer is kept, so that panels can ask while they draw; ``worker_problem.cache_clear()`` asks anew.
    """
    try:
        worker_python(chosen)
    except UserError as error:
        return str(error)
    return ""


def worker_python(chosen: str) -> Path:
    """Return the Python of the worker with the preference ``chosen``; UserError when there is none."""
    return find_python(absolute(chosen), backend_folder())


def backend_folder() -> Path:
    """Return the folder that Tempera's own environment goes to: the artist's, or the extension's own."""
    chosen = preferences().backend_folder
    return Path(absolute(chosen)) if chosen else user_folder()


def user_folder() -> Path:
    """Return the extension's own folder, which outlives its upgrades."""
    return Path(bpy.utils.extension_path_user(PACKAGE, create=True))


def jobs_folder(place: str = "") -> Path:
    """Return the folder that new jobs go to.

    It is ``place``, else the one that the preferences name, else ``tempera`` beside the file, else, of a file that was
    never saved, in the extension's own.
    """
    if chosen := place or preferences().jobs_folder:
        return Path(absolute(chosen))
    return Path(bpy.data.filepath).parent / "tempera" if bpy.data.filepath else user_folder() / "jobs"


def _look_again(preferences: "TEMPERA_preferences", _context: bpy.types.Context) -> None:
    worker_problem.cache_clear()
    worker_problem(preferences.worker_python)


PREFERENCES: list[Any] = []  # what the panels add: functions that take a layout and the preferences


class TEMPERA_preferences(bpy.types.AddonPreferences):
    """What holds for all files of this artist."""

    bl_idname = PACKAGE

    worker_python: StringProperty(
        name="Worker Python",
        description="The Python that has the worker's packages; empty for the one that Tempera finds by itself",
        subtype="FILE_PATH",
        update=_look_again,
    )
    jobs_folder: StringProperty(
        name="Jobs Folder",
        description="Where new jobs go; empty for a folder named tempera beside the .blend file",
        subtype="DIR_PATH",
    )
    backend_folder: StringProperty(
        name="Backend Folder",
        description="Where the backend is installed, several GB; empty for the extension's own folder",
        subtype="DIR_PATH",
        update=_look_again,
    )
    models_folder: StringProperty(
        name="Models Folder",
        description="A folder with models, also that of ComfyUI or A1111's web UI; empty for the shared cache alone",
        subtype="DIR_PATH",
    )
    wheelhouse: StringProperty(
        name="Wheelhouse",
        description="A folder of wheels to install the backend from where there is no network; empty for none",
        subtype="DIR_PATH",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the preferences."""
        for section in PREFERENCES:
            section(self.layout, self)


def preferences() -> TEMPERA_preferences:
    """Return this extension's preferences."""
    return bpy.context.preferences.addons[PACKAGE].preferences


def register() -> None:
    """Make the preferences known to Blender."""
    bpy.utils.register_class(TEMPERA_preferences)


def unregister() -> None:
    """Take them away; their values stay with Blender."""
    bpy.utils.unregister_class(TEMPERA_preferences)
    worker_problem.cache_clear()
