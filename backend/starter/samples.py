"""Samples the starter model: a sheet of every style on scenes that it never saw.

    python -m backend.starter.samples --data DIR [--model backend/starter/model] [--out docs/starter.png]

The sheet's first row shows the renders, each row below one style, from pure noise under the render as control.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from ..diffusion.conditioning import Condition
from ..diffusion.controlnet import Control
from ..diffusion.denoising import Denoiser
from ..diffusion.model import STARTER, open_model
from ..diffusion.protocol import Model
from ..diffusion.sampling import Sampler, gaussian_noise
from ..shot.pictures import encode_png
from .dataset import content_of, is_held_out, load_render
from .vocabulary import CAPTIONS

STEPS, GUIDANCE = 12, 2.0
CELL = (224, 384)  # pixels, rows and columns, that the sheet shows of each picture


def open_starter(folder: Path = STARTER) -> Model:
    """Return the starter model with its ControlNet, which wants to see the render itself ("tile")."""
    return open_model(folder, [Control("tile", folder / "controlnet")])


def sample(
    model: Model, source: np.ndarray, prompt: str, seed: int, steps: int = STEPS, guidance: float = GUIDANCE
) -> np.ndarray:
    """Return a painting ``(H, W, 3)`` of ``source`` ``(H, W, 3)``, both sRGB in [0, 1], from pure noise.

    Both sides must be multiples of 16.
    """
    text, negative = model.encode_text([prompt, ""])
    control = torch.from_numpy(source).permute(2, 0, 1).float()
    sampler = Sampler(model.scheduler(), steps, device=model.device)
    denoise = Denoiser(model, sampler, {0: Condition(text, negative, (control,), (1.0,), guidance=guidance)})
    height, width = (side // model.codec.factor for side in source.shape[:2])
    shape = (model.codec.channels, height, width)
    x = sampler.start(torch.zeros(1, *shape, device=model.device), gaussian_noise(shape, [seed]))
    for step in range(len(sampler)):
        x = sampler.advance(x, sampler.predict(denoise(x, step, [0]), x, step), step)
    return (model.codec.decode(x)[0] / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()


def sheet(model: Model, renders: list[Path]) -> np.ndarray:
    """Return the renders above their samples in every style, one row for each."""
    sources = [_middle(load_render(path)) for path in renders]
    rows = [sources]
    for forms in CAPTIONS.values():
        prompts = [forms[0].format(content_of(int(path.stem))) for path in renders]
        rows.append([sample(model, source, prompt, 1) for source, prompt in zip(sources, prompts, strict=True)])
    return np.vstack([np.hstack(row) for row in rows])


def _middle(image: np.ndarray) -> np.ndarray:
    y, x = ((have - want) // 2 for have, want in zip(image.shape, CELL, strict=False))
    return np.ascontiguousarray(image[y : y + CELL[0], x : x + CELL[1]])


def main(arguments: list[str] | None = None) -> None:
    """Write the sheet."""
    parser = argparse.ArgumentParser(prog="python -m backend.starter.samples", description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=STARTER)
    parser.add_argument("--out", type=Path, default=Path("docs/starter.png"))
    options = parser.parse_args(arguments)
    renders = [path for path in sorted((options.data / "renders").glob("*.png")) if is_held_out(int(path.stem))]
    options.out.write_bytes(encode_png(sheet(open_starter(options.model), renders[::2][:3])))


if __name__ == "__main__":
    main()
