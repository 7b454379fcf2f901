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
        scene = sequencer_scene(context)
        strips = selected_strips(scene)
        spans = [range(*handles(strip)) for strip in strips]
        source = shared.Source(
            frames=sum(map(len, spans)),
            problems=scene.tempera.strip_problems(spans),
            operators={"tempera.stylize_strips": "SEQUENCE", "tempera.deflicker": "MOD_SMOOTH"},
            strips=True,
            footage=any(strip.type != "SCENE" for strip in strips),
            exact=any(strip.type == "SCENE" for strip in strips),
        )
        shared.draw(self.layout, scene, source)


classes = (TEMPERA_PT_sequencer,)
