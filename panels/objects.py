"""The section for objects that are told something of their own."""

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from ..properties.objects import OBJECT_WORDS
from .text import draw_text


class TEMPERA_UL_objects(bpy.types.UIList):
    """The objects and collections that are told something."""

    def draw_item(
        self, _context: bpy.types.Context, layout: bpy.types.UILayout, _data: bpy.types.AnyType,
        item: bpy.types.AnyType, _icon: int, _active_data: bpy.types.AnyType, _active_property: str,
    ) -> None:
        """Draw the name, and whether it is left alone."""
        chosen = item.chosen
        kind = "OUTLINER_COLLECTION" if item.kind == "COLLECTION" else "OBJECT_DATA"
        layout.label(text=chosen.name if chosen else rpt_("Nothing chosen"), icon=kind, translate=False)
        layout.prop(item, "keep", text="", icon="LOCKED" if item.keep else "UNLOCKED", emboss=False)


def draw(layout: bpy.types.UILayout, scene: bpy.types.Scene, footage: bool) -> None:
    """Draw the list and the chosen entry; of footage, why it has none."""
    if footage:
        draw_text(layout, rpt_("Only what Blender renders has objects; footage is one picture."), "INFO")
        return
    wanted = scene.tempera
    row = layout.row()
    row.template_list(
        "TEMPERA_UL_objects", "", wanted, "objects", wanted, "active_object", rows=3, sort_lock=True,
    )
    buttons = row.column(align=True)
    buttons.operator("tempera.add_object", text="", icon="ADD")
    buttons.operator("tempera.remove_object", text="", icon="REMOVE")
    if wanted.active_object < len(wanted.objects):
        draw_entry(layout, wanted.objects[wanted.active_object], painted="prompt" in wanted.homes)


def draw_entry(layout: bpy.types.UILayout, entry: bpy.types.PropertyGroup, painted: bool) -> None:
    """Draw what one entry means and is told; where no network paints, it can only be left alone."""
    layout.prop(entry, "kind", expand=True)
    layout.prop(entry, "collection" if entry.kind == "COLLECTION" else "object", text=" ")
    layout.prop(entry, "keep")
    if not painted or entry.keep:
        return
    for name in OBJECT_WORDS:
        layout.prop(entry, name, text="", placeholder=entry.bl_rna.properties[name].name)
    layout.prop(entry, "strength")
    layout.prop(entry, "seed")


classes = (TEMPERA_UL_objects,)
