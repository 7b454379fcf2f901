"""What the artist sees."""

import bpy

from . import render, sequencer, status

classes = (*render.classes, *sequencer.classes)


def register() -> None:
    """Show the panels and the status."""
    for cls in classes:
        bpy.utils.register_class(cls)
    status.register()


def unregister() -> None:
    """Take panels and status away."""
    status.unregister()
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
