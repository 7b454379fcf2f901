"""Rerender A Video (Yang et al., SIGGRAPH Asia 2023): key frames that agree, carried to all frames between them.

Key frames go through the model one after the other. Each is held to finished ones, its references: by attention to
them, and by the constraints of ``constraints``. References are anchors, the first key frame and those that came to
show what no anchor before them did, and beside them the finished key frame nearest in time. Key frames that the artist
painted are references from the start. ``propagation`` carries all key frames to the frames between them.

Fusing pixels takes a rough picture of the same frame, for what no reference shows (see ``constraints.Preset``).

What the network makes of fused pixels is near them, not equal. So, beyond the paper, a finished key frame takes over
the strokes of its references along exact motion; where the light is another or nothing shows, it stays itself.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import numpy as np
from torch import Tensor

from ..bridge.settings import Settings
from ..bridge.settings.rerender import RerenderSettings
from ..diffusion.attention import TokenBank
from ..diffusion.denoising import Denoiser
from ..diffusion.pictures import crop, to_picture
from ..diffusion.protocol import Model
from ..diffusion.sampling import Noise, Prediction, Sampler
from ..motion.correspondence import Motion
from ..motion.keyframes import choose_keys, shown_by, takes, uniform_keys
from ..shot.shot import Shot
from . import FrameDone, Step
from .conditions import Conditions, prepared
from .constraints import (
    PRESETS,
    PixelTarget,
    Reference,
    View,
    adain,
    anchored,
    look,
    overlay,
    pixel_target,
)
from .exemplar import check_keys
from .motion import motion_of
from .noise import ShotNoise
from .propagation import Propagation
from .strokes import Sights, laid_over
from .surfaces import Surfaces

ANCHORS = 3  # at most: each is one more frame to attend to
UNKNOWN = 0.25  # share of a key frame that the anchors do not show, from which it becomes one
LAYERS = "up_blocks"  # attention to the references: where the picture's look is decided (eq. 6)
FRESH = 1000  # first of the streams of noise that fused pixels get: beyond those of any sampler
ACROSS = 64  # samples across the picture on which coverage is counted
CANDIDATES = 24  # evenly spaced frames from which keys are chosen by coverage

Evaluations = Iterator[None]
"""One item for every evaluation of the network."""

State = tuple[Tensor, Tensor]
"""The state of a run (1, C, h, w) and the noise that was last predicted to be in it, of unit strength."""


def rerender(
    shot: Shot, model: Model, settings: Settings, wanted: Sequence[int], keys: Mapping[int, np.ndarray]
) -> Iterator[Step | FrameDone]:
    """Yield every ``wanted`` frame of ``shot``; ``keys`` ``{frame: (H, W, 3) float32 sRGB}`` are taken as key frames.

    A frame depends on the shot, the keys and the settings, not on which frames are wanted: all key frames are made
    whenever any frame is. Raises UserError where keys do not fit the shot, or only the artist's are asked for and there
    are none.
    """
    chosen = settings.rerender
    if keys or chosen.key_choice == "own":
        check_keys(shot, keys)
    motion = motion_of(shot, chosen.motion)
    order = sorted(
        key_frames(shot, motion, chosen, tuple(keys)), key=lambda frame: (frame != min(keys, default=frame), frame)
    )
    if all(frame in keys for frame in order):
        order = []  # nobody will look at what the network thinks of the painted ones
    painter = KeyPainter(shot, motion, model, settings)
    between = [frame for frame in wanted if frame not in order]
    total, done = painter.evaluations * len(order) + len(between), 0
    for number, frame in enumerate(order):
        for _ in painter.adopt(frame, keys[frame]) if frame in keys else painter.translate(frame):
            done += 1
            yield Step(done, total, f"key frame {frame}")
        done = painter.evaluations * (number + 1)  # some runs take fewer
        if frame in wanted:
            yield FrameDone(frame, painter.finished[frame])
    propagation = Propagation(shot, motion, {**keys, **painter.finished}, chosen)
    for number, frame in enumerate(between, 1):
        yield FrameDone(frame, propagation.frame(frame))
        yield Step(done + number, total, f"frame {frame}")


def key_frames(shot: Shot, motion: Motion, chosen: RerenderSettings, own: Sequence[int]) -> tuple[int, ...]:
    """Return the key frames of a shot, in order of time: the artist's ``own``, and others as the settings say."""
    if chosen.key_choice == "own":
        return tuple(sorted(own))
    parts = [uniform_keys(take, chosen.key_distance, own) for take in takes(shot.frames, shot.info.cuts)]
    uniform = tuple(frame for part in parts for frame in part)
    if chosen.key_choice == "uniform":
        return uniform
    candidates = shot.frames[:: -(-len(shot.frames) // CANDIDATES)]
    shows = shown_by(motion, max(1, shot.width // ACROSS))
    return tuple(sorted(choose_keys(shot.frames, shows, len(uniform), own, candidates).keys))


@dataclass
class Run:
    """A key frame on its way from noise to picture, and what the network thinks of it (see ``Reference``).

    ``views`` are of all references, ``anchors`` of the anchors among them.
    """

    frame: int
    sampler: Sampler
    denoise: Denoiser
    noise: Noise
    views: Sequence[View] = ()
    anchors: Sequence[View] = ()
    clean: dict[int, Tensor] = field(default_factory=dict)
    tokens: TokenBank = field(default_factory=lambda: TokenBank("cpu"))


class KeyPainter:
    """Makes key frames, one after the other; ``finished`` holds their pictures ``(H, W, 3)`` sRGB by frame.

    What the network thought is kept of the ``anchors`` and of the last key frame.
    """

    def __init__(self, shot: Shot, motion: Motion, model: Model, settings: Settings) -> None:
        self._shot, self._motion, self._model, self._chosen = shot, motion, model, settings.rerender
        self._preset = PRESETS[self._chosen.preset]
        self._conditions = Conditions(shot, model, settings)
        self._noise = ShotNoise("shared", shot, settings, model.codec.factor)
        self._sights = Sights(Surfaces(shot, motion), shot.beauty)
        self.finished: dict[int, np.ndarray] = {}
        self.anchors: list[Reference] = []
        self._last: list[Reference] = []

    @property
    def evaluations(self) -> int:
        """The most evaluations that one key frame takes."""
        sampler = self._sampler()
        return len(sampler) + (len(self._fusing(sampler)) if self._preset.two_passes else 0)

    def adopt(self, frame: int, image: np.ndarray) -> Evaluations:
        """Take a painted ``image`` as a key frame: see what the network thinks of it at every step."""
        z = self._model.codec.encode_fidelity(self._tensor(image))
        run = self._run(frame, z)
        for step in range(len(run.sampler)):
            A, S = run.sampler.coefficients(step)
            self._predict(run, A * z + S * run.noise(0).to(z), step)
            run.clean[step] = z
            yield
        self._finish(run, image)

    def translate(self, frame: int) -> Evaluations:
        """Make a key frame by the model, held to its references."""
        references = [*self.anchors, *(last for last in self._last if last not in self.anchors)]
        z = self._model.codec.encode(self._tensor(self._shot.beauty(frame)))
        run = self._run(frame, z, [self._look(reference, frame) for reference in references])
        if len(run.sampler) == 0:
            self._finish(run, self._shot.beauty(frame))
            return
        first = self._first_fused(run.sampler) if run.views else len(run.sampler)
        rest = range(first, len(run.sampler))
        state = yield from self._go(run, (run.sampler.start(z, run.noise), run.noise(0).to(z)), range(first))
        if rest:
            rough = yield from self._rough(run, state, rest)
            state = yield from self._go(run, state, rest, self._target(rough, run.views))
        self._finish(run, self._agreed(run, self._picture(state[0])))

    def _rough(self, run: Run, state: State, rest: Sequence[int]) -> Generator[None, None, np.ndarray]:
        """Return the picture ``(H, W, 3)`` that is seen where the references show nothing, as the preset has it made.

        The paper runs from the noise twice. Until the first step of ``rest`` both runs are the same, and after the last
        that fuses pixels a prediction shows all that fused pixels can take from a rough picture.
        """
        if not np.prod([view.veil for view in run.views], axis=0).any():
            return np.zeros((self._shot.height, self._shot.width, 3), np.float32)
        if not self._preset.two_passes:
            return self._picture(run.clean[rest[0] - 1]) if rest[0] else self._shot.beauty(run.frame)
        sampler = copy.deepcopy(run.sampler)  # those of higher order remember steps
        other = replace(run, sampler=sampler, denoise=self._denoiser(run.frame, sampler))
        steps = self._fusing(sampler)
        yield from self._go(other, state, steps)
        return self._picture(run.clean[steps[-1]])

    def _go(
        self, run: Run, state: State, steps: Sequence[int], target: PixelTarget | None = None
    ) -> Generator[None, None, State]:
        """Run the ``steps`` from ``state``; where there is a ``target``, pixels are fused with it."""
        x, noise = state
        fused = self._preset.pixel.steps(run.sampler) if target is not None else frozenset()
        for step in steps:
            if target is not None and step in fused:
                x = target.fuse(x, noise, run.noise(FRESH + step).to(x), run.sampler.coefficients(step))
            prediction = self._predict(run, x, step)
            edited = self._edited(run, prediction.x0, step)
            run.clean[step] = prediction.x0 if edited is None else edited
            x, noise = run.sampler.advance(x, prediction, step, edited), prediction.noise
            yield
        return x, noise

    def _run(self, frame: int, z: Tensor, views: Sequence[View] = ()) -> Run:
        sampler, noise = self._sampler(frame), self._noise.of([frame], z.shape[1:])
        return Run(frame, sampler, self._denoiser(frame, sampler), noise, views, views[: len(self.anchors)])

    def _edited(self, run: Run, x0: Tensor, step: int) -> Tensor | None:
        """Return the clean prediction with the anchors' shapes and colours, None at steps that have neither."""
        shaped, coloured = (step in part.steps(run.sampler) for part in (self._preset.shape, self._preset.colour))
        if not run.anchors or not (shaped or coloured):
            return None
        like, shown = anchored(run.anchors, step, x0)
        if shaped:
            x0 = x0 + shown * (like - x0)
        if coloured and self._preset.seen_colours:
            x0 = adain(x0, like, shown) if shown.any() else x0
        elif coloured:
            x0 = adain(x0, run.anchors[0].reference.clean[step])
        return x0

    def _predict(self, run: Run, x: Tensor, step: int) -> Prediction:
        """Predict with the tokens of the run's references in place of its own; keep its own."""
        banks = [view.reference.tokens for view in run.views]
        with ExitStack() as stack:
            if (attention := self._model.attention) is not None and self._chosen.cross_attention:
                stack.enter_context(attention.record(run.tokens, layers=LAYERS))
                if banks:
                    stack.enter_context(attention.attend(*banks, layers=LAYERS))
            return run.sampler.predict(run.denoise(x, step, [run.frame]), x, step)

    def _target(self, rough: np.ndarray, views: Sequence[View]) -> PixelTarget:
        """Return what pixels are fused with: the references moved here, over the rough picture."""
        codec, image = self._model.codec, self._tensor(overlay(rough, views))
        z = codec.encode_fidelity(image) if self._chosen.fidelity else codec.encode(image)
        return pixel_target(z, views, self._preset, codec.factor, self._model.info.multiple)

    def _finish(self, run: Run, image: np.ndarray) -> None:
        """Keep the key frame; it becomes an anchor if the anchors show too little of it."""
        reference = Reference(run.frame, image, run.clean, run.tokens)
        self.finished[run.frame] = image
        self._last = [reference]
        views = run.anchors or [self._look(anchor, run.frame) for anchor in self.anchors]
        if not views or np.all([view.hidden for view in views], axis=0).mean() > UNKNOWN:
            self.anchors = [*self.anchors[:1], *[*self.anchors[1:], reference][1 - ANCHORS :]]

    def _look(self, reference: Reference, frame: int) -> View:
        pair = self._motion.pair(frame, reference.frame)
        return look(reference, pair, self._preset, self._model.codec.factor, self._model.info.multiple)

    def _sampler(self, *frames: int) -> Sampler:
        scheduler, known = self._model.scheduler(self._chosen.sampler), self._conditions
        return Sampler(scheduler, self._chosen.steps, known.strengths(frames), self._model.device, known.begin)

    def _denoiser(self, frame: int, sampler: Sampler) -> Denoiser:
        return Denoiser(self._model, sampler, {frame: self._conditions[frame]})

    def _agreed(self, run: Run, image: np.ndarray) -> np.ndarray:
        """Return a key frame's ``image`` with the strokes of its references, the first counting most."""
        if not (run.views and self._chosen.finish and self._chosen.preset == "exact"):
            return image
        sights, references = self._sights, [view.reference for view in run.views]
        views = (
            sights.carried(each.image, each.frame, run.frame, sights.contrast(each.image, each.frame))
            for each in references
        )
        detail = sights.surfaces.outline_detail(references[0].image, references[0].frame)
        return np.clip(sights.surfaces.outlined(laid_over(image, views), run.frame, detail), 0, 1)

    def _fusing(self, sampler: Sampler) -> Sequence[int]:
        """Return the steps in which pixels are fused, from the first to the last."""
        steps = self._preset.pixel.steps(sampler) if self._chosen.pixel_fusion and len(sampler) else ()
        return range(min(steps), max(steps) + 1) if steps else ()

    def _first_fused(self, sampler: Sampler) -> int:
        """Return the first step at which pixels are fused, the number of steps where none is."""
        return min(self._fusing(sampler), default=len(sampler))

    def _tensor(self, image: np.ndarray) -> Tensor:
        """Return a picture ``(H, W, 3)`` in [0, 1] as (1, 3, H', W') in [-1, 1]."""
        return prepared(image, self._model)[None] * 2 - 1

    def _picture(self, z: Tensor) -> np.ndarray:
        return crop(to_picture(self._model.codec.decode(z)[0] / 2 + 0.5), (self._shot.height, self._shot.width))
