"""Operators: the artist's key frames."""

from typing import ClassVar

import bpy
from bpy.app.translations import pgettext_rpt as rpt_
from bpy.props import IntProperty, StringProperty

from ..properties.declared import PATH_OPTIONS
from .editable import ChangesScene
from .versions import panel_scene


class TEMPERA_OT_add_key(ChangesScene, bpy.types.Operator):
    """Add a painted frame as a key; another one for the same frame is replaced."""

    bl_idname = "tempera.add_key"
    bl_label = "Add Key Frame"
    bl_description = "Choose a picture that you painted over the current frame"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    filepath: StringProperty(
        name="Picture",
        description="The painted frame, a PNG of the render's size",
        subtype="FILE_PATH",
        options={"SKIP_SAVE"} | PATH_OPTIONS,
    )
    filter_glob: StringProperty(default="*.png", options={"HIDDEN"})
    frame: IntProperty(
        name="Frame", description="The frame that was painted; the current one by default", options={"SKIP_SAVE"}
    )

    def invoke(self, context: bpy.types.Context, _event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        if not self.properties.is_property_set("frame"):
            self.frame = panel_scene(context).frame_current
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add the key, in the order of frames."""
        scene = panel_scene(context)
        frame = self.frame if self.properties.is_property_set("frame") else scene.frame_current
        keys = scene.tempera.keys
        key = next((key for key in keys if key.frame == frame), None)
        if key is None:
            key = keys.add()
            key.frame = frame
            keys.move(len(keys) - 1, sum(other.frame < frame for other in keys))
            key = next(key for key in keys if key.frame == frame)
        key.filepath = self.filepath
        return {"FINISHED"}


class TEMPERA_OT_remove_key(ChangesScene, bpy.types.Operator):
    """Take a key frame off the list; its file stays."""

    bl_idname = "tempera.remove_key"
    bl_label = "Remove Key Frame"
    bl_description = "Take this key frame off the list; its file stays"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    frame: IntProperty(name="Frame", description="The key's frame", options={"SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove the key of the frame."""
        keys = panel_scene(context).tempera.keys
        found = [index for index, key in enumerate(keys) if key.frame == self.frame]
        if not found:
            self.report({"ERROR"}, rpt_("Frame {frame} has no key.").format(frame=self.frame))
            return {"CANCELLED"}
        keys.remove(found[0])
        return {"FINISHED"}


classes = (TEMPERA_OT_add_key, TEMPERA_OT_remove_key)
