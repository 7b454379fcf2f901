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
        layout, scene = self.layout, context.scene
        shared.draw_settings(layout, scene)
        shared.draw_keys(layout, scene)
        shared.draw_problems(layout, scene.tempera.render_problems())
        layout.operator("tempera.stylize_render", icon="RENDER_ANIMATION")
        shared.draw_jobs(layout, scene)


classes = (TEMPERA_PT_render,)
