"""A result follows its source: where the source is moved, trimmed or cut later, so is what was made of it.

The strip of a result keeps where its source was when both were last looked at, in a custom property, so that undo, redo
and files need no care. It follows as long as it lies in step with its source, each frame over the one that it was made
of; a strip that the artist moved away by itself, or locked, stays where it is, and so does one whose source is gone.

A strip has no name that lasts, so a source is marked once something is made of it, and known by its mark when it was
renamed; its pieces and copies, which are marked too, are told from it by the names that they had before. A source in
another channel changes nothing, unless it would cover its result: that goes above it again, where a channel is left.
Where a source was given other speeds, what was made of it fits no more: it stays as it is until the source has its old
ones back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import bpy

from ..backend.bridge.errors import UserError
from .channels import free_channel
from .versions import Strip, all_strips, content_start, handles, move_to, speed_keys, strips, trim_to

PROPERTY, MARK = "tempera_source", "tempera_mark"
WITH_CONTENTS = ("IMAGE", "MOVIE", "SCENE", "META", "MOVIECLIP", "MASK")  # others begin where they are seen
DRAGS = ("TRANSFORM_OT_", "SEQUENCER_OT_slip")  # operators that hold strips until the mouse is let go
Marked = Mapping[str, Sequence[Strip]]  # the strips that have each mark


class Place(NamedTuple):
    """Where a strip lies: where its contents begin, its first frame, and the one after its last."""

    start: float
    left: int
    right: int


@dataclass(frozen=True)
class Bond:
    """What a strip keeps of its source, as that was, and how much later (``lag``) the strip's own contents begin.

    That is its mark, its name, the names of ``others`` with its mark, where it was, its channel, and its timing.
    """

    mark: str
    source: str
    others: tuple[str, ...]
    at: Place
    channel: int
    timing: tuple[float, ...]
    lag: float


def place_of(strip: Strip) -> Place:
    """Return where ``strip`` lies."""
    return Place(float(content_start(strip)), *handles(strip))


def timing_of(strip: Strip) -> tuple[float, ...]:
    """Return what changes where ``strip`` is given other speeds, and does not where it is moved, trimmed or cut."""
    return tuple(round(frame - content_start(strip), 3) for frame in speed_keys(strip))


def mark(strip: Strip) -> str:
    """Return the mark by which ``strip`` is known, whatever it is called; it gets one if it has none."""
    if MARK not in strip:
        strip[MARK] = uuid.uuid4().hex
    return str(strip[MARK])


def standing_of(strip: Strip) -> dict[str, Any]:
    """Return what a job notes of the strip that it comes from.

    That is its name, its mark, the names of others with that mark, where it lies, and its timing.
    """
    known = str(strip.get(MARK, ""))
    others = _others(strip, _marked(strip.id_data).get(known, ()))
    at, timing = list(place_of(strip)), list(timing_of(strip))
    return {"strip": strip.name, "mark": known, "others": list(others), "at": at, "timing": timing}


def source_of(scene: bpy.types.Scene, noted: Mapping[str, Any]) -> Strip | None:
    """Return the strip that a job came from by what it ``noted`` (see ``stylize.origin_of``), None where it is gone."""
    alike = _marked(scene).get(noted.get("mark", ""), ())
    if alike:
        return _one_of(alike, noted.get("strip", ""), noted.get("others", ()), tuple(noted.get("at", ())))
    everything = all_strips(scene.sequence_editor) if scene.sequence_editor else []
    return next((each for each in everything if each.name == noted.get("strip")), None)


def bind(scene: bpy.types.Scene, strip: Strip, noted: Mapping[str, Any]) -> None:
    """Let ``strip``, which lies in step with it, follow the source that lay as its job ``noted``, if there is one."""
    source = source_of(scene, noted)
    if source is not None and noted.get("at"):
        mark(source)
        start, left, right = noted["at"]
        seen = _seen(source, content_start(strip) - start, _marked(scene))
        timing = tuple(noted.get("timing", seen.timing))
        _keep(strip, dataclasses.replace(seen, at=Place(float(start), int(left), int(right)), timing=timing))


def follow(scene: bpy.types.Scene) -> list[tuple[Strip, str]]:
    """Bring all strips of ``scene`` that follow a source to where those are now.

    Returns those whose source has other speeds than when they were made, each with the name of its source.
    """
    everything = all_strips(scene.sequence_editor) if scene.sequence_editor else []
    results = sorted((each for each in everything if PROPERTY in each), key=lambda each: int(each.channel))
    marked = _marked(scene) if results else {}
    misfits = []
    for strip in results:
        bond = _bond(strip)
        source = _source(bond, marked) if bond else None
        if bond is None or source is None:  # another strip may get its name, which is not to take this one along
            del strip[PROPERTY]
            continue
        known = dataclasses.replace(bond, source=source.name, others=_others(source, marked[bond.mark]))
        if known != bond:  # also where it does not follow just now, or it would not know its source later
            _keep(strip, known)
        if timing_of(source) != known.timing:
            misfits.append((strip, source.name))
        else:
            _follow(scene, strip, known, source, marked)
    return misfits


def keep_within(scene: bpy.types.Scene, strip: Strip) -> None:
    """Let a strip that has grown end no later than its source."""
    bond = _bond(strip)
    source = _source(bond, _marked(scene)) if bond else None
    if bond and source and content_start(strip) == content_start(source) + bond.lag:
        left, right = handles(strip)
        trim_to(strip, left, max(left + 1, min(right, handles(source)[1])))


def dragging() -> bool:
    """Return whether the artist moves something with the mouse just now."""
    windows = bpy.context.window_manager.windows
    return any(each.bl_idname.startswith(DRAGS) for window in windows for each in window.modal_operators)


def _follow(scene: bpy.types.Scene, strip: Strip, bond: Bond, source: Strip, marked: Marked) -> None:
    owner = strip.parent_meta() or scene.sequence_editor
    now, here = _now(source, bond.at), place_of(strip)
    in_step = here.start - bond.lag in (bond.at.start, now.start)  # as it was, or moved along with its source by hand
    if strip.lock or owner.channels[strip.channel].lock or not in_step:
        return
    seen = dataclasses.replace(_seen(source, bond.lag, marked), at=now)
    channel = strip.channel
    lowest = source.channel + 1 if bond.channel < channel <= source.channel else channel
    if now != bond.at:
        shift = now.start - bond.at.start
        before = Place(now.start, round(bond.at.left + shift), round(bond.at.right + shift))
        rest = _cut_off(scene, source, now, before)
        if rest is not None:
            off = _piece(rest, before, seen, marked)
            if here.left + now.start + bond.lag - here.start >= now.right:  # it was cut as well
                _keep(strip, off)
                _follow(scene, strip, off, rest, marked)
                return
        move_to(strip, now.start + bond.lag)
        if rest is not None and now.right < handles(strip)[1]:
            other = strip.split(now.right, "SOFT")
            _keep(other, off)
            _follow(scene, other, off, rest, marked)
        _trim_along(strip, before, now)
    if now != bond.at or lowest != channel:
        with contextlib.suppress(UserError):  # where no channel is free, Blender has found it a place
            strip.channel = free_channel(owner, lowest, *handles(strip), besides=strip)
    if seen != bond:
        _keep(strip, seen)


def _piece(rest: Strip, before: Place, cut: Bond, marked: Marked) -> Bond:
    """Return the bond to ``rest``, which was cut off the source of the bond ``cut``, as that was ``before``."""
    begins = float(content_start(rest))
    seen = _seen(rest, cut.at.start + cut.lag - begins, marked)
    return dataclasses.replace(seen, at=Place(begins, cut.at.right, before.right))


def _trim_along(strip: Strip, before: Place, now: Place) -> None:
    """Move those handles of ``strip`` that lay at its source's, as far as there are contents."""
    first = round(content_start(strip))
    last = first + len(strip.elements)
    left, right = handles(strip)
    if left == min(max(before.left, first), last - 1):
        left = min(max(now.left, first), last - 1)
    if right == min(before.right, last):
        right = min(now.right, last)
    trim_to(strip, left, max(right, left + 1))


def _cut_off(scene: bpy.types.Scene, source: Strip, now: Place, before: Place) -> Strip | None:
    """Return what was cut off the end of ``source``, None where nothing was."""
    if now.right >= before.right:
        return None
    beside = strips(source.parent_meta() or scene.sequence_editor)
    pieces = [each for each in beside if each.type == source.type and PROPERTY not in each]
    begins = now.start if source.type in WITH_CONTENTS else now.right
    return next((each for each in pieces if place_of(each)[:2] == (begins, now.right)), None)


def _now(source: Strip, before: Place) -> Place:
    """Return where ``source`` lies; one without contents was moved where both its handles were, else trimmed."""
    start, left, right = place_of(source)
    if source.type not in WITH_CONTENTS:
        shift = left - before.left
        start = before.start + (shift if right - before.right == shift else 0)
    return Place(start, left, right)


def _marked(scene: bpy.types.Scene) -> Marked:
    """Return the strips of ``scene`` that something was made of, and their pieces and copies, by their marks."""
    found: dict[str, list[Strip]] = {}
    for strip in all_strips(scene.sequence_editor) if scene.sequence_editor else ():
        if MARK in strip:
            found.setdefault(str(strip[MARK]), []).append(strip)
    return found


def _source(bond: Bond, marked: Marked) -> Strip | None:
    """Return the source that ``bond`` is about, under the name that it has by now; None where it is gone."""
    return _one_of(marked.get(bond.mark, ()), bond.source, bond.others, bond.at)


def _one_of(alike: Sequence[Strip], name: str, others: Sequence[str], at: tuple[float, ...]) -> Strip | None:
    """Return that of the strips with one mark which was called ``name`` and lay ``at`` such a place beside ``others``.

    None where it is gone, or cannot be told from its pieces and copies.
    """
    named = [each for each in alike if each.name == name]
    renamed = [each for each in alike if each.name not in others]
    if len(renamed) > 1:  # pieces of it were, too
        renamed = [each for each in renamed if place_of(each) == at]
    return next(iter(named or (renamed if len(renamed) == 1 else [])), None)


def _others(strip: Strip, alike: Sequence[Strip]) -> tuple[str, ...]:
    """Return the names of the strips ``alike``, which have one mark, without that of ``strip``."""
    return tuple(sorted(each.name for each in alike if each != strip))


def _seen(source: Strip, lag: float, marked: Marked) -> Bond:
    """Return the bond to ``source`` as it is now."""
    known = str(source[MARK])
    others = _others(source, marked.get(known, ()))
    return Bond(known, source.name, others, place_of(source), source.channel, timing_of(source), float(lag))


def _bond(strip: Strip) -> Bond | None:
    """Return what ``strip`` keeps of its source; None where that is nothing that could be read."""
    try:
        kept = json.loads(strip[PROPERTY], parse_constant=int)  # which fails: NaN is no place
        start, left, right = kept["at"]
        return Bond(
            mark=str(kept["mark"]),
            source=str(kept["source"]),
            others=tuple(map(str, kept["others"])),
            at=Place(float(start), int(left), int(right)),
            channel=int(kept["channel"]),
            timing=tuple(map(float, kept["timing"])),
            lag=float(kept["lag"]),
        )
    except (KeyError, OverflowError, TypeError, ValueError):
        return None


def _keep(strip: Strip, bond: Bond) -> None:
    strip[PROPERTY] = json.dumps(dataclasses.asdict(bond))
