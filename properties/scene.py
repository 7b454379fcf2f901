"""What the artist sets in a file, kept on its scenes."""

from pathlib import Path
from typing import Any

import bpy
import bpy.utils.previews
import imbuf
from bpy.props import CollectionProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

from ..backend.bridge import settings
from ..backend.bridge.settings import Settings
from ..backend.bridge.settings.declaration import Group
from ..backend.bridge.styles import STARTER, STYLES, restyled, style_of
from ..preferences import absolute
from .declared import LAYER_GROUPS, PATH_OPTIONS, definitions, plain
from .objects import TEMPERA_PG_object
from .problems import HasProblems

THUMBNAILS = Path(__file__).parents[1] / "panels" / "thumbnails"


class TEMPERA_PG_key(bpy.types.PropertyGroup):
    """A frame that the artist painted."""

    frame: IntProperty(name="Frame", description="The frame that this picture was painted over", options=set())
    filepath: StringProperty(
        name="Picture",
        description="The painted frame, a PNG of the render's size",
        subtype="FILE_PATH",
        options=PATH_OPTIONS,
    )


def style_items(_self: Any, _context: bpy.types.Context | None) -> list[tuple[str, str, str, str | int, int]]:
    """Return the styles to pick by their picture, the artist's own words first."""
    return _style_items


_style_items: list[tuple[str, str, str, str | int, int]] = []  # Blender keeps no strings of its own: these must stay
_pictures: Any = None


def load_styles() -> None:
    """Load the pictures of the styles.

    One is read at once: Blender's image library sets itself up at the first picture of all, which takes longer than a
    tick may.
    """
    global _pictures  # noqa: PLW0603 - icons live as long as Tempera is switched on
    _pictures = bpy.utils.previews.new()
    _style_items[:] = [("OWN", "Own Words", "The prompt is in your own words", "GREASEPENCIL", 0)]
    for number, style in enumerate(STYLES, 1):
        picture = _pictures.load(style.identifier, str(THUMBNAILS / f"{style.identifier}.png"), "IMAGE")
        _style_items.append((style.identifier, style.label, style.form.format("..."), picture.icon_id, number))
    imbuf.load(str(THUMBNAILS / f"{STYLES[0].identifier}.png")).free()


def drop_styles() -> None:
    """Let go of the pictures of the styles."""
    bpy.utils.previews.remove(_pictures)


class TEMPERA_PG_scene(HasProblems, bpy.types.PropertyGroup):
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

    def counting(self) -> dict[str, bpy.types.PropertyGroup]:
        """Return those of ``homes`` whose settings count as the others are set."""
        homes, specs = self.homes, settings.specs(self.group)

        def met(needs: tuple[str, ...]) -> bool:
            name, *values = needs
            value = getattr(homes[name], name)
            return value in values if values else bool(value)

        return {name: home for name, home in homes.items() if not specs[name][2].needs or met(specs[name][2].needs)}
