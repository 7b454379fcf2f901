"""The starter model's training pictures: pairs of a render and its painting, with words for both.

    python -m backend.starter.dataset DIR [--variants 1] [--seed 0]

Reads ``DIR/renders`` (tools/starter_scenes.py), writes ``DIR/pairs/00012-oil-0.png``: the render above its painting.
Renders change their colours from pair to pair, since a hundred of them show few.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..shot.pictures import encode_png, read_picture
from .styles import STYLES, paint
from .vocabulary import CONTENTS

VIEWS = 2  # renders of one scene
HELD_OUT_EVERY = 12  # scenes
SLOW = {"oil": 3}  # one of so many renders is painted in a slow style


@dataclass(frozen=True)
class Pairs:
    """Some renders and their paintings, ``(N, H, W, 3)`` uint8, with the style and the content of each pair."""

    sources: np.ndarray
    paintings: np.ndarray
    styles: Sequence[str]
    contents: Sequence[str]

    def __len__(self) -> int:
        return len(self.styles)

    def draw(self, count: int, rng: np.random.Generator) -> list[int]:
        """Return ``count`` random pairs; each style is as likely, however many pairs it has."""
        numbers = np.arange(len(self))
        styles, of = np.unique(self.styles, return_inverse=True)
        return [int(rng.choice(numbers[of == rng.integers(len(styles))])) for _ in range(count)]


def content_of(render: int) -> str:
    """Return what the render of that number shows."""
    return CONTENTS[render // VIEWS % len(CONTENTS)]


def is_held_out(render: int) -> bool:
    """Whether the render of that number shows a scene that the model never trains on."""
    return render // VIEWS % HELD_OUT_EVERY == HELD_OUT_EVERY - 1


def load_render(path: Path) -> np.ndarray:
    """Return a render ``(H, W, 3)`` float32 in [0, 1] without its Monte Carlo noise."""
    return cv2.bilateralFilter(read_picture(path)[0], 7, 0.08, 2.0)


def recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return ``image`` with its hues turned and its tones bent; every second time only the latter."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    if rng.random() < 0.5:
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(0, 360)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.6, 1.3), 0, 1)
    hsv[..., 2] = hsv[..., 2] ** rng.uniform(0.7, 1.4)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def prepare(folder: Path, variants: int, seed: int) -> None:
    """Paint every render in every style, ``variants`` times; a pair depends on ``seed`` and its own name alone."""
    (folder / "pairs").mkdir(exist_ok=True)
    for variant in range(variants):
        for path in sorted((folder / "renders").glob("*.png")):
            render = int(path.stem)
            for number, style in enumerate(STYLES):
                target = folder / "pairs" / f"{path.stem}-{style.replace(' ', '_')}-{variant}.png"
                if target.exists() or (render + variant) % SLOW.get(style, 1):
                    continue
                rng = np.random.default_rng((seed, render, number, variant))
                source = recoloured(load_render(path), rng)
                painting = paint(style, source, int(rng.integers(1 << 31)))
                temporary = target.with_suffix(".part")
                temporary.write_bytes(encode_png(np.vstack([source, painting])))
                temporary.replace(target)


def load_pairs(folder: Path, held_out: bool) -> Pairs:
    """Load the pairs to train on, or the ``held_out`` ones."""
    paths = [path for path in sorted((folder / "pairs").glob("*.png")) if is_held_out(_render(path)) == held_out]
    halves = [np.vsplit(np.rint(read_picture(path)[0] * 255).astype(np.uint8), 2) for path in paths]
    return Pairs(
        np.stack([source for source, _ in halves]), np.stack([painting for _, painting in halves]),
        [path.stem.split("-")[1].replace("_", " ") for path in paths], [content_of(_render(path)) for path in paths],
    )


def crops(shape: tuple[int, int], size: int, count: int, rng: np.random.Generator) -> Iterator[tuple[slice, slice]]:
    """Yield ``count`` random squares of ``size`` (or as much as fits) in an array of ``shape``."""
    tall, wide = min(size, shape[0]), min(size, shape[1])
    for _ in range(count):
        y, x = int(rng.integers(shape[0] - tall + 1)), int(rng.integers(shape[1] - wide + 1))
        yield slice(y, y + tall), slice(x, x + wide)


def _render(path: Path) -> int:
    return int(path.stem.split("-")[0])


def main(arguments: list[str] | None = None) -> None:
    """Paint the pairs that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m backend.starter.dataset", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--variants", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    prepare(options.folder, options.variants, options.seed)


if __name__ == "__main__":
    main()
