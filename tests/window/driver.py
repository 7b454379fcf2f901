"""Runs inside Blender: takes commands that are dropped as files, and runs them in the main loop."""

import contextlib
import io
import os
import traceback
from pathlib import Path

import bpy

FOLDER = Path(os.environ["TEMPERA_WINDOW"])
NAMES = {"bpy": bpy}  # what commands know: beside it the windows, the first and its scene, as they are when one runs
bpy.context.preferences.view.show_splash = False


def tick() -> float:
    for path in sorted(FOLDER.glob("*.cmd")):
        words = io.StringIO()
        command = path.read_text(encoding="utf-8")
        path.unlink()
        NAMES["window_manager"] = bpy.context.window_manager
        NAMES["window"] = NAMES["window_manager"].windows[0]
        NAMES["scene"] = NAMES["window"].scene
        try:
            with contextlib.redirect_stdout(words):
                exec(compile(command, path.name, "exec"), NAMES)  # the test's own words
            ending = ".out"
        except Exception:  # noqa: BLE001 - it is the test that is told
            words.write(traceback.format_exc())
            ending = ".error"
        path.with_suffix(".tmp").write_text(words.getvalue(), encoding="utf-8")
        path.with_suffix(".tmp").rename(path.with_suffix(ending))
    return 0.05


bpy.app.timers.register(tick, persistent=True)
