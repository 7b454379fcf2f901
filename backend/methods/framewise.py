"""Each frame alone through a diffusion model: the flickering baseline that every other method is measured against.

SDEdit (Meng et al. 2022) under ControlNets (Zhang et al. 2023): a frame's latents are noised part of the way and
denoised again, guided by the prompt and by control images of the same frame. Nothing is shared between frames but,
where the artist chooses so, the noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from ..bridge.settings import Settings
from ..diffusion.denoising import Denoiser
from ..diffusion.pictures import crop, to_picture
from ..diffusion.protocol import Model
from ..diffusion.sampling import Sampler
from ..shot.shot import Shot
from . import FrameDone, Step
from .conditions import Conditions, prepared
from .noise import ShotNoise


def framewise(
    shot: Shot, model: Model, settings: Settings, wanted: Sequence[int], keys: Mapping[int, np.ndarray]
) -> Iterator[Step | FrameDone]:
    """Yield every ``wanted`` frame of ``shot``, each a function of that frame, the settings and the seed alone.

    ``keys`` are not used. Raises UserError where the shot has no data for a control or a noise that is asked for.
    """
    chosen = settings.framewise
    conditions = Conditions(shot, model, settings)
    noise = ShotNoise(chosen.noise, shot, settings, model.codec.factor)
    for number, frame in enumerate(wanted):
        sampler = Sampler(model.scheduler(chosen.sampler), chosen.steps, conditions.strengths([frame]), model.device)
        if len(sampler) == 0:
            yield FrameDone(frame, shot.beauty(frame))
            continue
        denoise = Denoiser(model, sampler, {frame: conditions[frame]})
        z = model.codec.encode(prepared(shot.beauty(frame), model).unsqueeze(0) * 2 - 1)
        x = sampler.start(z, noise.of([frame], z.shape[1:]))
        for step in range(len(sampler)):
            x = sampler.advance(x, sampler.predict(denoise(x, step, [frame]), x, step), step)
            yield Step(number * len(sampler) + step + 1, len(wanted) * len(sampler), f"frame {frame}")
        image = to_picture(model.codec.decode(x)[0] / 2 + 0.5)
        yield FrameDone(frame, crop(image, (shot.height, shot.width)))
