"""Objects that are told something of their own: which they are, and the operators of their list."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import IntProperty

from ..backend.bridge.errors import UserError
from ..backend.bridge.settings import Settings
from ..backend.bridge.settings.objects import ObjectSettings
from ..properties.objects import members_of
from .editable import ChangesScene
from .versions import panel_scene


def resolved(run: Settings) -> Settings:
    """Return ``run`` with the members of what its objects name: objects of this file, else collections; else UserError.

    Entries that have members already are left as they are.
    """
    return dataclasses.replace(run, objects=tuple(each if each.members else _found(each) for each in run.objects))


def _found(told: ObjectSettings) -> ObjectSettings:
    chosen = bpy.data.objects.get(told.name) or bpy.data.collections.get(told.name)
    if chosen is None:
        raise UserError(f"There is no object and no collection named {told.name}. Check the name.")
    return dataclasses.replace(told, members=members_of(chosen))


class TEMPERA_OT_add_object(ChangesScene, bpy.types.Operator):
    """Put the active object on the list of those that are told something of their own."""

    bl_idname = "tempera.add_object"
    bl_label = "Add Object"
    bl_description = "Let the active object have a prompt, a strength or a seed of its own, or be left alone"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the entry and choose it."""
        wanted = panel_scene(context).tempera
        wanted.objects.add().object = context.view_layer.objects.active if context.view_layer else None
        wanted.active_object = len(wanted.objects) - 1
        return {"FINISHED"}


class TEMPERA_OT_remove_object(ChangesScene, bpy.types.Operator):
    """Take an entry off the list; the object itself stays."""

    bl_idname = "tempera.remove_object"
    bl_label = "Remove Object"
    bl_description = "Take this entry off the list, so that the object is as the whole picture; the object itself stays"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    index: IntProperty(
        name="Entry", description="Place in the list; the chosen one by default", default=-1, min=-1,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove the entry and choose its neighbour."""
        wanted = panel_scene(context).tempera
        index = wanted.active_object if self.index < 0 else self.index
        if index >= len(wanted.objects):
            self.report({"ERROR"}, rpt_("The list has no such entry."))
            return {"CANCELLED"}
        wanted.objects.remove(index)
        wanted.active_object = max(0, min(index, len(wanted.objects) - 1))
        return {"FINISHED"}


classes = (TEMPERA_OT_add_object, TEMPERA_OT_remove_object)
