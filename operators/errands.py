"""One errand at a time for each who sends them: begun by a click, followed by a timer, shown in the preferences."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import bpy

from ..backend.bridge.errands import Ended, Errand, Progress
from ..backend.bridge.errors import UserError
from . import timers

TICK_SECONDS = 0.2


class Sender:
    """Sends errands to ``python -m module``, one at a time. Plain Python: undo and file loading pass it by."""

    def __init__(self, module: str, after: Callable[[], None]) -> None:
        """``after`` is called when an errand has ended, however it did."""
        self.ended: Ended | None = None
        self._module, self._after = module, after
        self._errand: Errand | None = None

    @property
    def progress(self) -> Progress | None:
        """How far the present errand is, None while there is none."""
        return self._errand.progress if self._errand else None

    def send(self, arguments: Sequence[str]) -> None:
        """Begin an errand, and in background, where no timer fires, wait for its end.

        UserError where one is under way already, and in background where it failed.
        """
        if self._errand is not None:
            raise UserError("Something is fetched already. Wait for it, or cancel it.")
        self.ended = None
        self._errand = Errand(self._module, arguments, certificates())
        if bpy.app.background:
            self.wait()
        else:
            timers.start(self._timer, TICK_SECONDS)

    def tick(self) -> bool:
        """Take what the errand told; return whether it goes on."""
        if self._errand is not None and not self._errand.poll():
            self.ended, self._errand = self._errand.ended, None
            self._after()
        return self._errand is not None

    def wait(self) -> None:
        """Wait for the end of the errand; UserError with its sentence where it failed."""
        while self.tick():
            time.sleep(0.05)
        if self.ended is not None and self.ended.state != "done":
            raise UserError(self.ended.message)

    def cancel(self) -> None:
        """Stop the errand, if there is one; what has arrived is kept."""
        if self._errand is not None:
            self._errand.cancel()
            self.tick()

    def close(self) -> None:
        """Stop the errand and the timer."""
        self.cancel()
        timers.stop(self._timer)

    def _timer(self) -> float | None:
        busy = self.tick()
        for window in bpy.context.window_manager.windows:
            for area in window.screen.areas:
                if area.type == "PREFERENCES":
                    area.tag_redraw()
        return TICK_SECONDS if busy else None


def online_problem() -> str:
    """Return why nothing may be fetched, "" where it may."""
    if bpy.app.online_access:
        return ""
    if bpy.app.online_access_override:
        return "Blender was started in offline mode. Start it without --offline-mode."
    return "Online access is off. Allow it in Preferences > System > Network."


def certificates() -> dict[str, str]:
    """Return where the certificates lie that Blender brings, for systems whose own its Python does not find."""
    found = find_spec("certifi")
    bundle = Path(found.origin).with_name("cacert.pem") if found and found.origin else None
    return {"SSL_CERT_FILE": str(bundle)} if bundle and bundle.is_file() else {}
