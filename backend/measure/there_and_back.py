"""Long shots made of short ones, which are shown there and back by turns: no frame is new, and none is a cut."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import OpenEXR

from ..bridge.job import write_json
from ..shot.shot import Shot, frame_file, read_json


def there_and_back(shot: Shot, count: int, folder: Path, data: bool = False) -> Path:
    """Write a shot of ``count`` frames into ``folder``, numbered from 1: the frames of ``shot`` there and back.

    It is footage, or with ``data`` a rendered shot, whose motion vectors turn where it turns. Files that are not
    changed are links, where the file system has them.
    """
    sources = list(islice(cycle([*shot.frames, *shot.frames[-2:0:-1]]), count))
    info = read_json(shot.folder / "shot.json") | {"frames": list(range(1, count + 1)), "cuts": []}
    for kind in ("beauty", "data") if data else ("beauty",):
        (folder / kind).mkdir(parents=True)
    for number, source in enumerate(sources, 1):
        _link(shot.folder / "beauty" / frame_file(source, "png"), folder / "beauty" / frame_file(number, "png"))
    if data:
        cameras = {str(number): info["cameras"][str(source)] for number, source in enumerate(sources, 1)}
        info |= {"data_frames": info["frames"], "cameras": cameras}
        first = shot.info.data_frames[0]
        np.save(folder / "matrices.npy", shot.matrices[:, [source - first for source in sources]])
        _write_data(shot, sources, folder / "data")
    else:
        info |= {"data_frames": [], "cameras": {}, "objects": []}
    write_json(folder / "shot.json", info)
    return folder


def _write_data(shot: Shot, sources: Sequence[int], folder: Path) -> None:
    """Write the data layers of the frames ``sources``, of which each that is turned alike is written once."""
    written: dict[tuple[int, int, int], Path] = {}
    for k, source in enumerate(sources):
        before = sources[k - 1] if k else source - 1
        after = sources[k + 1] if k + 1 < len(sources) else source + 1
        original, target = shot.folder / "data" / frame_file(source, "exr"), folder / frame_file(k + 1, "exr")
        known = written.setdefault((before, source, after), target)
        if known != target:
            _link(known, target)
        elif (before, after) == (source - 1, source + 1):
            _link(original, target)
        else:
            _turn(original, target, before > source, after < source)


def _turn(original: Path, target: Path, before: bool, after: bool) -> None:
    """Write a data layer whose frame ``before`` is the one after it, whose frame ``after`` is the one before, or both.

    The Vector pass holds (X, Y) = previous - current and (Z, W) = current - next.
    """
    file = OpenEXR.File(str(original), separate_channels=True)
    channels = {name: channel for part in file.parts for name, channel in part.channels.items() if ".Vector." in name}
    x, y, z, w = (next(channels[name] for name in channels if name.endswith(f".Vector.{axis}")) for axis in "XYZW")
    there, back = (x.pixels, y.pixels), (z.pixels, w.pixels)
    if before:
        x.pixels, y.pixels = -back[0], -back[1]
    if after:
        z.pixels, w.pixels = -there[0], -there[1]
    file.write(str(target))


def _link(source: Path, target: Path) -> None:
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
