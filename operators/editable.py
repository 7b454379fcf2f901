"""Scenes that are linked from another file: what is changed in them would be lost when the file is opened again."""

import bpy

from .sentences import translated
from .versions import panel_scene


class ChangesScene:
    """Mixed into the operators that change what Tempera keeps in a scene: not in a linked one."""

    @classmethod
    def poll(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
        """Say that the scene is linked."""
        scene = panel_scene(context)
        if scene.is_editable:
            return True
        cls.poll_message_set(translated(f"{scene.name} is linked from another file. Open that file to change it."))
        return False
