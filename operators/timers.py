"""Timers of Blender's main thread."""

from __future__ import annotations

from collections.abc import Callable

import bpy

Timer = Callable[[], float | None]
# Blender tells functions apart by identity, and a bound method is another object each time it is asked for.
_same: dict[Timer, Timer] = {}


def start(timer: Timer, seconds: float = 0.0) -> None:
    """Have ``timer`` called after so many seconds, and again after as many as it returns, through the loading of files.

    Not in background: there no timer is ever called, and the 4.2 module crashes at its end over one that waits.
    """
    timer = _same.setdefault(timer, timer)
    if not bpy.app.background and not bpy.app.timers.is_registered(timer):
        bpy.app.timers.register(timer, first_interval=seconds, persistent=True)


def stop(timer: Timer) -> None:
    """Have ``timer`` called no more."""
    timer = _same.pop(timer, timer)
    if bpy.app.timers.is_registered(timer):
        bpy.app.timers.unregister(timer)
