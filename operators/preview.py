"""A look at one frame, or at three, before a run: painted in seconds, shown while it forms."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import bpy
from bpy.props import BoolProperty, EnumProperty

from ..backend.bridge import messages
from ..backend.bridge.errors import UserError
from ..backend.bridge.job import Job as JobFolder
from ..backend.bridge.settings import Settings
from ..properties import COMPARE
from . import session
from .job import Job, Keeper
from .over_time import as_set
from .stylize import StartsJobs, check, frames_of, origin_of
from .versions import Strip, handles, selected_strips, sequencer_scene

FILLED = 0.92  # of an Image Editor by the preview
PICTURE, SOURCE = "Tempera Preview", "Tempera Source"  # names of the images


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
            load(SOURCE, self.files.source_picture)
            show_in_editor(load(PICTURE, self.files.preview_picture))

    def drop(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder.parent, ignore_errors=True)


def preview(
    source: bpy.types.Scene | Strip, run: Settings, keys: Mapping[int, Path], frames: Sequence[int]
) -> Preview:
    """Start to paint ``frames`` of a scene or strip and return the preview; the last one, if any, is dropped.

    ``keys`` are key frames as in :func:`~.stylize.stylize`. UserError when something is missing.
    """
    scene = source if isinstance(source, bpy.types.Scene) else source.id_data
    wanted = sorted({*frames, *keys})
    check(scene, wanted, run, keys)
    origin = origin_of(source) | {"frames": wanted, "preview": list(frames)}
    shot = captured_shot(origin, wanted)
    folder = Path(tempfile.mkdtemp(prefix="tempera-preview-", dir=bpy.app.tempdir)) / "preview"
    files = JobFolder.create(folder, "Preview", run, origin)
    for frame, path in keys.items():
        files.add_key(frame, path)
    return session.current().show_preview(lambda keeper: Preview(keeper, files, scene, shot))


def captured_shot(origin: Mapping[str, object], frames: Sequence[int]) -> Path | None:
    """Return the shot of the newest job of the same scene or strip that has all of ``frames``, None without one."""
    for job in reversed(session.current().jobs):
        same = all(job.files.source.get(name) == origin[name] for name in ("blend", "scene", "strip"))
        if same and set(frames) <= set(job.shot_frames):
            return job.files.shot_folder
    return None


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


class TEMPERA_OT_preview(StartsJobs, bpy.types.Operator):
    """Paint the frame at the playhead, or three frames of the shot, for a look."""

    bl_idname = "tempera.preview"
    bl_label = "Preview"
    bl_description = (
        "Paint the frame at the playhead, with the settings as they are, and show it in an Image Editor while it "
        "forms. A frame that a job has captured already is not rendered again"
    )

    three: BoolProperty(
        name="Three Frames",
        description="Paint the first, the middle and the last frame of the shot together",
        options={"SKIP_SAVE"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Say what is missing."""
        source, scene = find_source(context)
        spans = [range(*handles(source))] if source is not None and source != scene else []
        problems = scene.tempera.render_problems() if source == scene else scene.tempera.strip_problems(spans)
        if problems:
            cls.poll_message_set(problems[0].text)
        return not problems

    def start(self, context: bpy.types.Context) -> list[Job]:
        """Start the preview, and make room for it where no Image Editor is open."""
        source, scene = find_source(context)
        shot = frames_of(source)
        frames = [scene.frame_current]
        if self.three:
            frames = sorted({shot[0], shot[len(shot) // 2], shot[-1]})
        elif frames[0] not in shot:
            raise UserError(f"Frame {frames[0]} is not in the shot. Move the playhead to one of its frames.")
        keys = {frame: path for frame, path in scene.tempera.key_paths().items() if frame in shot}
        started = preview(source, as_set(source, shot), keys, frames)
        if not bpy.app.background and not image_editors():
            bpy.ops.render.view_show("INVOKE_DEFAULT")
        return [started]


class TEMPERA_OT_compare(bpy.types.Operator):
    """Choose how the preview is held against its source."""

    bl_idname = "tempera.compare"
    bl_label = "Compare"
    bl_description = "Show the preview alone, wiped against its source, or beside it, in the Image Editor"

    look: EnumProperty(
        name="Look",
        description="How the preview is shown with its source",
        items=COMPARE,
        options={"SKIP_SAVE"},
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Look at it so."""
        context.window_manager.tempera.compare = self.look
        fit_views()
        return {"FINISHED"}


def find_source(context: bpy.types.Context) -> tuple[bpy.types.Scene | Strip | None, bpy.types.Scene]:
    """Return what the editor under the mouse would stylize, and its scene.

    In the sequencer that is the selected strip at the playhead, else the first one, None where none is selected.
    """
    if not (context.area and context.area.type == "SEQUENCE_EDITOR"):
        return context.scene, context.scene
    scene = sequencer_scene(context)
    chosen = selected_strips(scene)
    here = [strip for strip in chosen if scene.frame_current in range(*handles(strip))]
    return next(iter([*here, *chosen]), None), scene


classes = (TEMPERA_OT_preview, TEMPERA_OT_compare)
