"""What the artist sets: properties on the scene and in the preferences, made from the declarations in the bridge."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import bpy
from bpy.props import (
    BoolProperty,
    CollectionProperty,
    EnumProperty,
    FloatProperty,
    IntProperty,
    PointerProperty,
    StringProperty,
)

from .backend.bridge import settings
from .backend.bridge.environment import find_python
from .backend.bridge.errors import UserError
from .backend.bridge.settings import Settings
from .backend.bridge.settings.declaration import Group, Spec

PACKAGE = __package__ or ""  # Blender's name for this extension: "bl_ext.<repository>.tempera"

# Blender 4.5 made paths that begin with // opt-in.
PATH_OPTIONS = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
_LIMITS = {"low": "min", "high": "max", "soft_low": "soft_min", "soft_high": "soft_max"}
_UNITS = {"px": "PIXEL", "%": "PERCENTAGE"}


def blender_property(kind: type, default: Any, spec: Spec) -> Any:
    """Return the bpy.props definition of one declared setting.

    Settings are baked once into a job, so none can be animated.
    """
    common = {"name": spec.label, "description": spec.help, "default": default, "options": set()}
    if spec.choices:
        return EnumProperty(items=spec.choices, **common)
    if kind is bool:
        return BoolProperty(**common)
    if kind is str:
        if spec.subtype:
            common |= {"subtype": spec.subtype, "options": PATH_OPTIONS}
        return StringProperty(**common)
    limits = {theirs: getattr(spec, ours) for ours, theirs in _LIMITS.items() if getattr(spec, ours) is not None}
    subtype = _UNITS.get(spec.unit) or spec.subtype or "NONE"
    return (IntProperty if kind is int else FloatProperty)(subtype=subtype, **common, **limits)


def definitions(group: type[Group]) -> dict[str, Any]:
    """Return the bpy.props definitions of a settings dataclass, as a PropertyGroup's annotations."""
    return {name: blender_property(*spec) for name, spec in settings.specs(group).items()}


METHOD_GROUPS = {
    method: type(f"TEMPERA_PG_{method}", (bpy.types.PropertyGroup,), {"__annotations__": definitions(group)})
    for method, group in settings.groups().items()
}


class TEMPERA_PG_key(bpy.types.PropertyGroup):
    """A frame that the artist painted."""

    frame: IntProperty(name="Frame", description="The frame that this picture was painted over", options=set())
    filepath: StringProperty(
        name="Picture",
        description="The painted frame, a PNG of the render's size",
        subtype="FILE_PATH",
        options=PATH_OPTIONS,
    )


class TEMPERA_PG_scene(bpy.types.PropertyGroup):
    """All that Tempera keeps in a scene."""

    __annotations__ = {
        **definitions(Settings),
        **{method: PointerProperty(type=group) for method, group in METHOD_GROUPS.items()},
        "keys": CollectionProperty(type=TEMPERA_PG_key, name="Key Frames"),
        "last_job": StringProperty(name="Last Job", description="Folder of the scene's last job", subtype="DIR_PATH"),
    }

    def settings(self) -> Settings:
        """Return the settings as the worker takes them, with paths made absolute; UserError when one is wrong."""
        return settings.from_keywords(**_plain(self, Settings), **_plain(self.chosen, settings.groups()[self.method]))

    @property
    def chosen(self) -> bpy.types.PropertyGroup:
        """The properties of the chosen method."""
        return getattr(self, self.method)

    def take(self, run: Settings) -> None:
        """Show the settings ``run`` in the panel."""
        for name in settings.specs(Settings):
            setattr(self, name, getattr(run, name))
        for name, value in dataclasses.asdict(run.chosen).items():  # type: ignore[call-overload]
            setattr(self.chosen, name, value)

    def key_paths(self) -> dict[int, Path]:
        """Return ``{frame: path}`` of the artist's key frames, paths made absolute."""
        return {key.frame: Path(_absolute(key.filepath)) for key in self.keys}

    def render_problems(self) -> list[str]:
        """Return what keeps the scene's frame range from being stylized, each a sentence; reads no file."""
        scene = self.id_data
        found = self._problems([range(scene.frame_start, scene.frame_end + 1, scene.frame_step)])
        if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
            found.append("The scene has no camera. Add one.")
        return found

    def strip_problems(self, spans: Sequence[range]) -> list[str]:
        """Return what keeps strips with these ``spans`` of frames from being stylized; reads no file."""
        if not spans:
            return ["No strip is selected. Select one that has pictures."]
        return self._problems(spans)

    def _problems(self, spans: Sequence[range]) -> list[str]:
        found = [worker_problem(preferences().worker_python)]
        if self.method == "exemplar":
            keys = {key.frame for key in self.keys}
            found.append(next(filter(None, (key_problem(span, keys) for span in spans)), ""))
        return [problem for problem in found if problem]


def _plain(owner: bpy.types.PropertyGroup, group: type[Group]) -> dict[str, Any]:
    """Return the values of a settings dataclass's properties as that dataclass takes them."""
    plain = {}
    for name, (kind, _, spec) in settings.specs(group).items():
        value = getattr(owner, name)
        if spec.subtype.endswith("_PATH"):
            value = _absolute(value)
        elif kind is float:
            value = float(f"{value:.7g}")  # Blender keeps 32 bits: 0.6 comes back as 0.6000000238
        plain[name] = value
    return plain


def key_problem(frames: Iterable[int], keys: Iterable[int]) -> str:
    """Return what is wrong with the frames of the ``keys`` for a shot of these ``frames``, "" when nothing is."""
    if set(frames).isdisjoint(keys):
        return "There is no key frame in the shot. Paint over one of its frames and add it."
    return ""


def _absolute(path: str) -> str:
    # Not resolved: the Python of an environment is a link that must stay one.
    return str(Path(bpy.path.abspath(path)).absolute()) if path else ""


@functools.lru_cache(maxsize=1)
def worker_problem(chosen: str) -> str:
    """Return why the worker cannot be started with the preference ``chosen``, "" when it can.

    The answer is kept, so that panels can ask while they draw; ``worker_problem.cache_clear()`` asks anew.
    """
    try:
        worker_python(chosen)
    except UserError as error:
        return str(error)
    return ""


def worker_python(chosen: str) -> Path:
    """Return the Python of the worker with the preference ``chosen``; UserError when there is none."""
    return find_python(_absolute(chosen), backend_folder())


def backend_folder() -> Path:
    """Return the folder that Tempera's own environment goes to: the artist's, or the extension's own."""
    chosen = preferences().backend_folder
    return Path(_absolute(chosen)) if chosen else user_folder()


def user_folder() -> Path:
    """Return the extension's own folder, which outlives its upgrades."""
    return Path(bpy.utils.extension_path_user(PACKAGE, create=True))


def _look_again(preferences: "TEMPERA_preferences", _context: bpy.types.Context) -> None:
    worker_problem.cache_clear()
    worker_problem(preferences.worker_python)


PREFERENCES: list[Any] = []  # what the panels add: functions that take a layout and the preferences


class TEMPERA_preferences(bpy.types.AddonPreferences):
    """What holds for all files of this artist."""

    bl_idname = PACKAGE

    worker_python: StringProperty(
        name="Worker Python",
        description="The Python that has the worker's packages; empty for the one that Tempera finds by itself",
        subtype="FILE_PATH",
        update=_look_again,
    )
    jobs_folder: StringProperty(
        name="Jobs Folder",
        description="Where new jobs go; empty for a folder named tempera beside the .blend file",
        subtype="DIR_PATH",
    )
    backend_folder: StringProperty(
        name="Backend Folder",
        description="Where the backend is installed, several GB; empty for the extension's own folder",
        subtype="DIR_PATH",
        update=_look_again,
    )
    wheelhouse: StringProperty(
        name="Wheelhouse",
        description="A folder of wheels to install the backend from where there is no network; empty for none",
        subtype="DIR_PATH",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the preferences."""
        layout = self.layout
        layout.use_property_split = True
        layout.prop(self, "worker_python")
        problem = worker_problem(self.worker_python)
        if problem:
            row = layout.row()
            row.alert = True
            row.label(text=problem, icon="ERROR")
        layout.prop(self, "jobs_folder")
        for section in PREFERENCES:
            section(layout, self)


def preferences() -> TEMPERA_preferences:
    """Return this extension's preferences."""
    return bpy.context.preferences.addons[PACKAGE].preferences


classes = (*METHOD_GROUPS.values(), TEMPERA_PG_key, TEMPERA_PG_scene, TEMPERA_preferences)


def register() -> None:
    """Make the properties known to Blender."""
    for cls in classes:
        bpy.utils.register_class(cls)
    bpy.types.Scene.tempera = PointerProperty(type=TEMPERA_PG_scene)


def unregister() -> None:
    """Take the properties away; their values stay in the file."""
    del bpy.types.Scene.tempera
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
    worker_problem.cache_clear()
