"""Draws panels without a window: a stand-in for Blender's layouts that knows how much room each text gets.

What Blender does with room, from its source (interface_layout.cc): a column gives each item its own width; a row gives
icons a unit each and shares the rest evenly among texts; a split property gives two fifths to its label.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import blf
import bpy

UNIT = 20.0  # pixels at an interface scale of 1: the side of an icon's button
SPLIT = 0.4
LABEL, BUTTON, ARROW = 5.0, 16.0, 12.0  # what a label, a button and a menu's arrow take beside the text
SCALES = (1.0, 1.25, 1.5, 2.0)


def text_width(text: str) -> float:
    """The most pixels that a text takes at any interface scale, over that scale."""
    points = bpy.context.preferences.ui_styles[0].widget.points
    widths = []
    for scale in SCALES:
        blf.size(0, points * scale)
        widths.append(blf.dimensions(0, text)[0] / scale)
    return max(widths)


@dataclass
class Text:
    """A text with what it needs and, once it was given room, how much that is; ``translated`` says: by Blender."""

    text: str
    needs: float
    translated: bool
    room: float = 0.0

    @property
    def share(self) -> float:
        return 10 * UNIT if self.text else UNIT

    @property
    def fixed(self) -> bool:
        return not self.text

    def give(self, room: float) -> Iterator[Text]:
        self.room = room
        yield self


class Layout:
    """A layout as draw functions see it; ``drawn`` gives all its texts with the room that they got."""

    def __init__(self, above: Layout | None = None, sideways: bool = False, inset: float = 0.0) -> None:
        self.children: list[Any] = []
        self.sideways, self.inset = sideways, inset
        self.ui_units_x = self.ui_units_y = 0.0
        self.alert = self.active = self.enabled = False
        self.use_property_split = above.use_property_split if above else False
        self.use_property_decorate = above.use_property_decorate if above else True

    def drawn(self, room: float) -> list[Text]:
        return list(self.give(room))

    @property
    def fixed(self) -> bool:
        return bool(self.ui_units_x) or (self.sideways and all(each.fixed for each in self.children))

    @property
    def share(self) -> float:
        shares = [each.share for each in self.children] or [0.0]
        return UNIT * self.ui_units_x or (sum(shares) if self.sideways else max(shares))

    def give(self, room: float) -> Iterator[Text]:
        room -= self.inset
        if not self.sideways:
            for each in self.children:
                yield from each.give(room)
            return
        left = room - sum(each.share for each in self.children if each.fixed)
        whole = sum(each.share for each in self.children if not each.fixed)
        for each in self.children:
            yield from each.give(each.share if each.fixed else left * each.share / whole)

    def _inner(self, **shape: Any) -> Layout:
        self.children.append(Layout(self, **shape))
        return self.children[-1]

    def _text(self, text: str, around: float, icon: str, translate: bool) -> None:
        if icon != "NONE":  # it stands where the margin would be
            around = UNIT + around / 2
        self.children.append(Text(text, text_width(text) + around if text else 0.0, translate))

    def row(self, **_look: Any) -> Layout:
        return self._inner(sideways=True)

    def column(self, **_look: Any) -> Layout:
        return self._inner()

    def box(self) -> Layout:
        return self._inner(inset=0.4 * UNIT)

    def panel(self, _name: str, **_look: Any) -> tuple[Layout, Layout]:
        header = self.row()
        header.label(text="", icon="DOWNARROW_HLT")
        return header, self._inner()

    def separator(self, *_about: Any, **_look: Any) -> None:
        pass

    template_icon_view = separator

    def template_icon(self, _icon: int, *, scale: float) -> None:
        self.row().ui_units_x = scale

    def label(self, *, text: str, icon: str = "NONE", translate: bool = True) -> None:
        self._text(text, LABEL, icon, translate)

    def prop_decorator(self, owner: Any, name: str) -> None:
        assert name in owner.bl_rna.properties
        self._text("", 0.0, "DOT", False)

    def progress(self, *, text: str, factor: float, translate: bool = True) -> None:
        assert 0.0 <= factor <= 1.0
        self._text(text, LABEL, "NONE", translate)

    def operator(self, name: str, *, text: str | None = None, icon: str = "NONE", **_look: Any) -> Any:
        module, function = name.split(".")
        kind = getattr(getattr(bpy.ops, module), function).get_rna_type()
        self._text(kind.name if text is None else text, BUTTON, icon, True)
        return type("Options", (), {})()

    def menu(self, name: str, *, text: str | None = None, icon: str = "NONE") -> None:
        self._text(getattr(bpy.types, name).bl_label if text is None else text, BUTTON, icon, True)

    def prop(
        self, owner: Any, name: str, *, text: str | None = None, icon: str = "NONE", expand: bool = False,
        placeholder: str = "", **_look: Any,
    ) -> None:
        seen = owner.bl_rna.properties[name]
        label = seen.name if text is None else text
        if icon != "NONE" and not label:
            self._text("", 0.0, icon, True)
        elif expand:
            row = self.row()
            for item in seen.enum_items:
                row._text(item.name, BUTTON, "NONE", True)
        elif self.use_property_split and text != "":
            self._split(seen, getattr(owner, name), label, placeholder)
        else:
            for value in values(seen, getattr(owner, name), placeholder):
                beside = f"{label} {value}".strip() if seen.type in ("INT", "FLOAT", "STRING") else label or value
                self._text(beside, BUTTON + ARROW * has_arrow(seen), "NONE", False)

    def _split(self, seen: Any, value: Any, label: str, placeholder: str) -> None:
        """A label in two fifths of the width, and what can be chosen in the rest; a check box has its label there."""
        dot = UNIT * self.use_property_decorate
        check = seen.type == "BOOLEAN"
        shown = [label] if check else values(seen, value, placeholder)
        around = UNIT + LABEL if check else BUTTON + ARROW * has_arrow(seen)
        self.children.append(Halves("" if check else label, shown, around, dot))

    def template_list(
        self, kind: str, _id: str, data: Any, name: str, active_data: Any, active: str, **_look: Any
    ) -> None:
        body = self._inner(inset=UNIT)
        for item in getattr(data, name):
            getattr(bpy.types, kind).draw_item(None, bpy.context, body.row(), data, item, 0, active_data, active)


@dataclass
class Halves:
    """A property with its label to the left."""

    label: str
    shown: Sequence[str]
    around: float
    dot: float
    fixed = False
    share = 10 * UNIT

    def give(self, room: float) -> Iterator[Text]:
        room -= self.dot
        yield Text(self.label, text_width(self.label) + LABEL, True, SPLIT * room)
        for text in self.shown:
            yield Text(text, text_width(text) + self.around, False, (1 - SPLIT) * room)


def has_arrow(seen: Any) -> bool:
    """Whether a property's field has arrows: menus and numbers have, sliders and words have none."""
    return seen.type != "STRING" and seen.subtype != "FACTOR"


def values(seen: Any, value: Any, placeholder: str) -> list[str]:
    """All that a property's field may have to show, as far as that is known."""
    if seen.type == "ENUM":
        return [item.name for item in seen.enum_items] or [""]
    if seen.type == "FLOAT":
        return [f"{value:.3f}"]
    return [str(value) if seen.type == "INT" else placeholder]
