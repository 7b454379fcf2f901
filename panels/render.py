"""The panel in the render properties: for 3D shots."""

import bpy

from . import shared


class TEMPERA_PT_render(bpy.types.Panel):
    """Stylize the scene's frame range."""

    bl_label = "Tempera"
    bl_idname = "TEMPERA_PT_render"
    bl_space_type = "PROPERTIES"
    bl_region_type = "WINDOW"
    bl_context = "render"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        scene = context.scene
        source = shared.Source(
            frames=len(range(scene.frame_start, scene.frame_end + 1, scene.frame_step)),
            problems=scene.tempera.render_problems(),
            operators={"tempera.stylize_render": "RENDER_ANIMATION"},
            strips=False,
            footage=False,
            exact=True,
        )
        shared.draw(self.layout, scene, source)


classes = (TEMPERA_PT_render,)
