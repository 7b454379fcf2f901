"""The button in the Image Editor that takes a painted frame back into its job."""

import bpy

from ..operators.retouch import NOTE


def draw(header: bpy.types.Header, context: bpy.types.Context) -> None:
    """Draw the button where a finished frame is open for painting."""
    image = context.space_data.image
    if image is not None and NOTE in image:
        header.layout.operator("tempera.use_as_key", icon="CHECKMARK")


def register() -> None:
    """Add to the Image Editor's header."""
    bpy.types.IMAGE_HT_header.append(draw)


def unregister() -> None:
    """Leave the header."""
    bpy.types.IMAGE_HT_header.remove(draw)
