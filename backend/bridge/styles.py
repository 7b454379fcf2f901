"""The styles that the starter model knows, as prompts that an artist can pick by their picture."""

from __future__ import annotations

from dataclasses import dataclass

SUBJECT = "the scene"  # what a prompt is about that names nothing
STARTER = {"steps": 12, "guidance": 2.0, "strength": 0.9}  # settings that the starter paints well with


@dataclass(frozen=True)
class Style:
    """A style: its identifier, its label, and its prompt, in which {} stands for what the picture shows."""

    identifier: str
    label: str
    form: str

    def subject(self, prompt: str) -> str | None:
        """Return what ``prompt`` is about when it asks for this style, None when it does not."""
        before, after = self.form.split("{}")
        if prompt.startswith(before) and prompt.endswith(after) and len(prompt) > len(before) + len(after):
            return prompt[len(before) : len(prompt) - len(after)]
        return None


STYLES = (
    Style("oil", "Oil", "an oil painting of {}"),
    Style("impasto", "Impasto", "an impasto painting of {}"),
    Style("watercolour", "Watercolour", "a watercolour of {}"),
    Style("pencil", "Pencil", "a pencil drawing of {}"),
    Style("ink", "Ink", "an ink and cel drawing of {}"),
    Style("pointillism", "Pointillism", "a pointillist painting of {}"),
    Style("charcoal", "Charcoal", "a charcoal drawing of {}"),
    Style("paper_cut", "Paper Cut", "a paper cut of {}"),
)


def style_of(prompt: str) -> Style | None:
    """Return the style that ``prompt`` asks for, None when it is in the artist's own words."""
    return next((style for style in STYLES if style.subject(prompt) is not None), None)


def restyled(prompt: str, style: Style) -> str:
    """Return ``prompt`` in another style: what it is about stays."""
    worn = style_of(prompt)
    subject = worn.subject(prompt) if worn else prompt.strip()
    return style.form.format(subject or SUBJECT)
