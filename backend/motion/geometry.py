"""What the data render knows of one shot: per-pixel passes, cameras and objects.

All arrays are row-major with row 0 at the top; a pixel's centre is at its integer coordinates. World space is
Blender's (right-handed, z up), lengths in scene units, matrices act on column vectors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np


@dataclass(frozen=True)
class DataLayer:
    """The passes of one frame, float32 unless said otherwise; all finite except ``vector``.

    ``depth`` ``(H, W)`` is the distance along the view axis (1e10 on the sky); ``normal`` and ``position``
    ``(H, W, 3)`` are in world space; ``vector`` ``(H, W, 4)`` is Blender's Vector pass, NaN where no motion is known;
    ``uv`` ``(H, W, 2)``; ``generated`` and ``rest`` ``(H, W, 3)`` are the surface address; ``random`` ``(H, W)`` is
    Object Info's Random in [0, 1]; ``index`` ``(H, W)`` int32 is the pass index, 0 on the sky. ``surface`` ``(H, W)``
    bool is true on geometry seen as exactly one opaque layer, ``sky`` ``(H, W)`` bool where there is no geometry at
    all. ``addressed`` says whether the file held the surface address (shots of older captures do not).
    """

    depth: np.ndarray
    normal: np.ndarray
    vector: np.ndarray
    position: np.ndarray
    uv: np.ndarray
    generated: np.ndarray
    rest: np.ndarray
    random: np.ndarray
    index: np.ndarray
    surface: np.ndarray
    sky: np.ndarray
    addressed: bool = True


@dataclass(frozen=True)
class Camera:
    """The camera of one frame.

    ``matrix_world`` and ``projection`` are ``(4, 4)`` float64; ``projection`` is Blender's
    ``Object.calc_matrix_camera`` (OpenGL clip space, with sensor shift and pixel aspect);
    ``kind`` is ``"PERSP"``, ``"ORTHO"`` or ``"PANO"``.
    """

    name: str
    kind: str
    matrix_world: np.ndarray
    projection: np.ndarray
    clip_end: float = 1000.0

    @cached_property
    def clip(self) -> np.ndarray:
        """World to clip space, ``(4, 4)``."""
        return self.projection @ np.linalg.inv(self.matrix_world)


@dataclass(frozen=True)
class SceneObject:
    """One rendered object or instance; its ``matrices`` row is its place in the shot's list.

    ``random`` is its Object Info Random, ``index`` its pass index; ``rigid`` means that its matrix alone moves it;
    ``topology`` is ``"constant"`` or ``"changes"``.
    """

    name: str
    instance: str
    random: float
    index: int
    rigid: bool
    kind: str = "MESH"
    topology: str = "constant"

    @property
    def label(self) -> str:
        """The name that an artist knows it by."""
        return f"{self.instance} > {self.name}" if self.instance else self.name


@dataclass(frozen=True)
class SceneGeometry:
    """Everything that exact motion needs of a rendered scene.

    ``frames`` are the data frames in order, without a gap; ``matrices`` is ``(objects, frames, 4, 4)`` float64, NaN
    where an object is absent; ``cuts`` are frames that are the first of a new camera; ``layer(frame)`` loads the
    passes; ``vector_reason`` says why the Vector pass is not trusted, empty if it is.
    """

    frames: tuple[int, ...]
    size: tuple[int, int]
    cameras: Mapping[int, Camera]
    objects: tuple[SceneObject, ...]
    matrices: np.ndarray
    cuts: frozenset[int]
    layer: Callable[[int], DataLayer]
    vector_reason: str = ""

    def same_take(self, i: int, j: int) -> bool:
        """Whether no cut lies between frames ``i`` and ``j``."""
        first, last = sorted((i, j))
        return not any(first < cut <= last for cut in self.cuts)


def project(clip: np.ndarray, points: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Projects world points to the image.

    ``clip`` is ``(4, 4)`` world to clip space, ``points`` ``(..., 3)`` or homogeneous ``(..., 4)`` (w = 0 is a
    direction), ``size`` is (width, height). Returns image positions ``(..., 2)`` float64 in pixels (NaN behind the
    camera) and the clip-space w ``(...)``.
    """
    clipped = points @ clip[:, : points.shape[-1]].T
    if points.shape[-1] == 3:
        clipped = clipped + clip[:, 3]
    w = clipped[..., 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        x = (clipped[..., 0] / w + 1) * (size[0] / 2) - 0.5
        y = (1 - clipped[..., 1] / w) * (size[1] / 2) - 0.5
    return np.where((w > 0)[..., None], np.stack([x, y], -1), np.nan), w


@lru_cache(maxsize=4)
def pixel_grid(size: tuple[int, int]) -> np.ndarray:
    """Pixel-centre positions ``(H, W, 2)`` float32 of an image of ``size`` (width, height); not to be written to."""
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    grid = np.stack([x, y], -1)
    grid.flags.writeable = False
    return grid
