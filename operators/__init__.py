"""What Blender does: operators, and the functions under them that scripts can call too."""

import bpy

from . import (
    camera,
    deflicker,
    demo,
    file_events,
    jobs,
    keys,
    leftovers,
    measure,
    models,
    objects,
    preview,
    retouch,
    session,
    setup,
    stylize,
)

classes = (
    *stylize.classes,
    *preview.classes,
    *jobs.classes,
    *measure.classes,
    *keys.classes,
    *camera.classes,
    *objects.classes,
    *deflicker.classes,
    *retouch.classes,
    *setup.classes,
    *models.classes,
    *leftovers.classes,
    *demo.classes,
)


def register() -> None:
    """Make the operators known to Blender and begin to follow the file."""
    for cls in classes:
        bpy.utils.register_class(cls)
    session.reopen()
    file_events.register()
    setup.register()
    leftovers.register()


def unregister() -> None:
    """End all jobs, the worker and what is being fetched, then take the operators away."""
    leftovers.unregister()
    models.unregister()
    setup.unregister()
    file_events.unregister()
    session.close()
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
