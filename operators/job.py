"""One job, as the Blender that started it sees it: its capture, its turn, its strip.

A job remembers names and ids, never bpy's own objects: undo, redo and the loading of files pass it by. What it is to
do next is decided by the session, which keeps all jobs.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Protocol

import bpy

from ..backend.bridge import messages
from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from . import timeline
from .capture import Capture, capture_scene, capture_strip
from .following import mark, source_of, standing_of
from .shared_shot import SharedShot
from .standing import ACTIVE, Question, Standing
from .versions import Strip


class Keeper(Protocol):
    """What a job asks of the session."""

    def start(self, job: Job) -> None:
        """Let ``job`` run when its turn comes."""

    def cancel(self, job: Job) -> None:
        """Stop ``job``."""

    def ask(self, job: Job, question: Question) -> None:
        """Have ``question`` about ``job`` answered when its turn comes."""

    def tick(self) -> bool:
        """Do a little of everything that is due."""


def rendering() -> bool:
    """Return whether Blender renders: the sequencer must not be changed under it."""
    return bpy.app.is_job_running("RENDER")


class Job(Standing):
    """One run, as this Blender sees it: made by ``tempera.stylize``, worked on by another process.

    >>> job = tempera.stylize(bpy.context.scene, keys={1: "//first.png"})
    >>> job.cancel()
    >>> job.wait(), job.state, job.message
    (True, 'cancelled', 'Stopped. Resume to go on; finished frames are kept.')
    >>> job.resume().wait(), job.state
    (True, 'done')
    >>> [path.name for path in job.frames]
    ['000001.png', '000002.png', '000003.png', '000004.png']
    """

    def __init__(self, keeper: Keeper, files: JobFolder, scene: bpy.types.Scene | None) -> None:
        super().__init__(files)
        self._keeper = keeper
        self._capture: Capture | SharedShot | None = None
        self._hold = contextlib.ExitStack()  # while it is captured, against other Blenders, as the worker does later
        self._open = contextlib.ExitStack()  # while this Blender lists it
        self._placed = True  # whether the strip was made: one that is gone since then was taken away on purpose
        self._blend = ""
        self._scene_uid, self._scene_name = 0, str(files.source.get("scene", ""))
        self.settle(scene)

    @property
    def strip(self) -> Strip | None:
        """The strip that shows the result, None while there is none."""
        scene = self.scene
        return next(iter(timeline.find(scene, self.files)), None) if scene else None

    @property
    def scene(self) -> bpy.types.Scene | None:
        """The scene that the job belongs to, None when it is not in the open file."""
        return next((scene for scene in bpy.data.scenes if scene.session_uid == self._scene_uid), None)

    def wait(self, timeout: float | None = None) -> bool:
        """Work until the job rests, at most ``timeout`` seconds; return whether it rests.

        Blender's window stands still meanwhile; in ``blender -b`` a job only goes on while a script waits for it.
        UserError with the reason when the job failed, or a question about it.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.active or (self.stale and not rendering()):
            self._keeper.tick()
            if end is not None and time.monotonic() >= end:
                break
            time.sleep(0.02)
        if self._trouble:
            raise UserError(self._trouble)
        return not self.active

    def cancel(self) -> None:
        """Stop the job at the end of its present step; finished frames are kept. A second time: at once."""
        self._keeper.cancel(self)

    def resume(self) -> Job:
        """Go on where the job stopped and return it; UserError when it runs already."""
        self._keeper.start(self)
        return self

    def measure(self, against: Job | None = None) -> Job:
        """Measure the finished frames and return the job; then ``numbers`` tells how consistent they are.

        ``against`` is a job that stylized the same shot frame by frame. UserError when the job is not finished.
        """
        if self.state != "done":
            raise UserError(f"{self.name} is not finished. Resume it, then measure it.")
        self._keeper.ask(self, messages.Measure(str(self.folder), str(against.folder) if against else ""))
        return self

    def suggest_keys(self, most: int = 6) -> Job:
        """Find out which frames to paint, at most ``most``, and return the job; then ``suggestion`` tells.

        UserError when the shot is not captured yet.
        """
        if not self.captured:
            raise UserError(f"The shot of {self.name} is not whole yet. Resume it first.")
        self._keeper.ask(self, messages.SuggestKeys(str(self.folder), most))
        return self

    def contact_sheet(self, path: Path) -> Job:
        """Lay some finished frames, each below its source, out on one picture, the PNG ``path``; return the job.

        UserError when no frame is finished.
        """
        if not self.finished:
            raise UserError(f"{self.name} has no finished frame yet. Resume it first.")
        self._keeper.ask(self, messages.ContactSheet(str(self.folder), str(path)))
        return self

    def retouch(self, frame: int, after: Path) -> Job:
        """Carry what finished ``frame`` was painted over to, the PNG ``after``, to all frames that show it.

        UserError when the job is not finished.
        """
        if self.active or self.state != "done":
            raise UserError(f"{self.name} is not finished. Wait for it or resume it, then paint over its frames.")
        self.files.add_retouch(frame, after)
        self._keeper.ask(self, messages.Retouch(str(self.folder)))
        return self

    def begin(self, *, held: bool = False) -> None:
        """Capture what is not captured, as it is now, then wait for the worker.

        ``held`` is whether a worker that was ended holds the job until it is gone.
        UserError when it cannot be captured, the folder cannot be written, or another Blender works on the job.
        """
        if not held:
            self._hold.enter_context(self.files.locked())
        try:
            self.take_stock()
            if self.captured:
                self._hold.close()
            else:
                self._capture = self._begin_capture()
            self.enter("ready" if self.captured else "capturing")
        except BaseException as error:
            self.drop_capture()  # whatever went wrong, the job is held no longer
            if isinstance(error, UserError):
                self.rest("failed", str(error))
            raise
        self._clock.reset(self.progress)
        self.settle(self.scene)

    def stay_open(self) -> None:
        """Let other Blenders see that this one has the job, where nothing else, no saved file, leads back to it."""
        if not self.files.source.get("blend"):
            with contextlib.suppress(OSError):
                self._open.enter_context(self.files.opened())

    def let_go(self) -> None:
        """Let other Blenders have the job."""
        with contextlib.suppress(OSError):  # the drive is gone, or can only be read: the lock is let go all the same
            self._open.close()

    def remove(self) -> None:
        """Delete the folder, except what somebody else keeps in it; UserError when that cannot be."""
        self.let_go()  # Windows deletes no file that is held open
        try:
            self.files.remove()
        except UserError:
            self.stay_open()
            raise

    def settle(self, scene: bpy.types.Scene | None) -> None:
        """Belong to ``scene`` of the open file, or to no scene in it (its result waits in the folder)."""
        self._scene_uid = scene.session_uid if scene else 0
        self.note_file()
        if self.state in ACTIVE:
            self._placed = False
        self.stale = True

    def note_file(self) -> None:
        """Remember the open file as the one that holds the job's scene, and its name there."""
        scene = self.scene
        if scene is not None:
            self._blend, self._scene_name = bpy.data.filepath, scene.name

    def note_saved(self) -> bool:
        """Remember where the file was saved; return whether the job was of one that had never been."""
        self.note_file()
        return bool(self.scene is not None and self._blend and not self.files.source.get("blend"))

    def write_home(self) -> None:
        """Let the folder tell which file the job belongs to. Asks nothing of Blender: it may run in a thread."""
        with contextlib.suppress(UserError):
            self.files.note_source(blend=self._blend)

    def scene_after_load(self) -> bpy.types.Scene | None:
        """Return the job's scene in the file that was just opened, None when it is another file."""
        at_home = self._blend and self._blend == bpy.data.filepath
        return bpy.data.scenes.get(self._scene_name) if at_home else None

    def go_on_capturing(self) -> None:
        """Poll the capture; when it is whole, wait for the worker. UserError when it fails."""
        if self._capture is None:
            return
        self._clock.start()
        at = self._capture.poll()
        self._captured = at.done / at.total if at.total else 0.0
        self.note = at.note
        if at.finished:
            self.drop_capture()
            self.take_stock()
            self.enter("ready")

    def _begin_capture(self) -> Capture | SharedShot:
        scene, source = self.scene, self.files.source
        if source.get("shot"):
            return SharedShot(Path(source["shot"]), self.files.shot_folder)
        if scene is None:
            raise UserError(f"{self._scene_name} is not in this file. Open the file of {self.name}, then resume.")
        if not source.get("strip"):
            beauty = Path(source["beauty"]) if source.get("beauty") else None  # a pattern, see capture_scene
            return capture_scene(scene, self.files.shot_folder, source.get("frames"), beauty)
        strip = source_of(scene, source)
        if strip is None:
            raise UserError(f"The strip {source['strip']} is gone. Bring it back, then resume.")
        mark(strip)
        self.files.note_source(**standing_of(strip))  # it may have been moved or renamed since the job was made
        return capture_strip(scene, strip, self.files.shot_folder, source.get("frames"))

    def drop_capture(self) -> None:
        """End the capture, if one runs; whole frames are kept."""
        if self._capture is not None:
            self._capture.cancel()
            self._capture = None
        self._hold.close()

    def place_again(self) -> None:
        """Make the strip anew if it is gone; UserError when it cannot be made."""
        self._placed = False
        self.show()
        if not self._placed or self._warning:
            raise UserError(self._warning or f"{self.name} has no frames to show yet. Resume it first.")

    def show_heat_map(self) -> None:
        """Put the heat maps above the result, or bring their strip up to date; UserError when that cannot be done."""
        if not self.numbers:
            raise UserError(f"{self.name} is not measured yet. Measure it first.")
        scene = self.scene
        if scene is None:
            raise UserError(f"{self._scene_name} is not in this file. Open the file of {self.name} first.")
        timeline.show_heat_map(scene, self.files, self._shot_frames)

    def note_speeds(self, source: str) -> None:
        """Take in that the strip ``source`` has other speeds than when it was captured, or "" where it has its own."""
        told = f"{source} was given other speeds since. Choose Render Again to have a result that fits."
        self._misfit = told if source else ""

    def show(self) -> None:
        """Bring the strip up to date; one that the artist took away stays away."""
        self.stale = False
        scene, fresh, self._fresh = self.scene, self._fresh, set()
        there = self._finished | self._outdated
        if scene is None or not self._shot_frames:
            return
        try:
            if timeline.update(scene, self.files, self._shot_frames, there, fresh):
                self._placed, self._warning = True, ""
            elif not self._placed:
                placed = timeline.place(scene, self.files, self._shot_frames, there)
                self._placed, self._warning = placed is not None, ""
        except UserError as error:
            self._placed = True  # the run goes on without a strip; asking again each time would not help
            self._warning = str(error)
        except Exception as error:
            self._warning = f"The strip could not be brought up to date ({error}). Choose Show Result to try again."
            raise
