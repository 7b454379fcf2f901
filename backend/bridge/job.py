"""The job folder: all that a run needs before it starts, all that it made after it ends.

::

    JOB/
      job.json            what to do: format, version, name, settings, source
      state.json          where it stands: state and a sentence for the artist
      shot/               the captured shot; shot/shot.json is written last
      keys/000012.png     the artist's key frames
      frames/000012.png   finished frames
      outdated/000012.png empty: that frame is of an earlier run, and is shown until it is made again
      exr/000012.exr      the same as OpenEXR, where that was asked for
      retouch/001-000012-after.png    what was painted over a finished frame, in order; -before.png is what was there
      untouched/000012.png            finished frames as they were before paint was carried to them
      painted/001/...     what was painted over frames of an earlier run
      report.json         what was used and what it took
      measure.json        how consistent the finished frames are, where that was measured
      heatmap/000012.png  where they change that should not
      keys.json           which frames to paint, where that was asked
      memory.json         how the model had to be fitted into the memory, where that ran out
      log.txt             tracebacks and the worker's own notes
      lock                locked by the process that works on it
      open-1234           locked by a process that has the job open, named by its number

Every file is written under a temporary name and renamed, so what carries its final name is whole. A run killed at any
instant goes on from the last whole frame.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import VERSION, settings
from .errors import UserError
from .exclusive import exclusive
from .files import artist_errors, lock, read_json, write_file, write_files, write_json
from .settings import Settings

FORMAT = 1
STATES = ("new", "capturing", "ready", "running", "cancelled", "failed", "done")
_FRAME_NAME = re.compile(r"(-\d{5,}|\d{6,})\.png")
_OPEN_NAME = re.compile(r"open-[0-9]+")
_PARTS = (
    "job.json", "state.json", "report.json", "measure.json", "memory.json", "keys.json", "log.txt", "worker.log",
    "lock", "shot", "keys", "frames", "exr", "heatmap", "retouch", "untouched", "source.png", "preview.png",
    "outdated", "painted",
)  # fmt: skip


@dataclass(frozen=True)
class State:
    """Where a job stands: one of STATES, and a sentence for the artist ("" when all is well)."""

    state: str
    message: str = ""


class Job:
    """One run's folder. Make it with :meth:`create`, find it again with :meth:`open`."""

    def __init__(self, folder: Path, name: str, run: Settings, source: dict[str, Any]) -> None:
        self.folder = folder
        self.name = name
        self.settings = run
        self.source = source
        self._writing = threading.RLock()  # job.json, of which the last writer is to know all

    @classmethod
    def create(cls, folder: Path, name: str, run: Settings, source: dict[str, Any] | None = None) -> Job:
        """Make the folder of a new job and write its ``job.json``.

        ``source`` says where the shot came from, in JSON values (scene, strip, .blend). UserError when the folder
        holds anything already, since a job's folder is deleted with it, or cannot be written.
        """
        if (folder / "job.json").exists():
            raise UserError(f"{folder} already holds a job. Choose another folder, or resume that job.")
        if folder.is_dir() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty. Choose a new folder for the job.")
        job = cls(folder, name, run, source or {})
        try:
            for part in (job.shot_folder, job.keys_folder, job.frames_folder):
                with artist_errors(part):
                    part.mkdir(parents=True, exist_ok=True)
            job.write_state(State("new"))
            job._write_spec()
        except UserError:
            with contextlib.suppress(UserError):
                job.remove()
            raise
        return job

    @classmethod
    def open(cls, folder: Path) -> Job:
        """Return the job in ``folder``; UserError when it holds none, or one that this version cannot read."""
        path = folder / "job.json"
        if not path.is_file():
            raise UserError(f"{folder} holds no job. Choose a folder that Tempera made.")
        plain = read_json(path)
        made_by = plain.get("format")
        if not isinstance(made_by, int) or made_by > FORMAT:
            raise UserError(
                f"{folder.name} was made by a newer Tempera (job format {made_by}, this one reads {FORMAT}). "
                "Update Tempera, or make the job again."
            )
        run = settings.from_json(plain.get("settings"))
        return cls(folder, str(plain.get("name", folder.name)), run, plain.get("source") or {})

    def _write_spec(self) -> None:
        with self._writing:
            plain = {
                "format": FORMAT,
                "version": VERSION,
                "name": self.name,
                "settings": settings.to_json(self.settings),
                "source": self.source,
            }
            write_json(self.folder / "job.json", plain)

    def note_source(self, **changed: Any) -> None:
        """Note what is ``changed`` in :attr:`source` by now, from any thread; UserError when that cannot be written."""
        with self._writing:
            if any(self.source.get(name) != value for name, value in changed.items()):
                self.source = {**self.source, **changed}
                self._write_spec()

    def change(self, run: Settings, keys: Mapping[int, Path]) -> None:
        """Take other settings and key frames for the next run; each frame stays until it is made again.

        What was painted over frames is put aside: it is of pictures that will be no more.
        UserError, with everything as it was, when another process runs the job or a key cannot be read.
        """
        with self.locked():
            pictures = {self.key_path(frame): self._read_key(path) for frame, path in keys.items()}
            write_files(pictures)
            with artist_errors(self.folder):
                for frame in set(self.key_frames()) - set(keys):
                    self.key_path(frame).unlink()
                self.measure_path.unlink(missing_ok=True)
                self.memory_path.unlink(missing_ok=True)
                if self.retouch_folder.is_dir():
                    aside = self.folder / "painted"
                    aside.mkdir(exist_ok=True)
                    taken = (int(each.name) for each in aside.iterdir() if each.name.isdecimal())
                    self.retouch_folder.rename(aside / f"{max(taken, default=0) + 1:03d}")
                if self.untouched_folder.is_dir():
                    shutil.rmtree(self.untouched_folder)
            self.outdate(self.finished())
            self.settings = run
            self._write_spec()
            self.write_state(State("ready"))

    @property
    def shot_folder(self) -> Path:
        """Where the captured shot lies."""
        return self.folder / "shot"

    @property
    def keys_folder(self) -> Path:
        """Where the artist's key frames lie."""
        return self.folder / "keys"

    @property
    def frames_folder(self) -> Path:
        """Where finished frames lie."""
        return self.folder / "frames"

    @property
    def outdated_folder(self) -> Path:
        """Where is noted, by empty files named as they are, which frames are of an earlier run."""
        return self.folder / "outdated"

    @property
    def retouch_folder(self) -> Path:
        """Where lies what was painted over finished frames."""
        return self.folder / "retouch"

    @property
    def untouched_folder(self) -> Path:
        """Where finished frames lie as they were before paint was carried to them, named as the frames are."""
        return self.folder / "untouched"

    @property
    def measure_path(self) -> Path:
        """What was measured of the finished frames."""
        return self.folder / "measure.json"

    @property
    def memory_path(self) -> Path:
        """How the model has to be fitted into the memory, where that ran out once."""
        return self.folder / "memory.json"

    @property
    def report_path(self) -> Path:
        """What the last run used and what it took."""
        return self.folder / "report.json"

    @property
    def heat_map_folder(self) -> Path:
        """Where the heat maps of the finished frames lie, named as the frames are."""
        return self.folder / "heatmap"

    @property
    def source_picture(self) -> Path:
        """The source frames of a preview, side by side."""
        return self.folder / "source.png"

    @property
    def preview_picture(self) -> Path:
        """The frames of a preview, side by side, as far as they have formed."""
        return self.folder / "preview.png"

    @property
    def suggestion_path(self) -> Path:
        """Which frames to paint."""
        return self.folder / "keys.json"

    @property
    def log_path(self) -> Path:
        """The job's log."""
        return self.folder / "log.txt"

    def frame_path(self, frame: int) -> Path:
        """Return the path of finished frame ``frame``."""
        return self.frames_folder / f"{frame:06d}.png"

    def exr_path(self, frame: int) -> Path:
        """Return the path of finished frame ``frame`` as OpenEXR."""
        return self.folder / "exr" / f"{frame:06d}.exr"

    def key_path(self, frame: int) -> Path:
        """Return the path of the key frame painted over ``frame``."""
        return self.keys_folder / f"{frame:06d}.png"

    def finished(self) -> list[int]:
        """Return the frames that are finished, ascending."""
        return sorted({*_numbered(self.frames_folder)} - {*_numbered(self.outdated_folder)})

    def outdated(self) -> list[int]:
        """Return the frames that are there still from an earlier run, ascending."""
        return sorted({*_numbered(self.frames_folder)} & {*_numbered(self.outdated_folder)})

    def outdate(self, frames: Iterable[int]) -> None:
        """Let ``frames`` count as not finished, while their pictures stay until they are made again."""
        with artist_errors(self.outdated_folder):
            self.outdated_folder.mkdir(exist_ok=True)
            for frame in frames:
                (self.outdated_folder / self.frame_path(frame).name).touch()

    def finish(self, frame: int, picture: bytes) -> None:
        """Write the PNG ``picture`` as ``frame``, which counts as finished from now on."""
        path = self.frame_path(frame)
        write_file(path, picture)
        with artist_errors(path):
            if not self.settings.exr:  # one of an earlier run would show another picture
                self.exr_path(frame).unlink(missing_ok=True)
            (self.outdated_folder / path.name).unlink(missing_ok=True)

    def key_frames(self) -> list[int]:
        """Return the frames that have a key, ascending."""
        return _numbered(self.keys_folder)

    def add_key(self, frame: int, image: Path) -> None:
        """Copy the PNG ``image`` into the job as the key of ``frame``; UserError when there is no such file."""
        write_file(self.key_path(frame), self._read_key(image))

    def add_retouch(self, frame: int, after: Path) -> None:
        """Take the PNG ``after`` as what finished ``frame`` was painted over to.

        The worker carries it to other frames (``messages.Retouch``). UserError when the frame is not finished or a
        file cannot be read or written.
        """
        number = len(self.retouches()) + 1
        stem = f"{number:03d}-{frame:06d}"
        with artist_errors(self.retouch_folder):
            self.retouch_folder.mkdir(exist_ok=True)
        write_file(self.retouch_folder / f"{stem}-before.png", self._read_key(self.frame_path(frame)))
        write_file(self.retouch_folder / f"{stem}-after.png", self._read_key(after))

    def retouches(self) -> list[tuple[int, Path, Path]]:
        """Return what was painted over finished frames, in order: the frame, the picture before, and after."""
        found = sorted(self.retouch_folder.glob("*-after.png")) if self.retouch_folder.is_dir() else []
        return [
            (int(after.name[4:-10]), after.with_name(after.name.replace("-after", "-before")), after)
            for after in found
        ]

    @staticmethod
    def _read_key(image: Path) -> bytes:
        try:
            return image.read_bytes()
        except OSError as error:
            raise UserError(
                f"The key frame {image} is missing or cannot be read. Save it again, or choose another file."
            ) from error

    @property
    def state(self) -> State:
        """Where the job stands, read from its folder."""
        path = self.folder / "state.json"
        if not path.is_file():
            return State("new")
        plain = read_json(path)
        return State(str(plain.get("state", "new")), str(plain.get("message", "")))

    def write_state(self, state: State) -> None:
        """Note where the job stands."""
        write_json(self.folder / "state.json", {"state": state.state, "message": state.message})

    def log(self, text: str) -> None:
        """Append ``text`` to the job's log. A log that cannot be written never stops a run."""
        with contextlib.suppress(OSError), self.log_path.open("a", encoding="utf-8") as log:
            log.write(text.rstrip("\n") + "\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the job for one process; UserError when another runs it. The lock dies with its process."""
        with artist_errors(self.folder), (self.folder / "lock").open("a+b") as handle:
            if not lock(handle.fileno()):
                raise UserError(f"The job {self.name} is already running. Wait for it, or cancel it first.")
            # What a killed run left half-written can only be swept while nobody writes.
            for part in (self.folder, self.frames_folder, self.keys_folder):
                for leftover in part.glob(".*.tmp"):
                    leftover.unlink(missing_ok=True)
            yield

    @property
    def held(self) -> bool:
        """Whether a process works on the job just now, as far as can be found out."""
        return _is_locked(self.folder / "lock")

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Let other processes see that this one has the job open, for as long as it lives. OSError where it cannot."""
        with exclusive(self.folder / f"open-{os.getpid()}"):
            yield

    @property
    def in_use(self) -> bool:
        """Whether a process works on the job or has it open, as far as can be found out."""
        return self.held or any(map(_is_locked, self._openings()))

    def _openings(self) -> list[Path]:
        """Return the files by which processes have, or had, the job open."""
        near = self.folder.glob("open-*")  # the artist may call something of his own by such a name
        return [path for path in near if _OPEN_NAME.fullmatch(path.name) and path.is_file()]

    def remove(self) -> None:
        """Delete what the job made, and its folder unless something else lies there; UserError when it cannot be."""
        with self.locked():
            pass  # only asks whether it runs: Windows deletes no file that is held open
        with artist_errors(self.folder):
            for part in (*(self.folder / name for name in _PARTS), *self._openings()):
                if part.is_dir():
                    shutil.rmtree(part)
                else:
                    part.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # something of the artist's own lies there and stays
                self.folder.rmdir()


def _is_locked(path: Path) -> bool:
    with contextlib.suppress(OSError), path.open("a+b") as handle:
        return not lock(handle.fileno())
    return False


def _numbered(folder: Path) -> list[int]:
    """Return the frame numbers of the whole PNG files in ``folder``, ascending."""
    if not folder.is_dir():
        return []
    names = (_FRAME_NAME.fullmatch(entry.name) for entry in os.scandir(folder))
    return sorted(int(name[1]) for name in names if name)
