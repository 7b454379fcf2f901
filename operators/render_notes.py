"""What the artist should know of a shot: what the data layer does not show, and where Blender's own passes are wrong.

Runs in the child Blender only (see render_passes).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import bpy
import numpy as np

from .render_data import is_volume
from .render_tools import nodes_of, simulation_starts

MOVING_NODES = {
    "LENSDIST", "TRANSFORM", "TRANSLATE", "ROTATE", "SCALE", "CROP", "FLIP", "DISPLACE", "STABILIZE2D", "MAP_UV",
    "CORNERPIN", "PLANETRACKDEFORM", "MOVIEDISTORTION",
}  # fmt: skip
Cameras = dict[int, dict[str, Any]]


def notes_on(scene: bpy.types.Scene) -> list[str]:
    """Return sentences on what the beauty of ``scene``, as the artist left it, shows and the data layer does not."""
    items = [item for item in scene.objects if not item.hide_render]
    materials = {slot.material for item in items for slot in item.material_slots if slot.material}
    hair = [
        item
        for item in items
        if item.type == "CURVES" or any(system.settings.type == "HAIR" for system in item.particle_systems)
    ]
    named = (
        (filter(cuts_out, materials), "transparency is treated as solid in the motion data."),
        (filter(displaces, materials), "displacement by the material is missing in the motion data."),
        (filter(is_volume, items), "smoke and fog have no surface; the motion data shows what is behind."),
        (hair, "hair is thin, its motion is only followed from frame to frame."),
        (filter(is_drawn, items), "strokes are missing in the motion data."),
    )
    notes = [f"{names}: {sentence}" for found, sentence in named if (names := listed(found))]
    general = (
        (scene.render.use_motion_blur, "Motion blur is on: its edges reach beyond the motion data, which is sharp."),
        (scene.render.use_freestyle, "Freestyle lines are missing in the motion data."),
        (moves_pixels(scene), "The compositor moves pixels, which the motion data does not follow."),
        (simulation_starts(scene), "A simulation is not baked, so it was run again; bake it for the very same motion."),
        (
            sum(layer.use for layer in scene.view_layers) > 1,
            "Several view layers render: the motion data shows all their collections in one.",
        ),
    )
    return notes + [sentence for applies, sentence in general if applies]


def listed(items: Iterable[bpy.types.ID], most: int = 4) -> str:
    """Return the names of ``items``, the first few of them."""
    names = sorted(item.name for item in items)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def cuts_out(material: bpy.types.Material) -> bool:
    """Return whether a material lets what is behind it through without refraction."""
    for node in nodes_of(material.node_tree):
        alpha = node.inputs.get("Alpha") if node.type == "BSDF_PRINCIPLED" else None
        if node.type == "BSDF_TRANSPARENT" or (alpha and (alpha.is_linked or alpha.default_value < 1)):
            return True
    return False


def displaces(material: bpy.types.Material) -> bool:
    """Return whether a material moves the surface when rendered."""
    output = material.node_tree.get_output_node("CYCLES") if material.node_tree else None
    return bool(output and output.inputs["Displacement"].is_linked and material.displacement_method != "BUMP")


def is_drawn(item: bpy.types.Object) -> bool:
    """Return whether an object is grease pencil."""
    return item.type in {"GPENCIL", "GREASEPENCIL"}


def moves_pixels(scene: bpy.types.Scene) -> bool:
    """Return whether the scene's compositor distorts or shifts the picture."""
    if not scene.render.use_compositing:
        return False
    if hasattr(scene, "compositing_node_group"):
        tree = scene.compositing_node_group
    else:
        tree = scene.node_tree if scene.use_nodes else None
    return any(node.type in MOVING_NODES and not node.mute for node in nodes_of(tree))


def cuts_between(cameras: Cameras) -> list[int]:
    """Return the frames that are the first of a new camera."""
    return [after for before, after in pairwise(sorted(cameras)) if cameras[before]["name"] != cameras[after]["name"]]


def vector_trust(cameras: Cameras, version: tuple[int, ...]) -> dict[str, Any]:
    """Return whether this Blender writes a right Vector pass for these cameras, and if not, why.

    Measured against ray casts: orthographic cameras are wrong in 4.5 to 5.1 (4.3 and 4.4 are unknown, so not trusted),
    an animated focal length in 4.2, an animated orthographic scale in all.
    """
    kinds = {camera["type"] for camera in cameras.values()}
    zooms = any(
        cameras[a]["name"] == cameras[b]["name"]
        and not np.allclose(cameras[a]["projection"], cameras[b]["projection"], rtol=0, atol=1e-6)
        for a, b in pairwise(sorted(cameras))
    )
    blender = f"Blender {version[0]}.{version[1]}"
    reason = ""
    if "ORTHO" in kinds and (4, 3) <= version[:2] < (5, 2):
        reason = f"{blender} writes wrong motion vectors for orthographic cameras."
    elif "ORTHO" in kinds and zooms:
        reason = f"{blender} leaves the animated orthographic scale out of the motion vectors."
    elif zooms and version[:2] < (4, 5):
        reason = f"{blender} leaves the animated focal length out of the motion vectors."
    return {"trusted": not reason, "reason": reason}
