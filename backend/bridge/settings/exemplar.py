"""The settings of the painted keys."""

from __future__ import annotations

from dataclasses import dataclass

from .declaration import Group, setting


@dataclass(frozen=True)
class ExemplarSettings(Group):
    """Key frames painted by the artist, carried through the shot along exact motion."""

    patch_size: int = setting(
        5, "Patch Size", "Side of the patches that fill what no key frame shows; larger keeps bigger strokes whole",
        low=3, high=15, soft_high=9, unit="px",
    )
    overflow: float = setting(
        1.0, "Stroke Overflow", "How far your strokes stray over the outlines of things, in percent of the width",
        low=0.0, high=10.0, soft_high=3.0, unit="%",
    )
    light_follow: float = setting(
        1.0, "Follow Light", "How far the painted colours follow light and shadows that move between the frames",
        low=0.0, high=1.0, subtype="FACTOR",
    )
