"""What is of this Blender and of no file."""

from collections.abc import Sequence
from typing import Any

import bpy
from bpy.props import CollectionProperty, EnumProperty, FloatProperty, IntProperty, StringProperty


class TEMPERA_PG_listed(bpy.types.PropertyGroup):
    """A job in the list that the window shows; all about it is the session's."""

    folder: StringProperty(name="Folder", description="The job's folder", subtype="DIR_PATH")


COMPARE = (
    ("RESULT", "Result", "The preview alone"),
    ("WIPE", "Wipe", "The source to the left of a border, the preview to the right"),
    ("BESIDE", "Beside", "The source beside the preview, or above it where it is wider than high"),
)


def _look_at_preview(_window: Any, context: bpy.types.Context) -> None:
    for window in context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "IMAGE_EDITOR":
                area.tag_redraw()


class TEMPERA_PG_window(bpy.types.PropertyGroup):
    """What is of this Blender and no file: the list of jobs."""

    jobs: CollectionProperty(type=TEMPERA_PG_listed, name="Jobs")
    active: IntProperty(name="Job", description="The job whose details are shown", options=set())
    compare: EnumProperty(
        name="Compare",
        description="How the preview is shown with its source in the Image Editor",
        items=COMPARE,
        default="RESULT",
        update=_look_at_preview,
        options=set(),
    )
    wipe: FloatProperty(
        name="Wipe",
        description="Where the border between source and preview is",
        default=0.5,
        min=0.0,
        max=1.0,
        subtype="FACTOR",
        update=_look_at_preview,
        options=set(),
    )

    def show(self, folders: Sequence[str]) -> None:
        """List the jobs in ``folders``, the newest first; the chosen one stays so, and a new one is chosen."""
        before = [job.folder for job in self.jobs]
        if before == list(folders):
            return
        chosen = before[self.active] if self.active < len(before) else ""
        fresh = [folder for folder in folders if folder not in before]
        self.jobs.clear()
        for folder in folders:
            self.jobs.add().folder = folder
        self.active = folders.index(fresh[0]) if fresh else folders.index(chosen) if chosen in folders else 0
