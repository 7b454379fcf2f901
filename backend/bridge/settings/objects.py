"""The settings of single objects, or of all objects of a collection."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import UserError
from .declaration import Group, setting


@dataclass(frozen=True)
class ObjectSettings(Group):
    """What one object, or all of a collection, is told beside what the shot is told.

    ``members`` are the names of the objects that are meant, as the renderer knows them; empty for the object ``name``
    alone. Blender fills it in when a job is made.
    """

    name: str = setting("", "Object", "The name of an object, or of a collection")
    keep: bool = setting(False, "Leave Alone", "Show the object as it was rendered")
    prompt: str = setting("", "Prompt", "What the object should look like; empty: as the whole picture")
    negative_prompt: str = setting("", "Negative Prompt", "What it should not look like; empty: as the whole picture")
    strength: float = setting(
        1.0, "Strength", "Times the strength of the whole picture: 0 keeps the render, 1 is as the rest",
        low=0.0, high=10.0, soft_high=2.0,
    )
    seed: int = setting(
        0, "Seed", "Another seed gives the object another look; 0 is the shot's own", low=0, high=2**31 - 1,
    )
    members: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The objects that are meant."""
        return frozenset(self.members or (self.name,))

    @property
    def kept(self) -> bool:
        """Whether the object stays as it was rendered."""
        return self.keep or self.strength == 0

    @property
    def spoken(self) -> bool:
        """Whether the object is painted from words of its own."""
        return not self.kept and bool(self.prompt or self.negative_prompt)

    def __post_init__(self) -> None:
        """Check the values; UserError where no object is named."""
        super().__post_init__()
        if not self.name:
            raise UserError("An entry of the list of objects names no object. Choose one, or remove the entry.")
        object.__setattr__(self, "members", tuple(map(str, self.members)))


KEYWORDS = tuple(item.name for item in dataclasses.fields(ObjectSettings))


def told(given: Any) -> tuple[ObjectSettings, ...]:
    """Return what objects are told from a list of settings or of mappings of their names to values; else UserError."""
    plain = given if isinstance(given, Sequence) and not isinstance(given, str) else [None]
    entries = []
    for each in plain:
        if not isinstance(each, ObjectSettings | Mapping) or (isinstance(each, Mapping) and set(each) - set(KEYWORDS)):
            raise UserError(f"Objects are given as a list of mappings, each with some of: {', '.join(KEYWORDS)}.")
        entries.append(each if isinstance(each, ObjectSettings) else ObjectSettings(**each))
    return tuple(entries)
