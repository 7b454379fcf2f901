"""Operator: a camera for a scene that has none."""

from typing import ClassVar

import bpy
from mathutils import Euler, Matrix

from .capture import FOLLOWED
from .editable import ChangesScene

# Where Blender's own first scene has its camera.
PLACE = Matrix.LocRotScale((7.359, -6.926, 4.958), Euler((1.1093, 0.0, 0.8149)), None)


class TEMPERA_OT_add_camera(ChangesScene, bpy.types.Operator):
    """Let a camera film the scene: one that is there already, else a new one that sees what the 3D view sees."""

    bl_idname = "tempera.add_camera"
    bl_label = "Add Camera"
    bl_description = "Film through a camera of the scene, or through a new one that sees what the 3D Viewport sees"
    bl_options: ClassVar = {"REGISTER", "UNDO"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Find or make the camera, and make it the scene's."""
        scene = context.scene
        cameras = [item for item in scene.objects if item.type == "CAMERA"]
        camera = next((item for item in cameras if item.data.type in FOLLOWED), None)
        if camera is None:
            camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
            camera.matrix_world = viewpoint(context)
            scene.collection.objects.link(camera)
        scene.camera = camera
        return {"FINISHED"}


def viewpoint(context: bpy.types.Context) -> Matrix:
    """Return from where the largest 3D Viewport of the window looks, a place of our own where there is none."""
    areas = context.screen.areas if context.screen else ()
    views = [area for area in areas if area.type == "VIEW_3D"]
    if not views:
        return PLACE
    largest = max(views, key=lambda area: area.width * area.height)
    return largest.spaces[0].region_3d.view_matrix.inverted()


classes = (TEMPERA_OT_add_camera,)
