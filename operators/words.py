"""Sentences in lines that fit, in dialogs and panels: Blender itself cuts off what is too long."""

from __future__ import annotations

import re
from collections.abc import Iterator

import blf
import bpy

ICON = 22  # pixels at an interface scale of 1 that an icon takes
AROUND = 40  # a dialog's borders, and what a label keeps free beside its text


def draw_in_dialog(layout: bpy.types.UILayout, text: str, width: int, icon: str = "NONE") -> None:
    """Draw sentences in a dialog ``width`` pixels wide at an interface scale of 1."""
    draw_lines(layout, text, (width - AROUND) * scale(), icon)


def draw_lines(layout: bpy.types.UILayout, text: str, room: float, icon: str = "NONE") -> None:
    """Draw sentences in lines of at most ``room`` pixels, in red beside the icon "ERROR"."""
    column = layout.column(align=True)
    column.alert = icon == "ERROR"
    taken = ICON * scale() if icon != "NONE" else 0
    for index, line in enumerate(wrapped(text, room - taken)):
        column.label(text=line, icon=icon if index == 0 or icon == "NONE" else "BLANK1", translate=False)


def wrapped(text: str, room: float) -> list[str]:
    """Return ``text`` in lines that are at most ``room`` pixels wide; only words longer than that are cut, as paths."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer) <= room:
            lines[-1] = longer
        else:
            lines += _cut(word, room)
    return lines


def _cut(word: str, room: float) -> Iterator[str]:
    """Yield ``word`` in pieces that fit, cut behind what parts the names in a path where that can be.

    Where there is no room at all it is not cut.
    """
    if room <= 0:
        yield word
        return
    piece = ""
    for part in [word] if width_of(word) <= room else re.findall(r"[^/\\_.-]*[/\\_.-]?", word):
        for some in [part] if width_of(part) <= room else part:
            if piece and width_of(piece + some) > room:
                yield piece
                piece = ""
            piece += some
    yield piece


def width_of(text: str) -> float:
    """Return how many pixels wide Blender draws ``text`` on a button."""
    blf.size(0, bpy.context.preferences.ui_styles[0].widget.points * scale())
    return blf.dimensions(0, text)[0]


def scale() -> float:
    """Return how many pixels stand for one at an interface scale of 1."""
    return bpy.context.preferences.system.ui_scale
