"""Properties made from the declarations in the bridge, and their values as those declare them."""

from collections.abc import Mapping
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

from ..backend.bridge import settings
from ..backend.bridge.settings.declaration import Group, Spec
from ..preferences import absolute

# Blender 4.5 made paths that begin with // opt-in.
PATH_OPTIONS = {"PATH_SUPPORTS_BLEND_RELATIVE"} if bpy.app.version >= (4, 5, 0) else set()
_LIMITS = {"low": "min", "high": "max", "soft_low": "soft_min", "soft_high": "soft_max"}
PATHS = {"DIR_PATH", "FILE_PATH"}
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
