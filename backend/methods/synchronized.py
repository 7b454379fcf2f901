"""Synchronized Multi-Frame Diffusion (SMFD, arXiv 2311.14343): all frames of a window are denoised in step.

At each step the frames' predictions of the clean picture are fused along the motion (see ``fusion``): averaged while
structure and colours form, handed on by one frame at a time while details do. What is fused replaces the prediction.
Long shots are worked off in windows that share frozen references (see ``windows``).

The predicted noise stays; or, beyond the paper, that of a detail goes with it: beside another frame's noise a detail
is weaker than the network expects at that step, and fades.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import diffusers
import numpy as np
import torch
from torch import Tensor

from ..bridge.errors import UserError
from ..bridge.settings import Settings
from ..bridge.settings.synchronized import SynchronizedSettings
from ..diffusion.denoising import Denoiser
from ..diffusion.latents import LatentCodec
from ..diffusion.loading import load_part
from ..diffusion.pictures import crop, to_picture, to_tensor
from ..diffusion.protocol import Model
from ..diffusion.sampling import Rule, Sampler, Window, mixed
from ..motion.keyframes import takes
from ..shot.shot import Shot
from . import FrameDone, Step
from .conditions import Conditions, prepared
from .fusion import Fusion, Joint, Links
from .motion import motion_of
from .noise import ShotNoise
from .propagation import Propagation
from .strokes import Sights, laid_over
from .surfaces import Surfaces
from .windows import Gap, Part, gaps, key_frames, needed, windows


def synchronized(
    shot: Shot, model: Model, settings: Settings, wanted: Sequence[int], keys: Mapping[int, np.ndarray]
) -> Iterator[Step | FrameDone]:
    """Yield every ``wanted`` frame of ``shot``, each a function of the shot, the settings and the seed alone.

    Windows are always denoised whole, so that a frame is the same whichever others are wanted; ``keys`` are not used.
    Raises UserError where the shot has no data for a control or a noise that is asked for, or there is no tiny
    autoencoder to fuse by.
    """
    run = _Run(shot, model, settings)
    if run.steps == 0:
        yield from (FrameDone(frame, shot.beauty(frame)) for frame in wanted)
        return
    every = takes(shot.frames, shot.info.cuts)
    keyed = [key_frames(take, run.chosen.key_every) for take in every]
    holes = list(chain(*(gaps(take, own) for take, own in zip(every, keyed, strict=True))))
    holes = [gap for gap in holes if set(gap.frames) & set(wanted)]
    asked = set(wanted).union(*(gap.keys for gap in holes))
    todo = needed(list(chain(*(windows(own, run.chosen.window) for own in keyed))), asked)
    total = run.steps * sum(len(part.frames) for part in todo)
    for number, part in enumerate(todo):
        for frame in run.denoise(part):
            yield Step(run.evaluations, total, f"frame {frame}")
        yield from (FrameDone(frame, run.pictures[frame]) for frame in part.frames if frame in wanted)
        for gap in [gap for gap in holes if run.pictures.keys() >= set(gap.keys)]:
            yield from run.bridge(gap, wanted)
            holes.remove(gap)
        run.keep(set(chain(*(later.frozen for later in todo[number + 1 :]), *(gap.keys for gap in holes))))


@dataclass(frozen=True)
class Plan:
    """What is done at which step: by semantic reconstruction with an exponent, or detail refinement by a reference."""

    exponents: dict[int, float]
    references: dict[int, int]


def planned(sampler: Sampler, frames: Sequence[int], chosen: SynchronizedSettings, seed: int) -> Plan:
    """Return the plan for the ``frames`` of a window; stages are shares of the run, wherever its strength has it begin.

    The exponent rises from 0 to ``chosen.confidence``. References are drawn from a shuffled deck of the frames that is
    shuffled anew when it is empty: at random, equally often.
    """
    begin = sampler.progress(0)
    shares = chosen.semantic_reconstruction, chosen.detail_refinement
    middle, end = (begin + (1 - begin) * share for share in shares)
    first = sorted(Window(begin, middle).steps(sampler))
    later = range(max(first, default=-1) + 1, len(sampler))
    second = sorted(Window(middle, end).steps(sampler) & set(later)) or later[: int(end > middle)]
    rng = np.random.default_rng(mixed(seed, *frames))
    decks = [rng.permutation(frames) for _ in range(-(-len(second) // len(frames)))]
    drawn = [int(frame) for deck in decks for frame in deck]
    exponents = {step: chosen.confidence * k / max(len(first) - 1, 1) for k, step in enumerate(first)}
    return Plan(exponents, dict(zip(second, drawn, strict=False)))


RULES: dict[str, Rule] = {"carry_noise": "keep_noise", "keep_noise": "keep_noise", "keep_sample": "keep_sample"}


class _Run:
    """What a run knows: its parts, and the frames that are finished and still needed.

    ``pictures`` are finished frames ``(H, W, 3)``, ``_paths`` their clean latents and their noise at each step, both
    ``(h, w, C)``. ``_sources`` are the frames whose strokes a frame shows, itself the last, ``_paintings`` what those
    were like before anything was carried to them.
    """

    def __init__(self, shot: Shot, model: Model, settings: Settings) -> None:
        self.chosen = settings.synchronized.resolved()
        self._shot, self._model, self._seed = shot, model, settings.seed
        self._conditions = Conditions(shot, model, settings)
        self._noise = ShotNoise(self.chosen.noise, shot, settings, model.codec.factor)
        self._motion = motion_of(shot, self.chosen.motion)
        self._codec = self._pictures_codec()
        sides = [-(-side // model.info.multiple) * model.info.multiple for side in (shot.height, shot.width)]
        chosen, cell = self.chosen, model.codec.factor
        grain = Joint("none", 0.0, "nearest", contrast=False)  # noise between cells would be weaker, seams are none
        joint = Joint(chosen.blending, chosen.seam, "lanczos", chosen.keep_contrast)
        cells = Links(self._motion, cell, (sides[0] // cell, sides[1] // cell))
        self._grain = Fusion(cells, grain)
        self._fusion = Fusion(cells, replace(joint, interpolation="nearest"))
        if self._codec is not None:
            self._fusion = Fusion(Links(self._motion, 1, (sides[0], sides[1])), joint)
        self._sights = Sights(Surfaces(shot, self._motion), shot.beauty)
        self.steps, self.evaluations = len(self._sampler()), 0
        self.pictures: dict[int, np.ndarray] = {}
        self._paths: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
        self._sources: dict[int, list[int]] = {}
        self._paintings: dict[int, np.ndarray] = {}

    def keep(self, frames: set[int]) -> None:
        """Let go of all finished frames but ``frames``."""
        self.pictures = {frame: picture for frame, picture in self.pictures.items() if frame in frames}
        self._paths = {frame: path for frame, path in self._paths.items() if frame in frames}
        self._sources = {frame: sources for frame, sources in self._sources.items() if frame in frames}
        painters = set(chain(*self._sources.values()))
        self._paintings = {frame: painting for frame, painting in self._paintings.items() if frame in painters}

    def denoise(self, part: Part) -> Iterator[int]:
        """Denoise the frames of ``part`` in step, into ``pictures``; yield a frame after each of its evaluations."""
        model, sampler = self._model, self._sampler(part.frames)
        conditions = {frame: self._conditions[frame] for frame in part.frames}
        denoiser = Denoiser(model, sampler, conditions)
        clean = [model.codec.encode(prepared(self._shot.beauty(frame), model)[None] * 2 - 1) for frame in part.frames]
        z = torch.cat(clean)
        x = sampler.start(z, self._noise.of(part.frames, z.shape[1:]))
        plan = planned(sampler, part.frames, self.chosen, self._seed)
        self._paths |= {frame: [] for frame in part.frames}
        for step in range(len(sampler)):
            output = yield from self._outputs(denoiser, x, step, part.frames)
            prediction = sampler.predict(output, x, step)
            fused, reference = self._fused(part, step, prediction.x0, plan), plan.references.get(step)
            if fused is not None and reference is not None and self.chosen.rule == "carry_noise":
                prediction = replace(prediction, noise=self._carried(part, step, prediction.noise, reference))
            self._record(part.frames, prediction.x0 if fused is None else fused, prediction.noise)
            x = sampler.advance(x, prediction, step, x0=fused, rule=RULES[self.chosen.rule])
        self._finish(part, x)

    def bridge(self, gap: Gap, wanted: Sequence[int]) -> Iterator[FrameDone]:
        """Yield the ``wanted`` frames of a gap, carried from the key frames around it."""
        keys = {key: self.pictures[key] for key in gap.keys}
        propagation = Propagation(self._shot, self._motion, keys, self.chosen)
        yield from (FrameDone(frame, propagation.frame(frame)) for frame in gap.frames if frame in wanted)

    def _outputs(
        self, denoiser: Denoiser, x: Tensor, step: int, frames: Sequence[int]
    ) -> Generator[int, None, Tensor]:
        """Return the network's guided outputs for all ``frames``, one after another."""
        rows = []
        for row, frame in enumerate(frames):
            rows.append(denoiser(x[row : row + 1], step, [frame]))
            self.evaluations += 1
            yield frame
        return torch.cat(rows)

    def _fused(self, part: Part, step: int, x0: Tensor, plan: Plan) -> Tensor | None:
        """Return the predictions ``x0`` (N, C, h, w) fused; None where nothing is planned or nothing changes."""
        if step not in plan.exponents and step not in plan.references:
            return None
        decoded = x0 if self._codec is None else self._codec.decode(x0)
        seen = dict(zip(part.frames, _planes(decoded), strict=True))
        frozen = {frame: self._seen(self._paths[frame][step][0]) for frame in part.frozen}
        if step in plan.exponents:
            fused = self._fusion.reconstruct(seen, frozen, plan.exponents[step])
        else:
            fused = self._fusion.refine(seen, frozen, plan.references[step])
        if all(fused[frame] is seen[frame] for frame in part.frames):
            return None
        edited = torch.stack([to_tensor(fused[frame]) for frame in part.frames]).to(x0)
        return edited if self._codec is None else self._codec.encode_delta(x0, edited, decoded)

    def _carried(self, part: Part, step: int, noise: Tensor, reference: int) -> Tensor:
        """Return the predicted noises with that of what is pasted in place of what it is pasted over."""
        frozen = {frame: self._paths[frame][step][1] for frame in part.frozen}
        moved = self._grain.refine(dict(zip(part.frames, _planes(noise), strict=True)), frozen, reference)
        return torch.stack([to_tensor(moved[frame]) for frame in part.frames]).to(noise)

    def _finish(self, part: Part, x: Tensor) -> None:
        """Decode the clean latents ``x`` of a window into pictures, and fuse those once more."""
        size = self._shot.height, self._shot.width
        made = {}
        for frame, row in zip(part.frames, x, strict=True):
            made[frame] = crop(to_picture(self._model.codec.decode(row[None])[0] / 2 + 0.5), size)
        self.pictures |= self._agreed(part, made) if self.chosen.final_fusion else made

    def _agreed(self, part: Part, made: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
        """Return the finished pictures of a window with one frame's strokes on every surface, each under its own light.

        They are of the first frame in an order that shows it: those that the frozen references show strokes of, then
        the window's own. So strokes are resampled once, and a surface keeps them from window to window.
        """
        known = sorted((self._sources[frame] for frame in part.frozen), key=len)
        order = [*dict.fromkeys(chain(*known)), *self._by_coverage(part.frames)]
        self._sources |= {frame: order[: order.index(frame) + 1] for frame in part.frames}
        self._paintings |= made
        sights, first = self._sights, order[0]
        detail = sights.surfaces.outline_detail(self._paintings[first], first)
        contrast = sights.contrast(self._paintings[first], first)

        def fused(frame: int) -> np.ndarray:
            others = self._sources[frame][:-1]
            views = (sights.carried(self._paintings[other], other, frame, contrast) for other in others)
            return np.clip(sights.surfaces.outlined(laid_over(made[frame], views), frame, detail), 0, 1)

        return {frame: fused(frame) for frame in part.frames}

    def _by_coverage(self, frames: Sequence[int]) -> list[int]:
        """Return ``frames`` by how much of each other they show, and how well, the best first."""
        shown = {
            source: sum(float(self._sights.get((source, frame)).weight.mean()) for frame in frames if frame != source)
            for source in frames
        }
        return sorted(frames, key=lambda frame: (-shown[frame], frame))

    def _seen(self, latents: np.ndarray) -> np.ndarray:
        """Return recorded latents (h, w, C) as the picture that is fused."""
        if self._codec is None:
            return latents
        return _planes(self._codec.decode(to_tensor(latents)[None]))[0]

    def _record(self, frames: Sequence[int], x0: Tensor, noise: Tensor) -> None:
        for frame, *planes in zip(frames, _planes(x0), _planes(noise), strict=True):
            self._paths[frame].append((planes[0], planes[1]))

    def _sampler(self, frames: Sequence[int] = ()) -> Sampler:
        scheduler, known = self._model.scheduler(self.chosen.sampler), self._conditions
        return Sampler(scheduler, self.chosen.steps, known.strengths(frames), self._model.device, known.begin)

    def _pictures_codec(self) -> LatentCodec | None:
        """Return what turns latents into the pictures that are fused; None where latents themselves are."""
        if self.chosen.fusion == "latents":
            return None
        if self.chosen.fusion == "pixels":
            return self._model.codec
        folder = Path(self.chosen.tiny_autoencoder)
        if not self.chosen.tiny_autoencoder:
            raise UserError("No tiny autoencoder is chosen. Choose the folder of one, or fuse latents or pixels.")
        tiny = load_part({"AutoencoderTiny": diffusers.AutoencoderTiny}, folder, torch.float32).to(self._model.device)
        if tiny.config.latent_channels != self._model.codec.channels:
            raise UserError(f"{folder} has latents of another kind than the model. Choose one that fits the model.")
        return LatentCodec(tiny)


def _planes(x: Tensor) -> list[np.ndarray]:
    """Return (N, C, h, w) as pictures (h, w, C) float32."""
    return list(np.ascontiguousarray(x.permute(0, 2, 3, 1).float().cpu().numpy()))
