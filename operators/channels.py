"""Where there is room in the sequencer: Blender lays strips over one another if it is told to."""

from __future__ import annotations

from ..backend.bridge.errors import UserError
from .versions import Owner, Strip, handles, strips

LAST_CHANNEL = 128


def free_channel(owner: Owner, lowest: int, start: int, end: int, besides: Strip | None = None) -> int:
    """Return the first channel from ``lowest`` that is unlocked and empty in the frames ``start`` to ``end`` - 1.

    ``owner`` is the sequence editor or a meta strip; the strip ``besides`` takes no room. UserError when there is none.
    """
    others = [strip for strip in strips(owner) if strip != besides]
    taken = {strip.channel for strip in others if overlaps(strip, start, end)}
    for channel in range(lowest, LAST_CHANNEL + 1):
        if channel not in taken and not owner.channels[channel].lock:
            return channel
    raise UserError(
        f"No channel is free from frame {start} to {end - 1}. Unlock or empty one, then show the job's result."
    )


def overlaps(strip: Strip, start: int, end: int) -> bool:
    """Return whether ``strip`` is seen in any of the frames ``start`` to ``end`` - 1."""
    first, after = handles(strip)
    return first < end and start < after
