"""A preview as a job of its own, and the images that show it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import bpy

from ..backend.bridge import messages
from ..backend.bridge.job import Job as JobFolder
from .job import Job, Keeper

PICTURE, SOURCE = "Tempera Preview", "Tempera Source"  # names of the images
RAW = "Non-Color"  # so that the source, which is drawn over the preview, is drawn as it is stored
FILLED = 0.92  # of an Image Editor by the preview


class Preview(Job):
    """A few frames as they would become, in a folder of Blender's own that goes with the preview.

    They come from the ``shot`` of a job that has them; where that is None they are captured first.
    """

    def __init__(self, keeper: Keeper, files: JobFolder, scene: bpy.types.Scene, shot: Path | None) -> None:
        self._shot = shot
        super().__init__(keeper, files, scene)

    @property
    def captured(self) -> bool:
        """Whether the frames can be painted."""
        return self._shot is not None or super().captured

    @property
    def request(self) -> messages.Work:
        """What the worker is to be told when it is the preview's turn."""
        return messages.Preview(str(self.folder), str(self._shot or self.files.shot_folder))

    def hear(self, event: messages.Message) -> None:
        """Take one of the worker's events."""
        if isinstance(event, messages.Picture):
            self.stale = True
        else:
            super().hear(event)

    def show(self) -> None:
        """Let the images, and one Image Editor, show how far the frames have formed."""
        self.stale = False
        if self.files.preview_picture.is_file():
            source = load(SOURCE, self.files.source_picture)
            if source.colorspace_settings.name != RAW:
                with contextlib.suppress(TypeError):  # a studio's colour configuration may call it otherwise
                    source.colorspace_settings.name = RAW
            show_in_editor(load(PICTURE, self.files.preview_picture))

    def drop(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def load(name: str, path: Path) -> bpy.types.Image:
    """Return the image ``name`` with what lies in ``path`` just now."""
    image = bpy.data.images.get(name)
    if image is None:
        image = bpy.data.images.load(str(path))
        image.name = name
    if image.filepath != str(path):
        image.filepath = str(path)
    image.reload()
    return image


def show_in_editor(image: bpy.types.Image) -> None:
    """Show ``image`` in the Image Editor that shows it already, else in one that shows a render or nothing."""
    editors = image_editors()
    free = [area for area in editors if area.spaces[0].image is None or area.spaces[0].image.type == "RENDER_RESULT"]
    if not any(area.spaces[0].image == image for area in editors) and (free or editors):
        (free or editors)[0].spaces[0].image = image
        fit_views()
    for area in editors:
        area.tag_redraw()


def fit_views() -> None:
    """Let the preview fill the Image Editors that show it, with room for the source where that lies beside it."""
    beside = bpy.context.window_manager.tempera.compare == "BESIDE"
    for area in image_editors():
        image = area.spaces[0].image
        if image is not None and image.name == PICTURE:
            wide = image.size[0] > image.size[1]
            # As much room below as the source takes above, or to the right: the view stays centred.
            fill(area, (1 if wide or not beside else 3, 3 if wide and beside else 1))


def fill(area: bpy.types.Area, room: tuple[int, int] = (1, 1)) -> None:
    """Zoom an Image Editor so that its image, ``room`` times across and up, fits into it."""
    image = area.spaces[0].image
    region = next(region for region in area.regions if region.type == "WINDOW")
    window = next(each for each in bpy.context.window_manager.windows if area in each.screen.areas[:])
    if all(image.size):
        with bpy.context.temp_override(window=window, area=area, region=region):
            sides = (region.width / (image.size[0] * room[0]), region.height / (image.size[1] * room[1]))
            bpy.ops.image.view_all(fit_view=True)
            bpy.ops.image.view_zoom_ratio(ratio=FILLED * min(sides))


def image_editors() -> list[bpy.types.Area]:
    """Return the Image Editors of all windows."""
    areas = [area for window in bpy.context.window_manager.windows for area in window.screen.areas]
    return [area for area in areas if area.ui_type == "IMAGE_EDITOR"]
