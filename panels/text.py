"""Words in panels: sentences in lines that fit, and times as an artist reads them."""

import blf
import bpy
from bpy.app.translations import pgettext_iface as iface_

# Pixels at an interface scale of 1: a panel's borders, a sidebar's tabs, an icon, around a label.
MARGIN, TABS, ICON, PADDING = 44, 24, 22, 5
SPLIT = 0.4  # of a line is the label's


def fits(label: str) -> bool:
    """Return whether a property's label fits into its part of a line, to the left of its value."""
    return _width(iface_(label)) < SPLIT * _room() - PADDING * bpy.context.preferences.system.ui_scale


def draw_text(layout: bpy.types.UILayout, text: str, icon: str = "NONE") -> None:
    """Draw sentences in lines that fit the region, in red beside the icon "ERROR"."""
    column = layout.column(align=True)
    column.alert = icon == "ERROR"
    taken = ICON * bpy.context.preferences.system.ui_scale if icon != "NONE" else 0
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
    return region.width - taken * bpy.context.preferences.system.ui_scale


def _width(text: str) -> float:
    """Return how many pixels wide Blender draws ``text`` on a button."""
    preferences = bpy.context.preferences
    blf.size(0, preferences.ui_styles[0].widget.points * preferences.system.ui_scale)
    return blf.dimensions(0, text)[0]


def duration(seconds: float) -> str:
    """Return a time as an artist reads it: "45 s", "3 min", "2 h 5 min"."""
    if seconds < 90:
        return iface_("{:.0f} s").format(seconds)
    minutes = round(seconds / 60)
    return iface_("{} min").format(minutes) if minutes < 90 else iface_("{} h {} min").format(*divmod(minutes, 60))
