"""Loads this checkout into Blender as the extension ``tempera``, without installing it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
REPOSITORY = "tempera_checkout"


def load_extension() -> ModuleType:
    """Enable the checkout in the running Blender and return its module, ``bl_ext.tempera_checkout.tempera``."""
    import addon_utils
    import bpy

    folder = Path(tempfile.mkdtemp(prefix="tempera-"))
    (folder / "tempera").symlink_to(ROOT)
    bpy.context.preferences.extensions.repos.new(
        name="Tempera checkout", module=REPOSITORY, custom_directory=str(folder), remote_url=""
    )
    module = addon_utils.enable(f"bl_ext.{REPOSITORY}.tempera", default_set=True)
    if module is None:
        raise RuntimeError("the checkout could not be enabled as an extension; see the traceback above")
    return module
