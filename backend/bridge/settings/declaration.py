"""How a setting is declared: its type, default, range, unit and one sentence of help; and how a value is checked."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_type_hints

from ..errors import UserError


@dataclass(frozen=True)
class Spec:
    """What is known of a setting beside its type and default.

    ``low`` and ``high`` are inclusive limits in the setting's unit; ``soft_low`` and ``soft_high`` bound a slider.
    ``choices`` are ``(identifier, label, help)``. ``subtype`` is "" or one of "FILE_PATH", "DIR_PATH", "FACTOR".
    ``section`` says in which of SECTIONS it is shown; "" is with the method itself. It is shown only where ``needs``
    holds: the name of another setting, which must be set, or have one of the values that follow the name.
    ``over_time`` says that it may change from frame to frame (see ``Settings.over_time``).
    """

    help: str
    label: str
    low: float | None = None
    high: float | None = None
    soft_low: float | None = None
    soft_high: float | None = None
    unit: str = ""
    choices: tuple[tuple[str, str, str], ...] = ()
    subtype: str = ""
    section: str = ""
    needs: tuple[str, ...] = ()
    over_time: bool = False


SECTIONS = ("style", "motion", "", "advanced", "model", "control", "sampling")
"""Where panels show settings: those of the look first, then of motion, of the method itself, and what is folded."""


def setting(default: Any, label: str, help: str, **spec: Any) -> Any:
    """Declare a dataclass field with its default, its label, one sentence of help and the other parts of a Spec."""
    return field(default=default, metadata={"spec": Spec(help=help, label=label, **spec)})


class Group:
    """Base of the settings dataclasses: checks every value once, when an instance is made.

    ``joins`` says of a method that a frame also depends on the others of its shot.
    """

    joins: ClassVar[bool] = False

    def evaluations(self, _frames: int) -> int:
        """Return about how many network evaluations a shot of so many frames takes; 0 where no network is used."""
        return 0

    def __post_init__(self) -> None:
        """Check types, ranges and choices; raise UserError naming the first setting that is wrong."""
        hints = get_type_hints(type(self))
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            spec = item.metadata.get("spec")
            if spec is not None:
                value = checked(item.name, getattr(self, item.name), hints[item.name], spec)
                object.__setattr__(self, item.name, value)


def checked(name: str, given: Any, kind: Any, spec: Spec) -> Any:
    """Return ``given`` as ``kind`` (an int is taken for a float); UserError where the setting cannot be that."""
    value: Any = float(given) if kind is float and type(given) is int else given
    if type(value) is not kind:
        raise UserError(f"{name} is {value!r}, which is not {_NOUNS[kind]}. Give it {_NOUNS[kind]}.")
    if spec.choices and value not in [choice[0] for choice in spec.choices]:
        known = ", ".join(choice[0] for choice in spec.choices)
        raise UserError(f"{name} is {value!r}, which Tempera does not know. Choose one of: {known}.")
    # Written so that NaN, which compares false with everything, is refused too.
    if spec.low is not None and not value >= spec.low:
        raise UserError(f"{name} is {value}, below its smallest value {spec.low}. Raise it.")
    if spec.high is not None and not value <= spec.high:
        raise UserError(f"{name} is {value}, above its largest value {spec.high}. Lower it.")
    return value


_NOUNS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
