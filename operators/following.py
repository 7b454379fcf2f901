"""A result follows its source: where the source is moved, trimmed or cut later, so is what was made of it.

The strip of a result keeps where its source was when both were last looked at, in a custom property, so that undo, redo
and files need no care. It follows as long as it lies in step with its source, each frame over the one that it was made
of; a strip that the artist moved away by itself, or locked, stays where it is, and so does one whose source is gone or
has another name.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import bpy

from ..backend.bridge.errors import UserError
from .channels import free_channel
from .versions import Strip, all_strips, content_start, handles, move_to, strips, trim_to

PROPERTY = "tempera_source"
WITH_CONTENTS = ("IMAGE", "MOVIE", "SCENE", "META", "MOVIECLIP", "MASK")  # others begin where they are seen
DRAGS = ("TRANSFORM_OT_", "SEQUENCER_OT_slip")  # operators that hold strips until the mouse is let go


class Place(NamedTuple):
    """Where a strip lies: where its contents begin, its first frame, and the one after its last."""

    start: float
    left: int
    right: int


@dataclass(frozen=True)
class Bond:
    """What a strip keeps of its source: its name, where it was, and how much later the strip's own contents begin."""

    source: str
    at: Place
    lag: float


def place_of(strip: Strip) -> Place:
    """Return where ``strip`` lies."""
    return Place(float(content_start(strip)), *handles(strip))


def bind(strip: Strip, source: str, at: Sequence[float]) -> None:
    """Let ``strip``, which lies in step with it, follow the strip named ``source``, which lay ``at`` such a place."""
    place = Place(float(at[0]), int(at[1]), int(at[2]))
    _keep(strip, Bond(source, place, content_start(strip) - place.start))


def follow(scene: bpy.types.Scene) -> None:
    """Bring all strips of ``scene`` that follow a source to where those are now."""
    everything = all_strips(scene.sequence_editor) if scene.sequence_editor else []
    named = {strip.name: strip for strip in everything}
    for strip in everything:
        if PROPERTY in strip:
            _follow(scene, strip, named)


def keep_within(scene: bpy.types.Scene, strip: Strip) -> None:
    """Let a strip that has grown end no later than its source."""
    if PROPERTY not in strip:
        return
    bond = _bond(strip)
    source = next((each for each in all_strips(scene.sequence_editor) if each.name == bond.source), None)
    if source is not None and content_start(strip) == content_start(source) + bond.lag:
        left, right = handles(strip)
        trim_to(strip, left, max(left + 1, min(right, handles(source)[1])))


def dragging() -> bool:
    """Return whether the artist moves something with the mouse just now."""
    windows = bpy.context.window_manager.windows
    return any(each.bl_idname.startswith(DRAGS) for window in windows for each in window.modal_operators)


def _follow(scene: bpy.types.Scene, strip: Strip, named: Mapping[str, Strip]) -> None:
    bond = _bond(strip)
    source = named.get(bond.source)
    if source is None:  # another strip may get its name, which is not to take this one along
        del strip[PROPERTY]
        return
    owner = strip.parent_meta() or scene.sequence_editor
    now, here = _now(source, bond.at), place_of(strip)
    if now == bond.at or strip.lock or owner.channels[strip.channel].lock:
        return
    in_step = here.start - bond.lag in (bond.at.start, now.start)  # as it was, or moved along with its source by hand
    if not in_step:
        return
    shift = now.start - bond.at.start
    before = Place(now.start, round(bond.at.left + shift), round(bond.at.right + shift))
    rest = _cut_off(scene, source, now, before)
    if rest is not None:
        begins = content_start(rest)
        off = Bond(rest.name, Place(begins, now.right, before.right), now.start + bond.lag - begins)
        if here.left + now.start + bond.lag - here.start >= now.right:  # it was cut as well
            _keep(strip, off)
            _follow(scene, strip, named)
            return
    channel = strip.channel
    move_to(strip, now.start + bond.lag)
    if rest is not None and now.right < handles(strip)[1]:
        other = strip.split(now.right, "SOFT")
        _keep(other, off)
        _follow(scene, other, named)
    _trim_along(strip, before, now)
    with contextlib.suppress(UserError):  # where no channel is free, Blender has found it a place
        strip.channel = free_channel(owner, channel, *handles(strip), besides=strip)
    _keep(strip, dataclasses.replace(bond, at=now))


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


def _bond(strip: Strip) -> Bond:
    kept = strip[PROPERTY].to_dict()
    start, left, right = kept["at"]
    return Bond(str(kept["strip"]), Place(float(start), int(left), int(right)), float(kept["lag"]))


def _keep(strip: Strip, bond: Bond) -> None:
    strip[PROPERTY] = {"strip": bond.source, "at": list(map(float, bond.at)), "lag": bond.lag}
