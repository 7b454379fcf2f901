"""The methods. Each file holds one, written as a generator that yields :class:`Step` and :class:`FrameDone`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Step:
    """A method has done ``done`` of ``total`` equal pieces of work; ``note`` says in a few words at what it is."""

    done: int
    total: int
    note: str


@dataclass(frozen=True)
class FrameDone:
    """A finished frame: ``image`` is ``(H, W, 3)`` float32, display-referred sRGB in [0, 1]."""

    frame: int
    image: np.ndarray
