"""What the artist sees."""

import bpy

from . import compare, jobs, objects, painting, preferences, render, sequencer, status

classes = (jobs.TEMPERA_UL_jobs, jobs.TEMPERA_MT_job, *objects.classes, *render.classes, *sequencer.classes)


def register() -> None:
    """Show the panels and the status."""
    for cls in classes:
        bpy.utils.register_class(cls)
    status.register()
    compare.register()
    painting.register()
    preferences.register()


def unregister() -> None:
    """Take panels and status away."""
    preferences.unregister()
    painting.unregister()
    compare.unregister()
    status.unregister()
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
