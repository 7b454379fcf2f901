"""The data layer's OpenEXR files, of every Blender from 4.2 on.

Up to 4.5 Blender writes one part with channels ``ViewLayer.Pass.C``; from 5.0 on one part for each pass, and some
passes have new names (release notes of 5.0).
"""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import OpenEXR

from ..bridge.errors import UserError
from ..motion.geometry import DataLayer

HEAD = 1 << 20  # bytes that hold every header and offset table
ROWS = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}  # in a chunk, by compression
SKY_DEPTH = 1e9  # Cycles writes 1e10 where a ray hits nothing
RENAMED = {"IndexOB": "Object Index", "Z": "Depth"}
AGAIN = "Capture the shot again."


def read_passes(path: Path, view_layer: str = "") -> dict[str, list[np.ndarray]]:
    """Read every pass of one view layer but the picture itself, Combined.

    Returns pass name (as Blender 5 spells it) -> its channels in the order XYZW, RGBA or UVA, ``(H, W)`` float32 each,
    row 0 at the top. A file with several view layers must hold ``view_layer``. Raises UserError where the file is
    missing, unreadable or cut short.
    """
    try:
        if not is_whole(path):
            raise ValueError
        parts = OpenEXR.File(str(path), separate_channels=True).parts
        channels = [
            (name if "." in name else f"{part.name()}.{name}", channel.pixels)
            for part in parts
            for name, channel in part.channels.items()
        ]
    except (RuntimeError, OSError, ValueError, IndexError, KeyError, struct.error) as error:
        raise UserError(f"The data layer file {path.name} cannot be read; it may be cut short. {AGAIN}") from error
    passes: dict[str, dict[str, np.ndarray]] = {}
    for full, pixels in channels:
        layer, name, component = ("", "", *full.rsplit(".", 2))[-3:]
        if (view_layer and layer not in ("", view_layer)) or name == "Combined":
            continue
        passes.setdefault(RENAMED.get(name, name), {})[component.upper()] = pixels
    return {
        name: [found[c].astype(np.float32, copy=False) for c in sorted(found, key="RGBXYUVZWA".find)]
        for name, found in passes.items()
    }


def is_whole(path: Path) -> bool:
    """Tell whether a scanline file goes on to the end of its last chunk (OpenEXR File Layout).

    The library itself fills what is cut off with old memory, and says so on the standard output only. Raises OSError,
    ValueError, IndexError, KeyError or struct.error where the file is no OpenEXR file.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
        if head[:4] != b"\x76\x2f\x31\x01":
            raise ValueError("magic number")
        several = bool(head[5] & 0x10)
        at, chunks = 8, 0
        while head[at] and (several or not chunks):
            at, header = _read_header(head, at)
            top, bottom = struct.unpack_from("<4xi4xi", header["dataWindow"])
            chunks += -(-(bottom - top + 1) // ROWS[header["compression"][0]])
        offsets = struct.unpack_from(f"<{chunks}Q", head, at + several)
        leader = 4 * several + 8  # part number, first row, size
        file.seek(max(offsets) + leader - 4)
        (size,) = struct.unpack("<I", file.read(4))
        return min(offsets) > at and max(offsets) + leader + size <= path.stat().st_size


def _read_header(data: bytes, at: int) -> tuple[int, dict[str, bytes]]:
    """Return where the header that begins at ``at`` ends, and its attributes."""
    attributes = {}
    while data[at]:
        piece = data[at : at + 512]  # two names of at most 255 letters
        name, _, rest = piece.split(b"\0", 2)
        start = at + len(piece) - len(rest)
        (size,) = struct.unpack_from("<I", data, start)
        attributes[name.decode()] = data[start + 4 : start + 4 + size]
        at = start + 4 + size
    return at + 1, attributes


def read_layer(path: Path, size: tuple[int, int], view_layer: str = "") -> DataLayer:
    """Read one frame of the data layer; ``size`` is the (width, height) that the shot declares.

    Raises UserError where the file is unreadable, of another size, or has no Vector, Depth or Position pass. Without
    the surface-address passes (shots of older captures) the layer comes with ``addressed`` false.
    """
    passes = read_passes(path, view_layer)
    missing = [name for name in ("Depth", "Vector", "Position") if name not in passes]
    if missing:
        raise UserError(f"The data layer file {path.name} has no {' and no '.join(missing)} pass. {AGAIN}")
    height, width = passes["Vector"][0].shape
    if (width, height) != tuple(size):
        sizes = f"{width} x {height} pixels, the shot {size[0]} x {size[1]}"
        raise UserError(f"The data layer file {path.name} is {sizes}. {AGAIN}")
    return _layer(passes, (height, width))


def _layer(passes: dict[str, list[np.ndarray]], shape: tuple[int, int]) -> DataLayer:
    def take(name: str, channels: int) -> np.ndarray:
        found = passes.get(name, [])[:channels]
        return cv2.merge(found) if len(found) == channels else np.zeros((*shape, channels), np.float32)

    def plane(name: str, channel: int = 0) -> np.ndarray:
        found = passes.get(name, [])
        return found[channel] if channel < len(found) else np.zeros(shape, np.float32)

    addressed = {"TemperaGenerated", "TemperaRandom"} <= set(passes)
    depth, position, vector = plane("Depth"), take("Position", 3), take("Vector", 4)
    generated, rest, random = take("TemperaGenerated", 3), take("TemperaRest", 3), plane("TemperaRandom")
    covered = plane("TemperaGenerated", 3)
    known = _everywhere(np.abs(vector) < 1e4)  # NaN is not; 1e4 stands outside a render border
    sky = ~(depth < SKY_DEPTH)
    surface = ~sky & _everywhere(np.isfinite(position))
    if addressed:
        surface &= _everywhere(np.isfinite(generated)) & _everywhere(np.isfinite(rest)) & np.isfinite(random)
        surface &= np.abs(covered - 1) < 1e-3
        sky &= ~(covered > 1e-3)

    def finite(values: np.ndarray, otherwise: float = 0.0) -> np.ndarray:
        known = np.isfinite(values)
        return values if known.all() else np.where(known, values, np.float32(otherwise))

    return DataLayer(
        depth=finite(depth, 1e10),
        normal=finite(take("Normal", 3)),
        vector=vector if known.all() else np.where(known[..., None], vector, np.float32(np.nan)),
        position=finite(position),
        uv=finite(take("UV", 2)),
        generated=finite(generated),
        rest=finite(rest),
        random=finite(random),
        index=np.rint(finite(plane("Object Index"))).astype(np.int32),
        surface=surface,
        sky=sky,
        addressed=addressed,
    )


def _everywhere(which: np.ndarray) -> np.ndarray:
    """Return where all channels of ``which`` (H, W, C) bool hold, (H, W): far faster than ``all`` over a short axis."""
    return np.logical_and.reduce([which[..., k] for k in range(which.shape[-1])])


def write_picture(path: Path, image: np.ndarray, alpha: np.ndarray | None = None) -> None:
    """Write a display-referred sRGB ``image`` (H, W, 3) in [0, 1] as OpenEXR: scene-linear Rec. 709, half floats, ZIP.

    ``alpha`` (H, W) is associated, as OpenEXR has it. The name only ever shows a whole file. UserError where it cannot
    be written.
    """
    linear = np.where(image <= 0.04045, image / 12.92, ((image + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    channels = linear if alpha is None else np.dstack([linear * alpha[..., None], alpha])
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(exist_ok=True)
        name = "RGB" if alpha is None else "RGBA"
        OpenEXR.File(header, {name: np.ascontiguousarray(channels, np.float16)}).write(str(temporary))
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be written ({error}). Free some space and resume.") from error
