"""Goes the way of an artist, from the zip to a painted frame and back, in a fresh profile, and prints what it takes.

    .venv/bin/python tools/trial_install.py build/tempera-0.1.0.zip build/wheelhouse

or in the real Blender, whose fresh profile is to be named before it starts:

    BLENDER_USER_RESOURCES=PROFILE blender -b --python-exit-code 1 --python tools/trial_install.py -- ZIP WHEELHOUSE

The wheelhouse (see ``wheelhouse.py``) is served by this process: the only network that there is. The backend is
installed three times: cold, with nothing here; cached, after an install that was ended once all had arrived; and
offline, from the wheelhouse itself. It fails where any step does, or where something is left that is not listed.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))
PROFILE = Path(os.environ.get("BLENDER_USER_RESOURCES") or tempfile.mkdtemp(prefix="tempera-profile-"))
os.environ["BLENDER_USER_RESOURCES"] = str(PROFILE)  # read once, when bpy is imported
NAME = "bl_ext.user_default.tempera"


def main(archive: Path, wheelhouse: Path) -> None:
    """Install the extension from ``archive`` and its backend in three ways; paint; remove; fail where one does."""
    import bpy  # noqa: F401 - makes addon_utils known
    from wheelhouse import Served, accelerator

    served = Served(wheelhouse, PROFILE / "index")
    network(served.address)
    tempera = install_extension(archive)
    chosen, machine = module("preferences").preferences(), module("backend.bridge.install.machine").Machine.here()
    stand_in(served.address)
    kind = accelerator(machine)
    allow_network(True)
    timed("install, cold", lambda: install(kind))
    timed("verify", lambda: done(operator("verify_backend")()))
    scene = module("operators.demo").build(frames=2, size=(128, 72))
    job = timed("paint", lambda: paint(tempera, scene))
    sys.stdout.write(f"  {len(job.frames)} frames in {job.folder.name}\n")
    remove()
    end_when_all_has_arrived(kind)
    timed("install, cached", lambda: install(kind))
    timed("repair", lambda: done(operator("repair_backend")()))
    remove()
    served.close()
    allow_network(False)
    chosen.wheelhouse = str(wheelhouse)
    timed("install, offline", lambda: install(kind))
    remove()
    uninstall_extension()
    sys.stdout.write(f"left in the profile: {', '.join(sorted(files_left())) or 'nothing'}\n")
    if any("tempera" in name for name in files_left()):
        raise SystemExit("some of that is Tempera's")


def network(address: str) -> None:
    """Let the package index at ``address`` be all that pip and uv can reach, and no uv be at hand."""
    os.environ |= {"PIP_INDEX_URL": address, "PIP_CONFIG_FILE": os.devnull}
    os.environ |= {"UV_PYTHON_DOWNLOADS": "never", "PATH": "/usr/bin:/bin"}
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        os.environ.pop(name, None)


def stand_in(address: str) -> None:
    """Let the index at ``address`` stand in for PyTorch's own in the installed lock files."""
    lock = module("backend.bridge.install.lock")
    for path in lock.LOCKS.glob("*.json"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("https://download.pytorch.org/whl/cpu", address), encoding="utf-8")


def install_extension(archive: Path) -> ModuleType:
    """Install the zip as Blender does from disk, or when it is dropped on its window; return the extension."""
    import addon_utils
    import bpy

    addon_utils.enable("bl_pkg")
    where = {"repo": "user_default", "filepath": str(archive.absolute())}
    done(bpy.ops.extensions.package_install_files(**where, enable_on_install=True))
    return sys.modules[NAME]


def uninstall_extension() -> None:
    """Take the extension away as Blender does."""
    import bpy

    modules = [repository.module for repository in bpy.context.preferences.extensions.repos]
    done(bpy.ops.extensions.package_uninstall(repo_index=modules.index("user_default"), pkg_id="tempera"))


def allow_network(allowed: bool) -> None:
    """Set Blender's preference."""
    import bpy

    bpy.context.preferences.system.use_online_access = allowed


def module(name: str) -> Any:
    """Return a module of the installed extension."""
    __import__(f"{NAME}.{name}")
    return sys.modules[f"{NAME}.{name}"]


def operator(name: str) -> Callable[..., set[str]]:
    """Return one of Tempera's operators."""
    import bpy

    return getattr(bpy.ops.tempera, name)  # type: ignore[no-any-return]


def install(accelerator: str) -> None:
    """Install the backend for ``accelerator``; the installer proves that it works."""
    module("operators.setup").current().find_choices()
    done(operator("install_backend")("EXEC_DEFAULT", accelerator=accelerator))


def end_when_all_has_arrived(accelerator: str) -> None:
    """Begin an install and end it at once when it has fetched everything."""
    plan = module("operators.setup").make_plan(accelerator)
    errand = module("backend.bridge.errands").Errand("backend.bridge.install", ["install", *plan.arguments])
    while errand.poll() and errand.progress.phase != "install":
        time.sleep(0.01)
    errand.cancel()


def remove() -> None:
    """Remove the backend; nothing may stay in its folder but what is told to stay."""
    timed("remove", lambda: done(operator("remove_backend")("EXEC_DEFAULT")))
    told = module("operators.setup").current().installing.ended.message
    sys.stdout.write(f"  {told}\n")
    untold = [path.name for path in module("preferences").backend_folder().iterdir() if path.name not in told]
    if untold:
        raise SystemExit(f"also left: {', '.join(untold)}")


def paint(tempera: ModuleType, scene: Any) -> Any:
    """Paint two frames with the starter model, let the worker leave, and return the job."""
    job = tempera.stylize(scene, method="framewise", folder=PROFILE / "job", steps=2, prompt="oil painting")
    job.wait()
    module("operators.session").current().release()
    return job


def files_left() -> set[str]:
    """Return the files in the profile that are not of this trial: the index that it serves, the job that it ran."""
    paths = [path.relative_to(PROFILE) for path in PROFILE.rglob("*") if path.is_file()]
    return {path.as_posix() for path in paths if path.parts[0] not in ("job", "index")}


def done(result: set[str]) -> None:
    """Fail unless an operator has done its work."""
    if result != {"FINISHED"}:
        raise SystemExit(f"an operator ended with {result}")


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Do it, and print how long it took, and how much of that processors worked."""
    started, worked = time.monotonic(), sum(os.times()[:4])
    result = act()
    took, work = time.monotonic() - started, sum(os.times()[:4]) - worked
    sys.stdout.write(f"{what:<16} {took:6.1f} s, {work:6.1f} s of a processor\n")
    sys.stdout.flush()
    return result


if __name__ == "__main__":
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    main(Path(arguments[0]), Path(arguments[1]).absolute())
