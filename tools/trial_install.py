"""Goes the way of an artist, from the zip to a painted frame and back, in a fresh profile, and prints what it takes.

    .venv/bin/python tools/trial_install.py build/tempera-0.1.0.zip WHEELHOUSE

WHEELHOUSE stands in for the network: a folder with the wheels of one lock file, and of PyTorch where that is not in it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

PROFILE = Path(tempfile.mkdtemp(prefix="tempera-profile-"))
os.environ["BLENDER_USER_RESOURCES"] = str(PROFILE)  # read once, when bpy is imported


def main(archive: Path, wheelhouse: Path) -> None:
    """Enable the extension from ``archive``, install, verify, repair, paint, remove; fail where one of these does."""
    import bpy

    tempera = enable(archive)
    chosen = bpy.context.preferences.addons["bl_ext.trial.tempera"].preferences
    chosen.wheelhouse, chosen.backend_folder = str(wheelhouse), str(PROFILE / "backend")
    timed("install", lambda: bpy.ops.tempera.install_backend("EXEC_DEFAULT"))
    timed("verify", bpy.ops.tempera.verify_backend)
    timed("repair", bpy.ops.tempera.repair_backend)
    scene = sys.modules["bl_ext.trial.tempera.operators.demo"].build(frames=2, size=(128, 72))
    job = timed("paint", lambda: paint(tempera, scene))
    sys.stdout.write(f"  {len(job.frames)} frames in {job.folder.name}\n")
    timed("remove", lambda: bpy.ops.tempera.remove_backend("EXEC_DEFAULT"))
    left = sorted(path.name for path in (PROFILE / "backend").iterdir())
    sys.stdout.write(f"left in the backend's folder: {', '.join(left) or 'nothing'}\n")


def enable(archive: Path) -> ModuleType:
    """Unpack the zip as Blender does, and return the extension."""
    import addon_utils
    import bpy

    repository = PROFILE / "extensions" / "trial"
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(repository / "tempera")
    repositories = bpy.context.preferences.extensions.repos
    repositories.new(name="trial", module="trial", custom_directory=str(repository), remote_url="")
    return addon_utils.enable("bl_ext.trial.tempera", default_set=True)


def paint(tempera: ModuleType, scene: Any) -> Any:
    """Paint two frames with the starter model, and return the job."""
    job = tempera.stylize(scene, method="framewise", folder=PROFILE / "job", steps=2, prompt="oil painting")
    job.wait()
    return job


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Do it, and print how long it took."""
    started = time.monotonic()
    result = act()
    sys.stdout.write(f"{what:<8} {time.monotonic() - started:6.1f} s\n")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
