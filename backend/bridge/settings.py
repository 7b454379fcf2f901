"""Every setting of Tempera, declared once.

A declaration gives a setting its type, default, range, unit and one sentence of help. Blender's properties and panels,
the keywords of ``tempera.stylize``, the command line and ``job.json`` are all read from it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from .errors import UserError


@dataclass(frozen=True)
class Spec:
    """What is known of a setting beside its type and default.

    ``low`` and ``high`` are inclusive limits in the setting's unit; ``soft_low`` and ``soft_high`` bound a slider.
    ``choices`` are ``(identifier, label, help)``. ``subtype`` is "" or one of "FILE_PATH", "DIR_PATH", "FACTOR".
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


def setting(default: Any, label: str, help: str, **spec: Any) -> Any:
    """Declare a dataclass field with its default, its label, one sentence of help and the other parts of a Spec."""
    return field(default=default, metadata={"spec": Spec(help=help, label=label, **spec)})


class Group:
    """Base of the settings dataclasses: checks every value once, when an instance is made."""

    def __post_init__(self) -> None:
        """Check types, ranges and choices; raise UserError naming the first setting that is wrong."""
        hints = get_type_hints(type(self))
        for item in dataclasses.fields(self):  # type: ignore[arg-type]
            spec = item.metadata.get("spec")
            if spec is not None:
                value = _checked(item.name, getattr(self, item.name), hints[item.name], spec)
                object.__setattr__(self, item.name, value)


def _checked(name: str, given: Any, kind: Any, spec: Spec) -> Any:
    """Return ``given`` as ``kind`` (an int is taken for a float), or raise UserError."""
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


CONTROLS = (
    ("depth", "Depth", "Distance from the camera, one range for the whole shot"),
    ("normal", "Normal", "Surface direction seen from the camera"),
    ("lines", "Lines", "Edges of depth, normals and objects; of the picture where there is no render data"),
    ("softedge", "Soft Edges", "The same edges, drawn soft"),
    ("edges", "Picture Edges", "Edges of the picture itself, as Canny finds them"),
    ("tile", "Tile", "The picture itself"),
)


@dataclass(frozen=True)
class DiffusionSettings(Group):
    """What every method that runs a diffusion model is told."""

    model: str = setting(
        "", "Model", "Folder of a diffusers model, or a single .safetensors file; Stable Diffusion 1.5, 2.1, XL or 3",
        subtype="DIR_PATH",
    )
    base_model: str = setting(
        "", "Base", "For a model in a single file: folder of any diffusers model of the same family", subtype="DIR_PATH"
    )
    controlnet: str = setting(
        "", "ControlNet", "Folder of a ControlNet that fits the model; empty for none", subtype="DIR_PATH"
    )
    control: str = setting("depth", "Control", "What guides the ControlNet", choices=CONTROLS)
    control_scale: float = setting(
        1.0, "Control Weight", "How strictly the picture follows the control image", low=0.0, high=4.0, soft_high=2.0
    )
    controlnet_2: str = setting(
        "", "Second ControlNet", "Folder of another ControlNet; empty for none", subtype="DIR_PATH"
    )
    control_2: str = setting("lines", "Second Control", "What guides the second ControlNet", choices=CONTROLS)
    control_scale_2: float = setting(
        1.0, "Second Weight", "How strictly the picture follows the second control image",
        low=0.0, high=4.0, soft_high=2.0,
    )
    lora: str = setting("", "LoRA", "A LoRA file that fits the model; empty for none", subtype="FILE_PATH")
    lora_scale: float = setting(
        1.0, "LoRA Weight", "How much of the LoRA is added to the model",
        low=-4.0, high=4.0, soft_low=0.0, soft_high=1.5,
    )
    style_adapter: str = setting(
        "", "Style Adapter", "An IP-Adapter file with its image_encoder folder beside it; empty for none",
        subtype="FILE_PATH",
    )
    style_image: str = setting("", "Style Image", "The picture that the style adapter looks at", subtype="FILE_PATH")
    style_scale: float = setting(
        0.6, "Style Weight", "How much the style image counts beside the prompt", low=0.0, high=2.0, soft_high=1.0
    )
    prompt: str = setting("", "Prompt", "What the picture should look like, in words")
    negative_prompt: str = setting("", "Negative Prompt", "What the picture should not look like, in words")
    sampler: str = setting(
        "auto", "Sampler", "The way from noise to the picture",
        choices=(
            ("auto", "Automatic", "The one that the model was made for"),
            ("ddim", "DDIM", "Deterministic; the papers' choice"),
            ("euler", "Euler", "Deterministic, first order"),
            ("dpm++", "DPM++ 2M", "Deterministic, second order: good at 15 to 25 steps"),
            ("unipc", "UniPC", "Deterministic, second order: good at 10 to 20 steps"),
            ("lcm", "LCM", "For models and LoRAs distilled to 4 to 8 steps"),
        ),
    )
    steps: int = setting(20, "Steps", "Denoising steps: more is slower and cleaner", low=1, high=1000, soft_high=50)
    guidance: float = setting(
        7.5, "Guidance", "How strictly the picture follows the prompt (classifier-free guidance scale)",
        low=0.0, high=50.0, soft_low=1.0, soft_high=15.0,
    )
    strength: float = setting(
        0.6, "Strength", "How far the picture may leave the render: 0 returns the render, 1 starts from noise",
        low=0.0, high=1.0, subtype="FACTOR",
    )

    @property
    def controls(self) -> tuple[tuple[str, str, float], ...]:
        """The ControlNets in use: what each wants to see, its folder, its weight."""
        slots = (
            (self.control, self.controlnet, self.control_scale),
            (self.control_2, self.controlnet_2, self.control_scale_2),
        )
        return tuple(slot for slot in slots if slot[1])


@dataclass(frozen=True)
class FramewiseSettings(DiffusionSettings):
    """Each frame alone through a diffusion model: the flickering baseline."""

    noise: str = setting(
        "fresh", "Noise", "Which noise each frame starts from",
        choices=(
            ("fresh", "Fresh", "New noise for every frame: every frame differs"),
            ("shared", "Shared", "The same noise in every frame: steadier, but it sticks to the screen"),
            ("anchored", "Anchored", "Noise that sticks to the surfaces; needs render data"),
        ),
    )


METHODS = (
    ("exemplar", "Painted Keys", "Carry your own painted key frames through the shot; needs no model"),
    ("framewise", "Frame by Frame", "Every frame alone through a diffusion model; flickers, the baseline"),
)


@dataclass(frozen=True)
class Settings(Group):
    """All that a run is told. ``Settings(method="exemplar").chosen`` is the settings group of its method."""

    method: str = setting("exemplar", "Method", "How the shot is styled", choices=METHODS)
    seed: int = setting(0, "Seed", "The same seed gives the same picture", low=0, high=2**31 - 1)
    exemplar: ExemplarSettings = field(default_factory=ExemplarSettings)
    framewise: FramewiseSettings = field(default_factory=FramewiseSettings)

    @property
    def chosen(self) -> Group:
        """The settings group of the chosen method."""
        return getattr(self, self.method)


def groups() -> dict[str, type[Group]]:
    """Return the settings dataclass of every method, by the method's identifier."""
    hints = get_type_hints(Settings)
    return {identifier: hints[identifier] for identifier, _, _ in METHODS}


def specs(group: type[Group]) -> dict[str, tuple[type, Any, Spec]]:
    """Return ``{name: (type, default, Spec)}`` of a settings dataclass, in the order of declaration."""
    hints = get_type_hints(group)
    return {
        item.name: (hints[item.name], item.default, item.metadata["spec"])
        for item in dataclasses.fields(group)  # type: ignore[arg-type]
        if "spec" in item.metadata
    }


def from_keywords(method: str, **keywords: Any) -> Settings:
    """Return Settings from a method's name and flat keywords, as ``tempera.stylize`` and the command line take them.

    A keyword is either common to all methods (``seed``) or belongs to ``method``; UserError for any other.
    """
    Settings(method=method)  # an unknown method is refused before its keywords are
    common = set(specs(Settings))
    own = set(specs(groups()[method]))
    unknown = sorted(set(keywords) - common - own)
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
