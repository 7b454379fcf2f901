"""The data layer's OpenEXR files, of every Blender from 4.2 on.

Up to 4.5 Blender writes one part with channels ``ViewLayer.Pass.C``; from 5.0 on one part for each pass, and some
passes have new names (release notes of 5.0).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import OpenEXR

from ..bridge.errors import UserError
from ..motion.geometry import DataLayer

SKY_DEPTH = 1e9  # Cycles writes 1e10 where a ray hits nothing
RENAMED = {"IndexOB": "Object Index", "Z": "Depth"}
AGAIN = "Capture the shot again."


def read_passes(path: Path, view_layer: str = "") -> dict[str, np.ndarray]:
    """Read every pass of one view layer.

    Returns pass name (as Blender 5 spells it) -> ``(H, W, C)`` float32, channels in the order XYZW, RGBA or UVA,
    row 0 at the top. A file with several view layers must hold ``view_layer``. Raises UserError where the file is
    missing, unreadable or cut short.
    """
    try:
        parts = OpenEXR.File(str(path), separate_channels=True).parts
        channels = [
            (name if "." in name else f"{part.name()}.{name}", channel.pixels)
            for part in parts
            for name, channel in part.channels.items()
        ]
    except (RuntimeError, OSError, ValueError) as error:
        raise UserError(f"The data layer file {path.name} cannot be read; it may be cut short. {AGAIN}") from error
    passes: dict[str, dict[str, np.ndarray]] = {}
    for full, pixels in channels:
        layer, name, component = ("", "", *full.rsplit(".", 2))[-3:]
        if view_layer and layer not in ("", view_layer):
            continue
        passes.setdefault(RENAMED.get(name, name), {})[component.upper()] = pixels
    return {
        name: np.stack([found[c] for c in sorted(found, key="RGBXYUVZWA".find)], -1).astype(np.float32)
        for name, found in passes.items()
    }


def read_layer(path: Path, size: tuple[int, int], view_layer: str = "") -> DataLayer:
    """Read one frame of the data layer; ``size`` is the (width, height) that the shot declares.

    Raises UserError where the file is unreadable, of another size, or has no Vector, Depth or Position pass. Without
    the surface-address passes (shots of older captures) the layer comes with ``addressed`` false.
    """
    passes = read_passes(path, view_layer)
    missing = [name for name in ("Depth", "Vector", "Position") if name not in passes]
    if missing:
        raise UserError(f"The data layer file {path.name} has no {' and no '.join(missing)} pass. {AGAIN}")
    height, width = passes["Vector"].shape[:2]
    if (width, height) != tuple(size):
        sizes = f"{width} x {height} pixels, the shot {size[0]} x {size[1]}"
        raise UserError(f"The data layer file {path.name} is {sizes}. {AGAIN}")
    return _layer(passes, (height, width))


def _layer(passes: dict[str, np.ndarray], shape: tuple[int, int]) -> DataLayer:
    def take(name: str, channels: int) -> np.ndarray:
        found = passes.get(name)
        if found is None or found.shape[-1] < channels:
            return np.zeros((*shape, channels), np.float32)
        return np.ascontiguousarray(found[..., :channels])

    addressed = {"TemperaGenerated", "TemperaRandom"} <= set(passes)
    depth, position = take("Depth", 1)[..., 0], take("Position", 3)
    generated, rest, random = take("TemperaGenerated", 4), take("TemperaRest", 3), take("TemperaRandom", 1)[..., 0]
    vector = take("Vector", 4)
    known = np.isfinite(vector).all(-1) & (np.abs(vector) < 1e4).all(-1)  # 1e4: outside a render border
    sky = ~(depth < SKY_DEPTH)
    surface = ~sky & np.isfinite(position).all(-1)
    if addressed:
        numbers = np.concatenate([generated, rest, random[..., None]], -1)
        surface &= np.isfinite(numbers).all(-1) & (np.abs(generated[..., 3] - 1) < 1e-3)
        sky &= ~(generated[..., 3] > 1e-3)

    def finite(values: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
        return np.nan_to_num(values, nan=otherwise, posinf=otherwise, neginf=otherwise)

    return DataLayer(
        depth=finite(depth, 1e10),
        normal=finite(take("Normal", 3)),
        vector=np.where(known[..., None], vector, np.float32(np.nan)),
        position=finite(position),
        uv=finite(take("UV", 2)),
        generated=finite(generated[..., :3]),
        rest=finite(rest),
        random=finite(random),
        index=np.rint(finite(take("Object Index", 1)[..., 0])).astype(np.int32),
        surface=surface,
        sky=sky,
        addressed=addressed,
    )
