"""The settings of what carries key frames to the frames between them."""

from __future__ import annotations

from dataclasses import dataclass

from .declaration import Group, setting


@dataclass(frozen=True)
class PropagationSettings(Group):
    """What methods that stylise key frames and carry them to all others are told beside."""

    gradient_blend: bool = setting(
        True,
        "Blend Gradients",
        "Join the key frames by their gradients, so that no seam shows where one ends",
        section="advanced",
    )
