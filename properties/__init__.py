"""What the artist sets: in a file, made from the declarations in the bridge, and in this Blender."""

import bpy
from bpy.props import PointerProperty

from .declared import LAYER_GROUPS
from .objects import TEMPERA_PG_object
from .scene import TEMPERA_PG_key, TEMPERA_PG_scene, drop_styles, load_styles
from .window import TEMPERA_PG_listed, TEMPERA_PG_window

classes = (
    *LAYER_GROUPS.values(),
    TEMPERA_PG_key,
    TEMPERA_PG_object,
    TEMPERA_PG_scene,
    TEMPERA_PG_listed,
    TEMPERA_PG_window,
)


def register() -> None:
    """Make the properties known to Blender."""
    load_styles()
    for cls in classes:
        bpy.utils.register_class(cls)
    bpy.types.Scene.tempera = PointerProperty(type=TEMPERA_PG_scene)
    bpy.types.WindowManager.tempera = PointerProperty(type=TEMPERA_PG_window)


def unregister() -> None:
    """Take the properties away; their values stay in the file."""
    del bpy.types.WindowManager.tempera
    del bpy.types.Scene.tempera
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
    drop_styles()
