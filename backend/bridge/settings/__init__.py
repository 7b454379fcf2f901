"""Every setting of Tempera, declared once.

A declaration gives a setting its type, default, range, unit and one sentence of help. Blender's properties and panels,
the keywords of ``tempera.stylize``, the command line and ``job.json`` are all read from it. Each method's settings are
a file of their own.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from ..errors import UserError
from .declaration import Group, Spec, checked, setting
from .deflicker import DeflickerSettings
from .diffsynth import DiffsynthSettings
from .exemplar import ExemplarSettings
from .framewise import FramewiseSettings
from .objects import ObjectSettings, told
from .rerender import RerenderSettings
from .synchronized import SynchronizedSettings
from .tokenflow import TokenFlowSettings

METHODS = (
    ("exemplar", "Painted Keys", "Carry your own painted key frames through the shot; needs no model"),
    ("framewise", "Frame by Frame", "Every frame alone through a diffusion model; flickers, the baseline"),
    ("synchronized", "Synchronized", "All frames of a window agree while they form: most alike, any model"),
    ("rerender", "Rerender", "Few key frames that agree, carried to all others: fastest, for shots that change slowly"),
    ("tokenflow", "TokenFlow", "Key frames edited together, their features carried to all others: keeps the layout"),
    ("diffsynth", "DiffSynth", "All frames side by side, deflickered on the way: soft changes over long shots"),
    ("deflicker", "Deflicker", "Take the flicker out of frames that are stylized already; needs no model"),
)


@dataclass(frozen=True)
class Settings(Group):
    """All that a run is told. ``Settings(method="exemplar").chosen`` is the settings group of its method.

    ``objects`` are told something of their own; where two entries mean the same object, the later one counts.
    ``over_time`` holds, for some frames, the values of those of the method's settings that differ there.
    """

    method: str = setting("exemplar", "Method", "How the shot is styled", choices=METHODS)
    seed: int = setting(0, "Seed", "The same seed gives the same picture", low=0, high=2**31 - 1)
    exr: bool = setting(
        False, "OpenEXR Too", "Also write every frame as OpenEXR, scene-linear and 16-bit float, for compositing"
    )
    exemplar: ExemplarSettings = field(default_factory=ExemplarSettings)
    framewise: FramewiseSettings = field(default_factory=FramewiseSettings)
    synchronized: SynchronizedSettings = field(default_factory=SynchronizedSettings)
    rerender: RerenderSettings = field(default_factory=RerenderSettings)
    tokenflow: TokenFlowSettings = field(default_factory=TokenFlowSettings)
    diffsynth: DiffsynthSettings = field(default_factory=DiffsynthSettings)
    deflicker: DeflickerSettings = field(default_factory=DeflickerSettings)
    objects: tuple[ObjectSettings, ...] = ()
    over_time: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check all values; UserError naming the first that is wrong, and the frame where it is."""
        super().__post_init__()
        object.__setattr__(self, "objects", told(self.objects))
        object.__setattr__(self, "over_time", _baked(self.over_time, self.method))

    @property
    def chosen(self) -> Group:
        """The settings group of the chosen method."""
        return getattr(self, self.method)

    def evaluations(self, frames: int) -> int:
        """Return about how many evaluations a shot of so many frames takes: objects with words of their own take more.

        One more for each, and another where it has a negative prompt of its own and there is guidance. What changes
        over time counts as at the frame that asks for most: there is guidance for all frames or none.
        """
        most = {
            name: max(getattr(self.chosen, name), *(values.get(name, 0.0) for values in self.over_time.values()))
            for name in ("guidance", "strength")
            if self.over_time and hasattr(self.chosen, name)
        }
        chosen = dataclasses.replace(self.chosen, **most)  # type: ignore[type-var]
        alone = chosen.evaluations(frames)
        guided = getattr(chosen, "guidance", 1.0) > 1.0
        spoken = [each for each in self.objects if each.spoken]
        more = len(spoken) + guided * sum(bool(each.negative_prompt) for each in spoken)
        return alone + alone * more // (1 + guided)

    def at(self, frame: int) -> Settings:
        """Return the settings as they are at ``frame``."""
        chosen = dataclasses.replace(self.chosen, **self.over_time.get(frame, {}))  # type: ignore[type-var]
        parts: dict[str, Any] = {self.method: chosen, "over_time": {}}
        return dataclasses.replace(self, **parts)


def _baked(given: Any, method: str) -> dict[int, dict[str, Any]]:
    """Return ``{frame: {name: value}}`` with every value checked; UserError where one is wrong, or may not change."""
    try:
        frames = {int(frame): dict(values) for frame, values in dict(given).items()}
    except (TypeError, ValueError) as error:
        raise UserError("What changes over time is given as {frame: {setting: value}}, frames as numbers.") from error
    known = {name: each for name, each in specs(groups()[method]).items() if each[2].over_time}
    for frame, values in frames.items():
        for name, value in values.items():
            if name not in known:
                changing = ", ".join(known) or "none"
                raise UserError(f"{name} cannot change over time. Of the method {method} these can: {changing}.")
            kind, _, spec = known[name]
            values[name] = checked(f"{name} at frame {frame}", value, kind, spec)
    return frames


_remembered: Any = functools.cache  # its type refuses classes as arguments whose instances have no hash


@functools.cache
def groups() -> dict[str, type[Group]]:
    """Return the settings dataclass of every method, by the method's identifier."""
    hints = get_type_hints(Settings)
    return {identifier: hints[identifier] for identifier, _, _ in METHODS}


@_remembered
def specs(group: type[Group]) -> dict[str, tuple[type, Any, Spec]]:
    """Return ``{name: (type, default, Spec)}`` of a settings dataclass, in the order of declaration."""
    hints = get_type_hints(group)
    return {
        item.name: (hints[item.name], item.default, item.metadata["spec"])
        for item in dataclasses.fields(group)  # type: ignore[arg-type]
        if "spec" in item.metadata
    }


@_remembered
def homes(group: type[Group]) -> dict[str, type[Group]]:
    """Return the class that declares each setting of ``group``, the group itself or one of its bases.

    What methods inherit from the same base, such as the prompt, is one setting to the artist who changes the method.
    """
    layers = [layer for layer in group.__mro__ if issubclass(layer, Group)]
    return {name: next(each for each in layers if name in inspect.get_annotations(each)) for name in specs(group)}


def layer_name(layer: type[Group]) -> str:
    """Return the identifier of a settings dataclass: "diffusion" of DiffusionSettings."""
    return layer.__name__.removesuffix("Settings").lower()


def from_keywords(method: str, **keywords: Any) -> Settings:
    """Return Settings from a method's name and flat keywords, as ``tempera.stylize`` and the command line take them.

    A keyword is either common to all methods (``seed``, ``objects``, ``over_time``) or belongs to ``method``; UserError
    for any other.
    """
    Settings(method=method)  # an unknown method is refused before its keywords are
    common = set(specs(Settings))
    own = set(specs(groups()[method]))
    unknown = sorted(set(keywords) - common - own - {"objects", "over_time"})
    if unknown:
        known = ", ".join(sorted(own | common))
        raise UserError(f"The method {method} has no setting {unknown[0]!r}. It has: {known}.")
    parts: dict[str, Any] = {name: value for name, value in keywords.items() if name not in own}
    parts[method] = groups()[method](**{name: value for name, value in keywords.items() if name in own})
    return Settings(method=method, **parts)


def to_json(settings: Settings) -> dict[str, Any]:
    """Return the common settings and those of the chosen method as plain JSON values."""
    plain = {name: getattr(settings, name) for name in specs(Settings)}
    plain[settings.method] = dataclasses.asdict(settings.chosen)  # type: ignore[call-overload]
    if settings.objects:
        plain["objects"] = [dataclasses.asdict(each) | {"members": list(each.members)} for each in settings.objects]
    if settings.over_time:
        plain["over_time"] = {str(frame): dict(values) for frame, values in settings.over_time.items()}
    return plain


def from_json(plain: Any) -> Settings:
    """Return the Settings that :func:`to_json` wrote; UserError where a value is missing its meaning."""
    if not isinstance(plain, dict) or not isinstance(plain.get("method"), str):
        raise UserError("The job's settings name no method. Make the job again from Blender.")
    flat = {name: value for name, value in plain.items() if name not in ("method", plain["method"])}
    own = plain.get(plain["method"], {})
    if not isinstance(own, dict):
        raise UserError(f"The job's settings for {plain['method']} cannot be read. Make the job again from Blender.")
    return from_keywords(plain["method"], **flat, **own)
