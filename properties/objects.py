"""What single objects, or all of a collection, are told."""

import bpy
from bpy.props import EnumProperty, PointerProperty

from ..backend.bridge import settings
from ..backend.bridge.errors import UserError
from ..backend.bridge.settings.objects import ObjectSettings
from .declared import definitions, plain

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
