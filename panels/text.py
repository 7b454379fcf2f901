"""Words in panels: sentences in lines that fit, and times as an artist reads them."""

from collections.abc import Sequence

import bpy
from bpy.app.translations import pgettext_iface as iface_

from ..operators.words import ICON, draw_lines, scale, width_of

# Pixels at an interface scale of 1: a panel's borders, a sidebar's tabs, around a label, around a menu's text.
MARGIN, TABS, PADDING, MENU = 44, 24, 5, 28
SPLIT = 0.4  # of a line is the label's


def fits(label: str, choices: Sequence[str] = ()) -> bool:
    """Return whether a property's label, and whatever of its ``choices`` is chosen, fit beside each other in a line."""
    room, longest = _room() - ICON * scale(), max((width_of(iface_(choice)) for choice in choices), default=0.0)
    return (
        width_of(iface_(label)) < SPLIT * room - PADDING * scale()
        and longest < (1 - SPLIT) * room - MENU * scale()
    )


def draw_text(layout: bpy.types.UILayout, text: str, icon: str = "NONE") -> None:
    """Draw sentences in lines that fit the region, in red beside the icon "ERROR"."""
    draw_lines(layout, text, _room(), icon)


def _room() -> float:
    """Return how many pixels wide a line of the panel is that is drawn."""
    region = bpy.context.region
    taken = MARGIN + (TABS if region.type == "UI" else 0)
    return region.width - taken * scale()


def counted(count: int, one: str, many: str, **more: str) -> str:
    """Return a ``count`` in the words of ``one`` or ``many``, translated, which have {count} in them, and ``more``."""
    return iface_(one if count == 1 else many).format(count=count, **more)


def duration(seconds: float) -> str:
    """Return a time as an artist reads it: "45 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return iface_("{:.0f} s").format(seconds)
    minutes = round(seconds / 60)
    return iface_("{} min").format(minutes) if minutes < 90 else iface_("{} h {} min").format(*divmod(minutes, 60))
