"""The panel in the sequencer's sidebar: for strips."""

import bpy

from ..operators.versions import handles, selected_strips, sequencer_scene
from . import shared


class TEMPERA_PT_sequencer(bpy.types.Panel):
    """Stylize the selected strips."""

    bl_label = "Tempera"
    bl_idname = "TEMPERA_PT_sequencer"
    bl_space_type = "SEQUENCE_EDITOR"
    bl_region_type = "UI"
    bl_category = "Tempera"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout, scene = self.layout, sequencer_scene(context)
        shared.draw_settings(layout, scene)
        shared.draw_keys(layout, scene)
        spans = [range(*handles(strip)) for strip in selected_strips(scene)]
        shared.draw_problems(layout, scene.tempera.strip_problems(spans))
        layout.operator("tempera.stylize_strips", icon="SEQUENCE")
        shared.draw_jobs(layout, scene)


classes = (TEMPERA_PT_sequencer,)
