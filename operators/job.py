"""One job, as the Blender that started it sees it: its state, its capture, its strip.

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
from ..backend.bridge.files import read_json
from ..backend.bridge.job import Job as JobFolder
from ..backend.bridge.job import State
from . import answers, timeline
from .capture import Capture, capture_scene, capture_strip
from .clock import Clock
from .shared_shot import SharedShot
from .versions import Strip, all_strips

ACTIVE = ("capturing", "ready", "running")
Question = messages.Measure | messages.SuggestKeys | messages.ContactSheet | messages.Retouch


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


class Job:
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
        self.files = files
        self.note = ""
        self.stopping = False
        self.makes_way = False  # whether it stops only for a render, and goes on by itself
        self.stale = False  # whether the strip lags behind the frames
        self.question: Question | None = None  # what the worker is to find out about the job, which rests meanwhile
        self.numbers: tuple[tuple[str, ...], ...] = ()  # what was measured, see answers.numbers
        self.suggestion = ""  # which frames to paint
        self.motion: tuple[str, ...] = ()  # where its motion came from, see answers.motion
        self._keeper = keeper
        self._rest = files.state
        if self.active:
            elsewhere = "Another Blender works on it. Resume when that one has stopped."
            interrupted = "Interrupted. Resume to go on; finished frames are kept."
            self._rest = State("cancelled", elsewhere if files.held else interrupted)
        self._trouble = self._rest.message if self.state == "failed" else ""  # why the last request came to nothing
        self._capture: Capture | SharedShot | None = None
        self._hold = contextlib.ExitStack()  # while it is captured, against other Blenders, as the worker does later
        self._captured = self._made = self._answered = 0.0
        self._clock = Clock()
        self._shot_frames: tuple[int, ...] = ()
        self._finished: set[int] = set()
        self._outdated: set[int] = set()  # of an earlier run, shown until they are made again
        self._fresh: set[int] = set()  # finished, and not yet shown
        self._placed = True  # whether the strip was made: one that is gone since then was taken away on purpose
        self._warning = ""
        self._blend = ""
        self._scene_uid, self._scene_name = 0, str(files.source.get("scene", ""))
        self.settle(scene)

    @property
    def folder(self) -> Path:
        """The job's folder, with all that it needs and all that it made."""
        return self.files.folder

    @property
    def name(self) -> str:
        """The job's name, which is its folder's and its strip's."""
        return self.files.name

    @property
    def state(self) -> str:
        """One of "new", "capturing", "ready" (waits for the worker), "running", "cancelled", "failed", "done"."""
        return self._rest.state

    @property
    def message(self) -> str:
        """A sentence for the artist, "" when all is well."""
        return self._trouble or self._rest.message or self._warning

    @property
    def active(self) -> bool:
        """Whether the job runs or waits for its turn, or a question about it does."""
        return self.state in ACTIVE or self.question is not None

    @property
    def progress(self) -> float:
        """How far the job is, 0 to 1: capturing the shot is the first half, painting it the second.

        While a question about the job is worked on, how far that is.
        """
        if self.question is not None:
            return self._answered
        return 1.0 if self.state == "done" else (self._captured + self._made) / 2

    @property
    def elapsed(self) -> float:
        """How many seconds the run has taken, or took, since it was last started."""
        return self._clock.elapsed

    @property
    def remaining(self) -> float | None:
        """About how many seconds are left, None while that cannot be told."""
        return self._clock.remaining(self.progress) if self.state in ACTIVE else None

    @property
    def frames(self) -> list[Path]:
        """The finished frames, in the order of the shot."""
        return [self.files.frame_path(frame) for frame in self.files.finished()]

    @property
    def finished(self) -> frozenset[int]:
        """The numbers of the finished frames."""
        return frozenset(self._finished)

    @property
    def shot_frames(self) -> tuple[int, ...]:
        """The frames of the captured shot, ascending; empty until it is captured."""
        return self._shot_frames

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

    def ask(self, question: Question) -> None:
        """Wait for the worker with ``question``."""
        self.question, self.note = question, ""
        self._trouble, self._answered = "", 0.0

    @property
    def request(self) -> messages.Work:
        """What the worker is to be told when it is the job's turn."""
        return self.question or messages.Run(str(self.folder))

    def begin(self) -> None:
        """Capture what is not captured, as it is now, then wait for the worker.

        UserError when it cannot be captured, the folder cannot be written, or another Blender works on the job.
        """
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

    def note_saved(self) -> None:
        """Remember where the file was saved, and let a job of one that had never been belong to it."""
        self.note_file()
        if self.scene is not None and self._blend and not self.files.source.get("blend"):
            with contextlib.suppress(UserError):
                self.files.belong_to(self._blend)

    def scene_after_load(self) -> bpy.types.Scene | None:
        """Return the job's scene in the file that was just opened, None when it is another file."""
        at_home = self._blend and self._blend == bpy.data.filepath
        return bpy.data.scenes.get(self._scene_name) if at_home else None

    def enter(self, state: str, message: str = "") -> None:
        """Note where the job stands, here and in its folder; UserError when the folder cannot be written."""
        self._rest = State(state, message)
        self._clock.stop()  # also where it waits for its turn
        self.note = ""
        self._trouble = message if state == "failed" else ""
        self.files.write_state(self._rest)

    def rest(self, state: str, message: str) -> None:
        """Come to rest in ``state``, whether or not the folder takes note.

        When it was a question that was worked on, the job itself stays as it is.
        """
        self.stopping = False
        if self.question is not None:
            self.question, self.note = None, ""
            self._trouble = message if state == "failed" else ""
            return
        with contextlib.suppress(UserError):
            self.enter(state, message)

    def take_stock(self) -> None:
        """Read from the folder what is captured and finished."""
        spec = self.files.shot_folder / "shot.json"
        if spec.is_file():
            self._shot_frames = tuple(read_json(spec).get("frames", ()))
            self._captured = 1.0
        finished = set(self.files.finished())
        self._fresh |= finished
        self._finished, self._outdated = finished, set(self.files.outdated())
        self._made = len(finished) / max(len(self._shot_frames), 1)
        self._take_answers()
        self.stale = True

    def _take_answers(self) -> None:
        self.numbers = answers.numbers(self.files)
        self.suggestion = answers.suggestion(self.files)
        self.motion = answers.motion(self.files)

    @property
    def captured(self) -> bool:
        """Whether the whole shot is in the folder."""
        return bool(self._shot_frames)

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
        named = {strip.name: strip for strip in all_strips(scene.sequence_editor)} if scene.sequence_editor else {}
        if source["strip"] not in named:
            raise UserError(f"The strip {source['strip']} is gone. Bring it back, then resume.")
        return capture_strip(scene, named[source["strip"]], self.files.shot_folder, source.get("frames"))

    def hand_over(self) -> None:
        """Be the worker's from now on: it writes the state into the folder."""
        if self.question is None:
            self._rest = State("running")
            self._clock.start()
        self.note = "Waiting for the worker"

    def drop_capture(self) -> None:
        """End the capture, if one runs; whole frames are kept."""
        if self._capture is not None:
            self._capture.cancel()
            self._capture = None
        self._hold.close()

    def hear(self, event: messages.Message) -> None:
        """Take one of the worker's events."""
        if self.question is not None:
            self._hear_answer(event)
        elif isinstance(event, messages.Progress):
            self._made = event.done / max(event.total, 1)
            self.note = event.note
        elif isinstance(event, messages.Frame):
            self._finished.add(event.frame)
            self._fresh.add(event.frame)
            self.stale = True
        elif isinstance(event, messages.Ended) and self.makes_way and event.state == "cancelled":
            self.stopping = self.makes_way = False
            with contextlib.suppress(UserError):
                self.enter("ready")
        elif isinstance(event, messages.Ended):
            self._rest = State(event.state, event.message)  # the worker has written it
            self._clock.stop()
            self._take_answers()
            self._trouble = event.message if event.state == "failed" else ""
            self.note, self.stopping, self.makes_way = "", False, False

    def _hear_answer(self, event: messages.Message) -> None:
        if isinstance(event, messages.Progress):
            self._answered = event.done / max(event.total, 1)
            self.note = event.note
        elif isinstance(event, messages.Frame):
            self._fresh.add(event.frame)
            self.stale = True
        elif isinstance(event, messages.Ended):
            self.rest(event.state, event.message)
            self._take_answers()

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
