"""The source drawn over or beside the preview in the Image Editor."""

import bpy
import gpu
from gpu_extras.batch import batch_for_shader

from ..operators.preview_job import PICTURE, SOURCE

GAP = 0.02  # of the picture's side, between source and preview


def draw() -> None:
    """Draw the source as far as the artist wants to see it, in the Image Editor that shows the preview."""
    context = bpy.context
    window, shown, source = context.window_manager.tempera, context.space_data.image, bpy.data.images.get(SOURCE)
    if shown is None or shown.name != PICTURE or source is None or window.compare == "RESULT" or not all(source.size):
        return
    (left, right), (bottom, top), share = place(window.compare, window.wipe, source.size[0] > source.size[1])
    to_region = context.region.view2d.view_to_region
    corners = [to_region(x, y, clip=False) for x, y in ((left, bottom), (right, bottom), (right, top), (left, top))]
    shader = gpu.shader.from_builtin("IMAGE")  # the image is not converted, nor is what is drawn
    texture = gpu.texture.from_image(source)
    seen = {"pos": corners, "texCoord": ((0, 0), (share, 0), (share, 1), (0, 1))}
    batch = batch_for_shader(shader, "TRI_FAN", seen)
    shader.bind()
    shader.uniform_sampler("image", texture)
    batch.draw(shader)


def place(compare: str, wipe: float, wide: bool) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Return where the source lies, its span across and up in sides of the preview, and how much of it is seen.

    The source of ``wide`` pictures lies above them, where Image Editors have room, that of others to the left.
    """
    if compare == "WIPE":
        return (0.0, wipe), (0.0, 1.0), wipe
    if wide:
        return (0.0, 1.0), (1.0 + GAP, 2.0 + GAP), 1.0
    return (-1.0 - GAP, -GAP), (0.0, 1.0), 1.0


_handle: object = None


def register() -> None:
    """Draw in all Image Editors from now on."""
    global _handle  # noqa: PLW0603 - Blender wants it back
    _handle = bpy.types.SpaceImageEditor.draw_handler_add(draw, (), "WINDOW", "POST_PIXEL")


def unregister() -> None:
    """Draw no more."""
    bpy.types.SpaceImageEditor.draw_handler_remove(_handle, "WINDOW")
