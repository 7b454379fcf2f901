"""DiffSynth (arXiv 2308.03463): all frames of a take denoised side by side, and deflickered as pictures on the way.

At some of the steps the predictions of the clean pictures are decoded, made to agree (see ``smoothing``), and encoded
again, so that flicker does not grow from step to step ("latent in-iteration deflickering"). All frames start from one
noise, look at the first and the previous frame while pictures form, and follow control images that do not flicker
either. The finished pictures are made to agree once more.

The tasks of the paper are settings of this one method: stylization by words, or by a style image; restoring an already
stylized strip, at a low strength; rendering, where a rough render is painted under controls of depth and normals.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from ..bridge.settings import Settings
from ..diffusion.attention import TokenBank
from ..diffusion.denoising import Denoiser
from ..diffusion.pictures import crop, to_picture, to_tensor
from ..diffusion.protocol import Model
from ..diffusion.sampling import Sampler
from ..motion.keyframes import takes
from ..shot.shot import Shot
from . import FrameDone, Step
from .ahead import ahead
from .conditions import Conditions, prepared
from .motion import motion_of
from .noise import ShotNoise
from .smoothing import Run, Smoother, SteadyControls, smoother
from .strokes import Sights
from .surfaces import Surfaces

LAYERS = "up_blocks"  # of the network, that look at other frames: those that paint
LOOKING = 0.5  # share of a run's steps in which they do; what begins late, at a low strength, does so less


def diffsynth(
    shot: Shot, model: Model, settings: Settings, wanted: Sequence[int], keys: Mapping[int, np.ndarray]
) -> Iterator[Step | FrameDone]:
    """Yield every ``wanted`` frame of ``shot``, each a function of its whole take, the settings and the seed.

    A take of which any frame is wanted is denoised whole. ``keys`` are not used. Raises UserError where the shot has no
    data for a control or a noise that is asked for.
    """
    todo = [take for take in takes(shot.frames, shot.info.cuts) if set(take) & set(wanted)]
    studio = _Studio(shot, model, settings, sum(map(len, todo)))
    for take in todo:
        yield from studio.paint(take, wanted)


def deflickered(steps: int, every: int) -> frozenset[int]:
    """Return after which of the ``steps`` frames are deflickered: every so many, at least one; none where that is 0.

    Never the last: its pictures are the finished ones, which are deflickered as such.
    """
    if every == 0 or steps < 2:
        return frozenset()
    return frozenset(range(every - 1, steps - 1, every)) or frozenset([steps - 2])


class _Studio:
    """What the takes of a run have in common, and how far the run is: ``frames`` are denoised in all."""

    def __init__(self, shot: Shot, model: Model, settings: Settings, frames: int) -> None:
        self._shot, self._model, self._seed, self._chosen = shot, model, settings.seed, settings.diffsynth
        motion = motion_of(shot, self._chosen.motion)
        self._sights = Sights(Surfaces(shot, motion), shot.beauty)
        self._conditions = Conditions(shot, model, settings, partial(SteadyControls, motion=motion))
        self._noise = ShotNoise(self._chosen.noise, shot, settings, model.codec.factor)
        self._steps = len(self._sampler())
        self._smoothed = deflickered(self._steps, self._chosen.deflicker_every)
        rounds = len(self._smoothed) + self._chosen.finish
        self._done, self._total = 0, frames * (self._steps + 2 * rounds)

    def paint(self, take: Sequence[int], wanted: Sequence[int]) -> Iterator[Step | FrameDone]:
        """Denoise a take and yield its ``wanted`` frames."""
        model, sampler = self._model, self._sampler(take)
        if len(sampler) == 0:
            yield from (FrameDone(frame, self._shot.beauty(frame)) for frame in take if frame in wanted)
            return
        conditions = {frame: self._conditions[frame] for frame in take}
        denoiser = Denoiser(model, sampler, conditions)
        encoded = [model.codec.encode(prepared(self._shot.beauty(frame), model)[None] * 2 - 1) for frame in take]
        z = torch.cat(encoded)
        x = sampler.start(z, self._noise.of(take, z.shape[1:]))
        for step in range(len(sampler)):
            output = yield from self._predict(denoiser, x, step, take)
            prediction = sampler.predict(output, x, step)
            x0 = (yield from self._deflicker(prediction.x0, take)) if step in self._smoothed else None
            x = sampler.advance(x, prediction, step, x0, rule="keep_sample")
        yield from self._finish(x, take, wanted)

    def _sampler(self, frames: Sequence[int] = ()) -> Sampler:
        scheduler, known = self._model.scheduler(self._chosen.sampler), self._conditions
        return Sampler(scheduler, self._chosen.steps, known.strengths(frames), self._model.device, known.begin)

    def _predict(
        self, denoiser: Denoiser, x: Tensor, step: int, take: Sequence[int]
    ) -> Generator[Step, None, Tensor]:
        """Return the network's guided outputs for a take, in which a frame sees the first and the previous one.

        The paper shows every frame also the next one, at four times the cost; here each is evaluated once, and
        towards the end, where only detail forms, by itself.
        """
        looking = self._chosen.attention and step < LOOKING * self._steps
        control = self._model.attention if looking else None
        rows: list[Tensor] = []
        first, previous = TokenBank(), TokenBank()
        for number, frame in enumerate(take):
            with ExitStack() as stack:
                if control is not None:
                    here = TokenBank() if number else first
                    seen = [first, previous][: 1 if previous is first else 2] if number else []
                    stack.enter_context(control.record(here, layers=LAYERS))
                    if seen:
                        stack.enter_context(control.attend(*seen, own=True, layers=LAYERS))
                    previous = here
                rows.append(denoiser(x[number : number + 1], step, [frame]))
            yield self._step(f"frame {frame}")
        return torch.cat(rows)

    def _deflicker(self, x0: Tensor, take: Sequence[int]) -> Generator[Step, None, Tensor]:
        """Return clean latents ``x0`` (N, C, h, w) whose pictures agree, changed by what their pictures changed."""
        codec = self._model.codec
        decoded = codec.decode(x0)
        smooth = self._smoother(decoded, take)
        yield from self._look(smooth, take)
        rows = []
        for row, (frame, image) in enumerate(zip(take, ahead(smooth.paint, take), strict=True)):
            change = to_tensor(2 * (image - self._picture(decoded[row])))
            edge = decoded.shape[-1] - change.shape[-1], decoded.shape[-2] - change.shape[-2]
            edited = decoded[row] + pad(change, (0, edge[0], 0, edge[1])).to(decoded)
            rows.append(codec.encode_delta(x0[row : row + 1], edited[None], decoded[row : row + 1]))
            yield self._step(f"deflickering frame {frame}")
        return torch.cat(rows)

    def _finish(self, x: Tensor, take: Sequence[int], wanted: Sequence[int]) -> Iterator[Step | FrameDone]:
        """Decode the clean latents ``x`` of a take, and make the pictures agree if that is asked for."""
        decoded = self._model.codec.decode(x)
        if not self._chosen.finish:
            pictures = zip(take, decoded, strict=True)
            yield from (FrameDone(frame, self._picture(row)) for frame, row in pictures if frame in wanted)
            return
        smooth = self._smoother(decoded, take)
        yield from self._look(smooth, take)
        painted = ahead(smooth.paint, [frame for frame in take if frame in wanted])
        for frame in take:
            if frame in wanted:
                yield FrameDone(frame, next(painted))
            yield self._step(f"finishing frame {frame}")

    def _smoother(self, decoded: Tensor, take: Sequence[int]) -> Smoother:
        places = {frame: row for row, frame in enumerate(take)}
        run: Run = lambda frame: self._picture(decoded[places[frame]])  # noqa: E731
        return smoother(run, take, self._sights, self._chosen, self._seed)

    def _look(self, smooth: Smoother, take: Sequence[int]) -> Iterator[Step]:
        """Let a smoother look at a take, which counts as one piece of work a frame."""
        for number, frame in enumerate(smooth.look(), self._done + 1):
            yield Step(number, self._total, f"looking at frame {frame}")
        self._done += len(take)

    def _picture(self, decoded: Tensor) -> np.ndarray:
        """Return a decoded picture (3, H', W') in [-1, 1] as ``(H, W, 3)`` in [0, 1], of the shot's size."""
        return crop(to_picture(decoded / 2 + 0.5), (self._shot.height, self._shot.width))

    def _step(self, note: str) -> Step:
        self._done += 1
        return Step(self._done, self._total, note)
