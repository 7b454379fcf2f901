"""How a job stands: what its folder says, and what the worker's events add to that."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ..backend.bridge import messages
from ..backend.bridge.errors import UserError
from ..backend.bridge.files import read_json
from ..backend.bridge.job import Job as JobFolder
from ..backend.bridge.job import State
from . import answers
from .clock import Clock

ACTIVE = ("capturing", "ready", "running")
Question = messages.Measure | messages.SuggestKeys | messages.ContactSheet | messages.Retouch


class Standing:
    """Where the job in ``files`` stands, how far it is, and what is known of its frames."""

    def __init__(self, files: JobFolder) -> None:
        self.files = files
        self.note = ""
        self.stopping = False
        self.makes_way = False  # whether it stops only for a render, and goes on by itself
        self.stale = False  # whether the strip lags behind the frames
        self.question: Question | None = None  # what the worker is to find out about the job, which rests meanwhile
        self.numbers: tuple[tuple[str, ...], ...] = ()  # what was measured, see answers.numbers
        self.suggestion = ""  # which frames to paint
        self.motion: tuple[str, ...] = ()  # where its motion came from, see answers.motion
        self._rest = files.state
        if self.active:
            elsewhere = "Another Blender works on it. Resume when that one has stopped."
            interrupted = "Interrupted. Resume to go on; finished frames are kept."
            self._rest = State("cancelled", elsewhere if files.held else interrupted)
        self._trouble = self._rest.message if self.state == "failed" else ""  # why the last request came to nothing
        self._warning = ""  # what is wrong though all goes on
        self._misfit = ""  # why the result does not fit its source any more
        self._captured = self._made = self._answered = 0.0
        self._clock = Clock()
        self._shot_frames: tuple[int, ...] = ()
        self._shot_size: tuple[int, ...] = ()
        self._finished: set[int] = set()
        self._outdated: set[int] = set()  # of an earlier run, shown until they are made again
        self._fresh: set[int] = set()  # finished, and not yet shown

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
        return self._trouble or self._rest.message or self._warning or self._misfit

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
    def shot_size(self) -> tuple[int, ...]:
        """Width and height of the captured shot, in pixels; empty until it is captured."""
        return self._shot_size

    @property
    def captured(self) -> bool:
        """Whether the whole shot is in the folder."""
        return bool(self._shot_frames)

    @property
    def request(self) -> messages.Work:
        """What the worker is to be told when it is the job's turn."""
        return self.question or messages.Run(str(self.folder))

    def ask(self, question: Question) -> None:
        """Wait for the worker with ``question``."""
        self.question, self.note = question, ""
        self._trouble, self._answered = "", 0.0

    def hand_over(self) -> None:
        """Be the worker's from now on: it writes the state into the folder."""
        if self.question is None:
            self._rest = State("running")
            self._clock.start()
        self.note = "Waiting for the worker"

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
            shot = read_json(spec)
            self._shot_frames, self._shot_size = tuple(shot.get("frames", ())), tuple(shot.get("size", ()))
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
