"""What crosses the pipe between Blender and the worker: one JSON object a line, both ways.

Blender writes requests to the worker's standard input and reads events from its standard output. The first event is
:class:`Hello`. The end of standard input tells the worker to leave. Anything else that a library prints goes to
standard error, never into this channel.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

PROTOCOL = 4
MAX_LINE = 1 << 20  # bytes; the longest message is an error text


@dataclass(frozen=True)
class Run:
    """Request: work on the job in this folder until it is done, failed or cancelled."""

    job: str


@dataclass(frozen=True)
class Measure:
    """Request: measure this finished job and leave ``measure.json`` and ``heatmap/`` in its folder.

    ``against`` is the folder of a job that stylized the same shot frame by frame, "" for none.
    """

    job: str
    against: str


@dataclass(frozen=True)
class SuggestKeys:
    """Request: find out which frames of this job's shot to paint, at most ``most``, and leave it in ``keys.json``."""

    job: str
    most: int


@dataclass(frozen=True)
class ContactSheet:
    """Request: lay finished frames of this job, each below its source, out on one picture, the PNG ``path``."""

    job: str
    path: str


@dataclass(frozen=True)
class Retouch:
    """Request: carry what was painted over finished frames of this job to all that show it; others stay as they are."""

    job: str


@dataclass(frozen=True)
class Preview:
    """Request: paint the frames that this job's source lists as "preview" from the captured shot in ``shot``.

    The job holds settings and key frames. It gets ``source.png``, ``preview.png``, which changes while the frames form
    (each event :class:`Picture`), and the finished frames: those of a run where the method joins no frames, or where
    the source says "whole", and the others of the shot are looked at too.
    """

    job: str
    shot: str


@dataclass(frozen=True)
class Cancel:
    """Request: stop what goes on with this job, or waits, at the end of its present step; finished frames are kept."""

    job: str


@dataclass(frozen=True)
class Hello:
    """Event: the worker is up. ``protocol`` must equal PROTOCOL; ``device`` is "cuda", "mps" or "cpu"."""

    protocol: int
    version: str
    device: str


@dataclass(frozen=True)
class Heartbeat:
    """Event, about once a second while the worker lives, also during long steps."""


@dataclass(frozen=True)
class Started:
    """Event: the worker has opened the job."""

    job: str


@dataclass(frozen=True)
class Progress:
    """Event: ``done`` of ``total`` equal pieces of work are behind; ``note`` says what goes on."""

    job: str
    done: int
    total: int
    note: str


@dataclass(frozen=True)
class Frame:
    """Event: a finished frame lies under ``path``, whole."""

    job: str
    frame: int
    path: str


@dataclass(frozen=True)
class Picture:
    """Event: the picture under ``path`` is new."""

    job: str
    path: str


@dataclass(frozen=True)
class Ended:
    """Event: the request was worked off. ``state`` is "done", "cancelled" or "failed"; ``message`` is for the artist.

    After :class:`Run` this is the job's own state from now on; the other requests leave that as it was.
    """

    job: str
    state: str
    message: str


Work = Run | Measure | SuggestKeys | ContactSheet | Retouch | Preview
Message = Work | Cancel | Hello | Heartbeat | Started | Progress | Frame | Picture | Ended
_KINDS = {kind.__name__.lower(): kind for kind in get_args(Message)}
_FIELDS = {kind: get_type_hints(kind) for kind in get_args(Message)}


class MessageError(ValueError):
    """A line that is not one of the messages above."""


def encode(message: Message) -> bytes:
    """Return ``message`` as one line of UTF-8 JSON, newline included."""
    plain = {"type": type(message).__name__.lower(), **dataclasses.asdict(message)}
    return json.dumps(plain, ensure_ascii=True).encode() + b"\n"


def decode(line: bytes) -> Message:
    """Return the message in ``line``; MessageError when it is not one of ours, complete and correctly typed."""
    if len(line) > MAX_LINE:
        raise MessageError(f"a message of {len(line)} bytes")
    try:
        plain = json.loads(line)
    except (ValueError, RecursionError) as error:  # deep nesting is as little a message as broken JSON
        raise MessageError(f"not JSON: {line[:80]!r}") from error
    if not isinstance(plain, dict) or plain.get("type") not in _KINDS:
        raise MessageError(f"unknown message: {line[:80]!r}")
    kind = _KINDS[plain.pop("type")]
    return kind(**_checked(kind, plain))


def _checked(kind: type, plain: dict[str, Any]) -> dict[str, Any]:
    """Return ``plain`` if it holds exactly the fields of ``kind`` with their types, else raise MessageError."""
    fields = _FIELDS[kind]
    if set(plain) != set(fields):
        raise MessageError(f"{kind.__name__} with fields {sorted(plain)}")
    for name, value in plain.items():
        if type(value) is not fields[name]:
            raise MessageError(f"{kind.__name__}.{name} is {value!r}")
    return plain
