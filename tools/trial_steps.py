"""Does an artist's steps in a Blender in which Tempera is installed, and prints what each takes.

``bench_install.py`` starts it: ``trial_steps.py -- --session cold install verify demo remove``. The first step that
fails ends it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bpy

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bench_install import ROW

NAME = "bl_ext.user_default.tempera"
DEMO = {"prompt": "an oil painting of a forest", "steps": 12, "strength": 1.0, "guidance": 2.0, "key_distance": 12}


def main(arguments: list[str]) -> None:
    """Do the steps in order, each on what the one before has left."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("steps", nargs="+", choices=STEPS)
    parser.add_argument("--session", default="", help="what the table calls these steps")
    parser.add_argument("--accelerator", default="cpu", help="what to install the backend for")
    parser.add_argument("--wheelhouse", default="", help="install from this folder, and allow no network")
    parser.add_argument("--work", type=Path, default=Path(), help="the artist's own folder, of the .blend and its jobs")
    chosen = parser.parse_args(arguments)
    enable()
    bpy.context.preferences.system.use_online_access = not chosen.wheelhouse
    module("preferences").preferences().wheelhouse = chosen.wheelhouse
    for step in chosen.steps:
        timed(f"{chosen.session:<8} {step}", partial(STEPS[step], chosen))


def enable() -> None:
    """Enable Tempera where the preferences were not read that say so: Blender as a module reads none."""
    import addon_utils

    addon_utils.enable("bl_pkg")
    if NAME not in bpy.context.preferences.addons:
        addon_utils.enable(NAME, default_set=True)


def module(name: str) -> Any:
    """Return a module of the installed extension."""
    __import__(f"{NAME}.{name}")
    return sys.modules[f"{NAME}.{name}"]


def install(chosen: argparse.Namespace) -> None:
    """Install the backend; the installer proves that it works."""
    module("operators.setup").current().find_choices()
    done(bpy.ops.tempera.install_backend("EXEC_DEFAULT", accelerator=chosen.accelerator))


def end_early(chosen: argparse.Namespace) -> None:
    """Begin an install, and end it at once when it has fetched everything."""
    plan = module("operators.setup").make_plan(chosen.accelerator)
    errand = module("backend.bridge.errands").Errand("backend.bridge.install", ["install", *plan.arguments])
    while errand.poll() and errand.progress.phase != "install":
        time.sleep(0.01)
    errand.cancel()
    if errand.ended is None or errand.ended.state != "cancelled":
        raise SystemExit(f"the install could not be ended: {errand.ended}")


def verify(_chosen: argparse.Namespace) -> None:
    """Let the backend prove that it works."""
    done(bpy.ops.tempera.verify_backend())


def repair(_chosen: argparse.Namespace) -> None:
    """Make the backend anew."""
    done(bpy.ops.tempera.repair_backend())


def demo(chosen: argparse.Namespace) -> None:
    """Build the demo shot, save it, and have all of it painted by the starter model."""
    done(bpy.ops.tempera.build_demo())
    scene = bpy.data.scenes["Tempera Demo"]
    chosen.work.mkdir(parents=True, exist_ok=True)
    done(bpy.ops.wm.save_as_mainfile(filepath=str(chosen.work / "demo.blend")))
    job = sys.modules[NAME].stylize(scene, method="rerender", **DEMO)
    job.wait()
    painted = sorted((job.folder / "frames").glob("*.png"))
    wanted = scene.frame_end - scene.frame_start + 1
    if (job.state, len(painted), len(job.frames)) != ("done", wanted, wanted) or job.strip is None:
        raise SystemExit(f"the demo job is {job.state} with {len(painted)} of {wanted} frames: {job.message}")
    module("operators.session").current().release()
    note(f"  {len(painted)} frames of {scene.render.resolution_x}x{scene.render.resolution_y}, strip in the timeline")


def remove(_chosen: argparse.Namespace) -> None:
    """Remove the backend; nothing may stay in its folder but what is told to stay."""
    done(bpy.ops.tempera.remove_backend("EXEC_DEFAULT"))
    told = module("operators.setup").current().installing.ended.message
    note(f"  {told}")
    untold = [path.name for path in module("preferences").backend_folder().iterdir() if path.name not in told]
    if untold:
        raise SystemExit(f"also left: {', '.join(untold)}")


STEPS: dict[str, Callable[[argparse.Namespace], None]] = {
    "install": install, "end-early": end_early, "verify": verify, "repair": repair, "demo": demo, "remove": remove,
}  # fmt: skip


def done(result: set[str]) -> None:
    """Fail unless an operator has done its work."""
    if result != {"FINISHED"}:
        raise SystemExit(f"an operator ended with {result}")


def timed(what: str, act: Callable[[], None]) -> None:
    """Do it, and print how long it took, and how much of that processors worked."""
    started, worked = time.monotonic(), sum(os.times()[:4])
    act()
    took, work = time.monotonic() - started, sum(os.times()[:4]) - worked
    note(f"{what:<22} {took:7.1f} s {work:7.1f} s of a processor")


def note(text: str) -> None:
    """Print a line for the table."""
    sys.stdout.write(f"{ROW}{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[sys.argv.index("--") + 1 :])
