"""What the artist sets in a file: properties on the scene, made from the declarations in the bridge."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bpy
import bpy.utils.previews
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
from .backend.bridge.errors import UserError
from .backend.bridge.settings import Settings
from .backend.bridge.settings.declaration import Group, Spec
from .backend.bridge.settings.objects import ObjectSettings
from .backend.bridge.styles import STARTER, STYLES, restyled, style_of
from .preferences import PACKAGE, absolute, preferences, worker_problem

# Blender 4.5 made paths that begin with // opt-in.
PATH_OPTIONS = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
_LIMITS = {"low": "min", "high": "max", "soft_low": "soft_min", "soft_high": "soft_max"}
PATHS = {"DIR_PATH", "FILE_PATH"}
CHOSEN_AMONG_MODELS = {"model", "controlnet", "controlnet_2", "lora", "lora_2", "lora_3", "style_adapter"}
THUMBNAILS = Path(__file__).parent / "panels" / "thumbnails"
_UNITS = {"px": "PIXEL", "%": "PERCENTAGE"}


def blender_property(kind: type, default: Any, spec: Spec) -> Any:
    """Return the bpy.props definition of one declared setting.

    Numbers that may change over time can be animated: they are baked into a job frame by frame.
    """
    options = {"ANIMATABLE"} if spec.over_time and kind is not str else set()
    common = {"name": spec.label, "description": spec.help, "default": default, "options": options}
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
    """Return the bpy.props definitions of what a settings dataclass itself declares, as annotations."""
    own = settings.homes(group)
    return {name: blender_property(*spec) for name, spec in settings.specs(group).items() if own[name] is group}


LAYERS = tuple(dict.fromkeys(home for group in settings.groups().values() for home in settings.homes(group).values()))
LAYER_GROUPS = {
    settings.layer_name(layer): type(
        f"TEMPERA_PG_{settings.layer_name(layer)}", (bpy.types.PropertyGroup,), {"__annotations__": definitions(layer)}
    )
    for layer in LAYERS
}


class Problem(NamedTuple):
    """What keeps a run from starting, in one sentence, and the operator that mends it, "" where the artist has to.

    ``section`` is where it is shown: "backend", "style", "method" or "run".
    """

    text: str
    section: str
    operator: str = ""
    options: tuple[tuple[str, Any], ...] = ()


class TEMPERA_PG_key(bpy.types.PropertyGroup):
    """A frame that the artist painted."""

    frame: IntProperty(name="Frame", description="The frame that this picture was painted over", options=set())
    filepath: StringProperty(
        name="Picture",
        description="The painted frame, a PNG of the render's size",
        subtype="FILE_PATH",
        options=PATH_OPTIONS,
    )


OBJECT_WORDS = ("prompt", "negative_prompt")  # of what objects are told


def members_of(chosen: bpy.types.Object | bpy.types.Collection) -> tuple[str, ...]:
    """Return the names of the objects that an object, or a collection with those in it, stands for, as rendered."""
    objects = chosen.all_objects if isinstance(chosen, bpy.types.Collection) else [chosen]
    return tuple(item.name_full for item in objects)


class TEMPERA_PG_object(bpy.types.PropertyGroup):
    """An object, or a collection, that is told something of its own."""

    __annotations__ = {
        "kind": EnumProperty(
            name="Kind",
            description="What the entry is about",
            items=(
                ("OBJECT", "Object", "One object, or all that it makes instances of", "OBJECT_DATA", 0),
                ("COLLECTION", "Collection", "All objects of a collection", "OUTLINER_COLLECTION", 1),
            ),
            options=set(),
        ),
        "object": PointerProperty(type=bpy.types.Object, name="Object", description="The object that is meant"),
        "collection": PointerProperty(
            type=bpy.types.Collection, name="Collection", description="The collection whose objects are meant"
        ),
        **{name: each for name, each in definitions(ObjectSettings).items() if name != "name"},
    }

    @property
    def chosen(self) -> bpy.types.Object | bpy.types.Collection | None:
        """The object or collection, None where none is chosen or it was deleted."""
        return self.collection if self.kind == "COLLECTION" else self.object

    def told(self) -> ObjectSettings:
        """Return what the chosen object or collection is told."""
        names = [name for name in settings.specs(ObjectSettings) if name != "name"]
        told = plain(dict.fromkeys(names, self))
        if self.chosen is None:
            raise UserError("An object that is told something was deleted. Choose another, or take it off the list.")
        return ObjectSettings(self.chosen.name, members=members_of(self.chosen), **told)

    def take(self, told: ObjectSettings) -> None:
        """Show ``told``; where its object or collection is not in this file, nothing is chosen."""
        self.object, self.collection = bpy.data.objects.get(told.name), bpy.data.collections.get(told.name)
        self.kind = "OBJECT" if self.object and told.members == members_of(self.object) else "COLLECTION"
        for name in settings.specs(ObjectSettings):
            if name != "name":
                setattr(self, name, getattr(told, name))


def style_items(_self: Any, _context: bpy.types.Context | None) -> list[tuple[str, str, str, str | int, int]]:
    """Return the styles to pick by their picture, the artist's own words first."""
    return _style_items


_style_items: list[tuple[str, str, str, str | int, int]] = []  # Blender keeps no strings of its own: these must stay
_pictures: Any = None


def _load_styles() -> None:
    global _pictures  # noqa: PLW0603 - icons live as long as Tempera is switched on
    _pictures = bpy.utils.previews.new()
    _style_items[:] = [("OWN", "Own Words", "The prompt is in your own words", "GREASEPENCIL", 0)]
    for number, style in enumerate(STYLES, 1):
        picture = _pictures.load(style.identifier, str(THUMBNAILS / f"{style.identifier}.png"), "IMAGE")
        _style_items.append((style.identifier, style.label, style.form.format("..."), picture.icon_id, number))


class TEMPERA_PG_scene(bpy.types.PropertyGroup):
    """All that Tempera keeps in a scene."""

    def _style(self) -> int:
        worn = style_of(self.diffusion.prompt)
        return STYLES.index(worn) + 1 if worn else 0

    def _wear(self, number: int) -> None:
        if number == 0:
            return
        self.diffusion.prompt = restyled(self.diffusion.prompt, STYLES[number - 1])
        if not self.diffusion.model:
            for name, value in STARTER.items():
                setattr(self.diffusion, name, value)

    __annotations__ = {
        **definitions(Settings),
        **{layer: PointerProperty(type=group) for layer, group in LAYER_GROUPS.items()},
        "style": EnumProperty(
            name="Style",
            description="A style to ask for; what the prompt is about stays",
            items=style_items,
            get=_style,
            set=_wear,
            options=set(),
        ),
        "keys": CollectionProperty(type=TEMPERA_PG_key, name="Key Frames"),
        "objects": CollectionProperty(type=TEMPERA_PG_object, name="Objects"),
        "active_object": IntProperty(name="Object", description="The entry whose details are shown", options=set()),
        "folder": StringProperty(
            name="Folder",
            description="Where new jobs of this scene go; empty for the jobs folder of the preferences",
            subtype="DIR_PATH",
            options=PATH_OPTIONS,
        ),
        "last_job": StringProperty(name="Last Job", description="Folder of the scene's last job", subtype="DIR_PATH"),
    }

    def settings(self) -> Settings:
        """Return the settings as the worker takes them, with paths made absolute; UserError when one is wrong."""
        told = [entry.told() for entry in self.objects if entry.chosen]
        common = plain(dict.fromkeys(settings.specs(Settings), self))
        return settings.from_keywords(**common, **plain(self.homes), objects=told)

    @property
    def group(self) -> type[Group]:
        """The settings dataclass of the chosen method."""
        return settings.groups()[self.method]

    @property
    def homes(self) -> dict[str, bpy.types.PropertyGroup]:
        """Where each setting of the chosen method is kept: what methods share is kept once for all of them."""
        return {name: getattr(self, settings.layer_name(home)) for name, home in settings.homes(self.group).items()}

    def evaluations(self, frames: int) -> int:
        """Return about how many network evaluations ``frames`` take as the panel is set."""
        return self.settings().evaluations(frames)

    def take(self, run: Settings) -> None:
        """Show the settings ``run`` in the panel."""
        for name in settings.specs(Settings):
            setattr(self, name, getattr(run, name))
        for name, home in self.homes.items():
            setattr(home, name, getattr(run.chosen, name))
        self.objects.clear()
        for told in run.objects:
            self.objects.add().take(told)

    def key_paths(self) -> dict[int, Path]:
        """Return ``{frame: path}`` of the artist's key frames, paths made absolute."""
        return {key.frame: Path(absolute(key.filepath)) for key in self.keys}

    def render_problems(self) -> list[Problem]:
        """Return what keeps the scene's frame range from being stylized; opens no file."""
        scene = self.id_data
        found = self._problems([range(scene.frame_start, scene.frame_end + 1, scene.frame_step)])
        if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
            found.append(Problem("The scene has no camera. Add one.", "run", "tempera.add_camera"))
        return found

    def strip_problems(self, spans: Sequence[range]) -> list[Problem]:
        """Return what keeps strips with these ``spans`` of frames from being stylized; opens no file."""
        if not spans:
            return [Problem("No strip is selected. Select one that has pictures.", "run")]
        return self._problems(spans)

    def _problems(self, spans: Sequence[range]) -> list[Problem]:
        missing = worker_problem(preferences().worker_python)
        found = [Problem(missing, "backend", "preferences.addon_show", (("module", PACKAGE),))] if missing else []
        if linked := linked_problem(self.id_data):
            found.append(Problem(linked, "run"))
        if self.method == "exemplar":
            keys = {key.frame for key in self.keys}
            unpainted = next(filter(None, (key_problem(span, keys) for span in spans)), "")
            if unpainted:
                found.append(Problem(unpainted, "style", "tempera.add_key"))
        return found + self._lost_files()

    def _lost_files(self) -> list[Problem]:
        """Return which files and folders that count are not there."""
        found = []
        for name, home in self.counting().items():
            seen, path = home.bl_rna.properties[name], getattr(home, name)
            if seen.type != "STRING" or seen.subtype not in PATHS or not path:
                continue
            # Path.exists would raise where a name is too long, or a folder may not be looked into.
            if not os.path.exists(absolute(path)):  # noqa: PTH110
                section = settings.specs(self.group)[name][2].section
                button = "tempera.choose_model" if name in CHOSEN_AMONG_MODELS else ""
                place = "style" if section == "style" else "method"
                found.append(Problem(f"{seen.name}: {path} is not there. Choose another.", place, button))
        return found

    def counting(self) -> dict[str, bpy.types.PropertyGroup]:
        """Return those of ``homes`` whose settings count as the others are set."""
        homes, specs = self.homes, settings.specs(self.group)

        def met(needs: tuple[str, ...]) -> bool:
            name, *values = needs
            value = getattr(homes[name], name)
            return value in values if values else bool(value)

        return {name: home for name, home in homes.items() if not specs[name][2].needs or met(specs[name][2].needs)}


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


def plain(homes: Mapping[str, bpy.types.PropertyGroup]) -> dict[str, Any]:
    """Return the values of settings, by their names, from where each is kept, as their dataclass takes them."""
    values = {}
    for name, home in homes.items():
        value, seen = getattr(home, name), home.bl_rna.properties[name]
        if seen.type == "STRING" and seen.subtype in PATHS:
            value = absolute(value)
        elif seen.type == "FLOAT":
            value = float(f"{value:.7g}")  # Blender keeps 32 bits: 0.6 comes back as 0.6000000238
        values[name] = value
    return values


def key_problem(frames: Iterable[int], keys: Iterable[int]) -> str:
    """Return what is wrong with the frames of the ``keys`` for a shot of these ``frames``, "" when nothing is."""
    if set(frames).isdisjoint(keys):
        return "There is no key frame in the shot. Paint over one of its frames and add it."
    return ""


def linked_problem(scene: bpy.types.Scene) -> str:
    """Return why a strip put into ``scene`` would be lost, "" when it would not."""
    if scene.library is None:
        return ""
    home = Path(scene.library.filepath.replace("\\", "/")).name
    return (
        f"{scene.name} is linked from {home}, and a strip in it could not be saved here. "
        "Open that file, or add the scene as a strip to a scene of this file."
    )


classes = (
    *LAYER_GROUPS.values(),
    TEMPERA_PG_key,
    TEMPERA_PG_object,
    TEMPERA_PG_scene,
    TEMPERA_PG_listed,
    TEMPERA_PG_window,
)


def register() -> None:
    """Make the properties known to Blender."""
    _load_styles()
    for cls in classes:
        bpy.utils.register_class(cls)
    bpy.types.Scene.tempera = PointerProperty(type=TEMPERA_PG_scene)
    bpy.types.WindowManager.tempera = PointerProperty(type=TEMPERA_PG_window)


def unregister() -> None:
    """Take the properties away; their values stay in the file."""
    del bpy.types.WindowManager.tempera
    del bpy.types.Scene.tempera
    for cls in reversed(classes):
        bpy.utils.unregister_class(cls)
    bpy.utils.previews.remove(_pictures)
