"""A scene or a strip becomes a shot on disk: beauty frames, data layer, cameras.

All rendering is done by a child Blender on a copy of the file, in the UI as in background: nothing in the artist's
session is touched, whatever happens, and its window stays alive.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import bpy

from ..backend.bridge.errors import UserError
from .capture_copy import ASKED, KEPT, kept_request, lay, listed, save_copy
from .render_tools import cameras_at, simulation_starts
from .versions import Strip, handles, strips

# Loads render_passes and its neighbours as a package of their own, without the add-on around them.
START = (
    "import importlib, sys, types; package = types.ModuleType('capture'); package.__path__ = [sys.argv[-2]]; "
    "sys.modules['capture'] = package; importlib.import_module('capture.render_passes').main(sys.argv[-1])"
)


FOLLOWED = ("PERSP", "ORTHO")  # kinds of cameras whose motion is known


@dataclass(frozen=True)
class Progress:
    """How far a capture is: frames done and in all (0 while Blender starts), what it does, and whether it is whole."""

    done: int = 0
    total: int = 0
    note: str = "Starting Blender"
    finished: bool = False


class Capture:
    """A capture of a file that is copied already: at the first poll a child Blender begins with it.

    Plain Python: it outlives undo and the loading of another file. ``lay_ready`` is done before in a thread; the event
    that it is given tells it to stop.
    """

    def __init__(
        self, folder: Path, scratch: Path, command: Sequence[str], lay_ready: Callable[[threading.Event], None]
    ) -> None:
        self.folder = folder
        self._scratch, self._command = scratch, command
        self._log, self._log_start = folder.parent / "log.txt", 0
        self._process: subprocess.Popen[bytes] | None = None
        self._thread, self._buried = ThreadPoolExecutor(1), threading.Event()
        self._ready = self._thread.submit(lay_ready, self._buried)
        self._progress = Progress()
        self._error = ""

    def poll(self) -> Progress:
        """Return how far it is, without waiting. Raises UserError where the capture failed or was cancelled."""
        if not self._error and not self._progress.finished:
            if self._process is not None:
                code = self._process.poll()
                reason = self._read_report()
                if code is not None:
                    self._end(code, reason)
            elif self._ready.done():
                self._launch()
        if self._error:
            raise UserError(self._error)
        return self._progress

    def _launch(self) -> None:
        """Start the child."""
        scratch = str(self._scratch)
        try:
            self._ready.result()
            with self._log.open("ab") as log:
                self._log_start = log.tell()
                self._process = subprocess.Popen(
                    self._command,  # the environment, too, stays this Blender's: the child is the same Blender
                    env=os.environ | {"TMPDIR": scratch, "TEMP": scratch, "TMP": scratch},
                    stdin=subprocess.PIPE,  # closes when this Blender ends, however it ends
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=os.name != "nt",
                    creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
                )
        except OSError as error:
            self._error = unprepared(error)
            self._bury()

    def wait(self) -> Path:
        """Wait for the end and return the shot's folder. Raises UserError as ``poll`` does; interrupted, it cancels."""
        try:
            while not self.poll().finished:
                time.sleep(0.05)
        finally:
            if not self._progress.finished and not self._error:
                self.cancel()
        return self.folder

    def cancel(self) -> None:
        """End the child and all it started, at once. Whole frames stay, and a later capture goes on from them."""
        if not self._progress.finished and not self._error:
            self._error = "The capture was cancelled. Start it again to go on; whole frames are kept."
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                if os.name == "nt":
                    subprocess.run(["taskkill", "/T", "/F", "/PID", str(self._process.pid)], check=False)
                else:
                    os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._bury()

    def _read_report(self) -> str:
        """Take the child's progress, and return what it says of its end."""
        try:
            report = json.loads((self._scratch / "report.json").read_text(encoding="utf-8"))
        except OSError:  # there is none yet
            return ""
        self._progress = Progress(report["done"], report["total"], report.get("note", ""))
        return report.get("error", "")

    def _end(self, code: int, reason: str) -> None:
        """Come to rest after the child has ended."""
        if code == 0 and (self.folder / "shot.json").is_file():
            for name in (KEPT, ASKED):
                (self.folder / name).unlink(missing_ok=True)
            self._progress = Progress(self._progress.total, self._progress.total, "Captured", finished=True)
        else:
            self._error = reason or self._obituary(code)
        self._bury()

    def _obituary(self, code: int) -> str:
        """Return why the child ended without a word: the last error in its log, else the last line."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if re.search(r"error|exception|cannot|killed", line, re.IGNORECASE)]
        last = (errors or lines or ["no word in its log"])[-1][:300]
        return f"Blender stopped while it rendered the shot (exit code {code}): {last}. The whole log is {self._log}."

    def _bury(self) -> None:
        self._buried.set()
        self._thread.shutdown()  # no longer than one piece of a file takes
        if self._process is not None and self._process.stdin:
            self._process.stdin.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


def capture_scene(
    scene: bpy.types.Scene, folder: Path, frames: Iterable[int] | None = None, beauty: Path | None = None
) -> Capture:
    """Start the capture of a scene into ``folder``, a job's shot folder.

    ``frames`` are frame numbers, by default the scene's range and step. ``beauty`` names pictures that are rendered
    already: a path (``//`` is the file's folder) with ``#`` for the digits of the frame, or that of any one of them.
    Raises UserError where there is no frame, no usable camera, a picture is missing, or the folder cannot be written.
    """
    if frames is None:
        frames = range(scene.frame_start, scene.frame_end + 1, scene.frame_step)
    frames = sorted(set(frames))
    if not frames:
        raise UserError(f"{scene.name} has no frame to capture. Set its end after its start.")
    check_cameras(scene, frames)
    pictures = find_pictures(beauty, frames) if beauty else None
    return start(folder, {"scene": scene.name, "strip": None, "frames": frames, "beauty": pictures})


def capture_strip(
    scene: bpy.types.Scene, strip: Strip, folder: Path, frames: Iterable[int] | None = None
) -> Capture:
    """Start the capture of what ``strip`` of the scene's sequencer shows between its handles, and nothing else does.

    ``frames`` are some of them, all when None.

    A scene strip that shows its scene as it is gets a data layer, other strips none. Raises UserError where the strip
    has no picture, its files are missing, or the folder cannot be written.
    """
    seen = frames_seen(strip)
    frames = [frame for frame in seen if frame in set(frames)] if frames is not None else list(seen)
    return start(folder, {"scene": scene.name, "strip": strip.name, "frames": frames, "beauty": None})


def frames_seen(strip: Strip) -> range:
    """Return the frames at which a strip is seen: between its handles and those of the metas around it.

    UserError where it has no picture, its files are missing, or there is no such frame.
    """
    if strip.type == "SOUND":
        raise UserError(f"{strip.name} is a sound. Choose a strip that has pictures.")
    missing = [path for path in media_of(strip) if not Path(path).is_file()]
    if missing:
        raise UserError(f"{strip.name} has lost {listed(missing)}. Find the missing files and set the strip's path.")
    first, end = handles(strip)
    if first >= end:
        raise UserError(f"{strip.name} has no frame. Drag one of its handles out.")
    meta = strip.parent_meta()
    while meta:
        first, end = max(first, handles(meta)[0]), min(end, handles(meta)[1])
        meta = meta.parent_meta()
    if first >= end:
        raise UserError(f"{strip.name} is not seen in its meta strip. Choose another strip.")
    return range(first, end)


def check_cameras(scene: bpy.types.Scene, frames: Sequence[int]) -> None:
    """Raise UserError unless a perspective or orthographic camera films each of ``frames``."""
    for frame, camera in cameras_at(scene, frames).items():
        if camera is None or camera.type != "CAMERA":
            raise UserError(f"{scene.name} has no camera at frame {frame}. Add one and make it the scene's camera.")
        if camera.data.type not in FOLLOWED:
            kind = camera.data.type.lower().replace("pano", "panoramic")
            raise UserError(
                f"{camera.name} is a {kind} camera, whose motion cannot be followed. "
                "Use a perspective or orthographic camera."
            )


def find_pictures(pattern: Path, frames: Sequence[int]) -> list[str]:
    """Return each frame's picture by a pattern such as ``//shot_####.png``; UserError where one is missing."""
    path = Path(bpy.path.abspath(str(pattern)))
    digits = list(re.finditer(r"#+", path.name)) or list(re.finditer(r"\d+", path.stem))
    if not digits:
        raise UserError(f"{path.name} has no frame number. Write # where its digits are, as in shot_####.png.")
    start, end = digits[-1].span()
    names = [f"{path.name[:start]}{frame:0{end - start}d}{path.name[end:]}" for frame in frames]
    missing = [name for name in names if not path.with_name(name).is_file()]
    if missing:
        raise UserError(f"{path.parent} lacks {listed(missing)}. Render the missing frames, or choose fewer frames.")
    return [str(path.with_name(name)) for name in names]


def media_of(strip: Strip) -> Iterator[str]:
    """Yield the files that a strip, and the strips inside it or below it, shows."""
    if strip.type == "MOVIE":
        yield bpy.path.abspath(strip.filepath)
    elif strip.type == "IMAGE":
        yield from (bpy.path.abspath(str(Path(strip.directory) / each.filename)) for each in strip.elements)
    below = [getattr(strip, name, None) for name in ("input_1", "input_2")]
    for each in [*filter(None, below), *(strips(strip) if strip.type == "META" else ())]:
        yield from media_of(each)


def start(folder: Path, request: dict[str, Any]) -> Capture:
    """Save a copy of the session and start a child Blender on it, which does ``request`` (see render_passes.run)."""
    shot = folder.absolute()
    prepare(shot)
    try:
        scratch = Path(tempfile.mkdtemp(prefix="tempera-", dir=bpy.app.tempdir))
        try:
            kept = kept_request(shot, request)
            asked = kept or save_copy(shot, scratch, request)
            blend = scratch / asked["name"]
            unbaked = any(simulation_starts(scene) for scene in bpy.data.scenes)
            lay_ready = partial(lay, shot, scratch, dict(asked), kept is not None, unbaked)
            asked |= {"shot": str(shot), "scratch": str(scratch), "report": str(scratch / "report.json")}
            asked |= {"blend": str(blend)}
            (scratch / "request.json").write_text(json.dumps(asked), encoding="utf-8")
            command = child_command(blend, scratch / "request.json", asked["trusted"])
            return Capture(shot, scratch, command, lay_ready)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
    except OSError as error:
        raise UserError(unprepared(error)) from error


def unprepared(error: OSError) -> str:
    """Return the sentence on what kept a capture from beginning."""
    return f"The capture cannot be prepared ({error.strerror or error}). Make room on the disk, then try again."


def child_command(blend: Path, request: Path, trusted: bool) -> list[str]:
    """Return the child's command line. Its preferences are the artist's: render devices and add-ons count."""
    arguments = ["--", str(Path(__file__).parent), str(request)]
    if not bpy.app.binary_path:  # Blender as a Python module
        return [sys.executable, "-P", "-c", START, *arguments]
    scripts = "--enable-autoexec" if trusted else "--disable-autoexec"
    blender = [bpy.app.binary_path, "--background", "-noaudio", scripts, str(blend)]
    return [*blender, "--python-exit-code", "1", "--python-expr", START, *arguments]


def prepare(shot: Path) -> None:
    """Make the shot's folders; UserError where they cannot be written."""
    try:
        for folder in (shot / "beauty", shot / "data"):
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        (shot / "shot.json").unlink(missing_ok=True)  # it would say that the shot is whole
        (shot.parent / "log.txt").touch()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{shot.parent} cannot be written ({reason}). Choose another folder for the job.") from error
