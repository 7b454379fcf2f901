"""Words in panels: sentences in lines that fit, and times as an artist reads them."""

from collections.abc import Sequence

import blf
import bpy
from bpy.app.translations import pgettext_iface as iface_

# Pixels at an interface scale of 1: a panel's borders, a sidebar's tabs, an icon, around a label, around a menu's text.
MARGIN, TABS, ICON, PADDING, MENU = 44, 24, 22, 5, 28
SPLIT = 0.4  # of a line is the label's


def fits(label: str, choices: Sequence[str] = ()) -> bool:
    """Return whether a property's label, and whatever of its ``choices`` is chosen, fit beside each other in a line."""
    room, longest = _room() - ICON * _scale(), max((_width(iface_(choice)) for choice in choices), default=0.0)
    return (
        _width(iface_(label)) < SPLIT * room - PADDING * _scale()
        and longest < (1 - SPLIT) * room - MENU * _scale()
    )


def draw_text(layout: bpy.types.UILayout, text: str, icon: str = "NONE") -> None:
    """Draw sentences in lines that fit the region, in red beside the icon "ERROR"."""
    column = layout.column(align=True)
    column.alert = icon == "ERROR"
    taken = ICON * _scale() if icon != "NONE" else 0
    for index, line in enumerate(wrapped(text, _room() - taken)):
        column.label(text=line, icon=icon if index == 0 or icon == "NONE" else "BLANK1", translate=False)


def wrapped(text: str, width: float) -> list[str]:
    """Return ``text`` in lines that are at most ``width`` pixels wide, as Blender draws it; no word is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and _width(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _room() -> float:
    """Return how many pixels wide a line of the panel is that is drawn."""
    region = bpy.context.region
    taken = MARGIN + (TABS if region.type == "UI" else 0)
    return region.width - taken * _scale()


def _width(text: str) -> float:
    """Return how many pixels wide Blender draws ``text`` on a button."""
    blf.size(0, bpy.context.preferences.ui_styles[0].widget.points * _scale())
    return blf.dimensions(0, text)[0]


def _scale() -> float:
    """Return how many pixels stand for one at an interface scale of 1."""
    return bpy.context.preferences.system.ui_scale


def duration(seconds: float) -> str:
    """Return a time as an artist reads it: "45 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return iface_("{:.0f} s").format(seconds)
    minutes = round(seconds / 60)
    return iface_("{} min").format(minutes) if minutes < 90 else iface_("{} h {} min").format(*divmod(minutes, 60))
