"""Paints the pictures by which styles are picked: one frame in every style of the starter.

Run ``python -m backend.starter.thumbnails demo/job/shot/beauty/000024.png`` after the starter was trained.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from ..bridge.styles import STYLES
from ..shot.pictures import encode_png, read_picture
from .samples import open_starter, sample

PLACE = Path(__file__).resolve().parents[2] / "panels" / "thumbnails"
SIDE = 192  # pixels of a thumbnail
PAINTED = 288  # pixels at which it is painted: the starter's strokes are made for pictures of this height


def square(image: np.ndarray, side: int) -> np.ndarray:
    """Return the middle of ``image`` (H, W, 3) as a square of ``side`` pixels."""
    height, width = image.shape[:2]
    edge = min(height, width)
    y, x = (height - edge) // 2, (width - edge) // 2
    return cv2.resize(image[y : y + edge, x : x + edge], (side, side), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Paint all of them."""
    parser = argparse.ArgumentParser(prog="python -m backend.starter.thumbnails", description=__doc__)
    parser.add_argument("picture", type=Path, help="the frame to paint")
    parser.add_argument("--subject", default="a fox in a meadow", help="what it shows")
    parser.add_argument("--out", type=Path, default=PLACE)
    chosen = parser.parse_args()
    source = square(read_picture(chosen.picture)[0], PAINTED)
    model = open_starter()
    chosen.out.mkdir(exist_ok=True)
    for style in STYLES:
        painted = sample(model, source, style.form.format(chosen.subject), seed=1)
        (chosen.out / f"{style.identifier}.png").write_bytes(encode_png(square(painted, SIDE)))
        sys.stdout.write(f"{style.label}\n")


if __name__ == "__main__":
    main()
