"""TokenFlow: key frames edited together, their attention's outputs carried to all frames of the shot.

Geyer et al., "TokenFlow: Consistent Diffusion Features for Consistent Video Editing", ICLR 2024 (arXiv 2307.10373).
At every step of sampling, random key frames pass the network together, each looking at all of them (section 4.1); then
all other frames pass it, with every self-attention layer's output replaced by that of the two keys around them, moved
to where the same things are (section 4.2). Where that is the paper reads off the features of the source, which takes a
pass of its own; here exact motion can tell it, and better: of hidden, blank and repeated things too.

Features agree to the stride of the finest attention layer; what a network paints below that, and its decoder, still
flickers (the paper's own limitation, section 6). So the finished pixels are carried too, as one layer more, where the
artist does not want the paper as it is.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from torch import Tensor

from ..bridge.errors import UserError
from ..bridge.settings import Settings
from ..diffusion.attention import AttentionControl, Sources, Structure, TokenBank, TokenMap
from ..diffusion.denoising import Denoiser
from ..diffusion.injection import Injection
from ..diffusion.inversion import inversion_levels
from ..diffusion.pictures import crop, to_picture
from ..diffusion.protocol import Model
from ..diffusion.sampling import Noise, Sampler, Window
from ..motion.cache import Cache
from ..motion.keyframes import takes
from ..shot.shot import Shot
from . import FrameDone, Step
from .conditions import Conditions, prepared
from .motion import motion_of
from .noise import ShotNoise
from .strokes import Sights, Strokes
from .surfaces import Surfaces
from .token_keys import Plan, plans
from .token_maps import MotionMaps, feature_sources
from .token_source import SourceBranch, States, Trajectory, noised, trace_back

REACH = 30  # frames before and after it that a frame's finished strokes are carried to
PICTURES = 256 << 20  # bytes of finished pictures kept


def tokenflow(
    shot: Shot, model: Model, settings: Settings, wanted: Sequence[int], keys: Mapping[int, np.ndarray]
) -> Iterator[Step | FrameDone]:
    """Yield every ``wanted`` frame of ``shot``. All frames are worked on, for any may be a key; ``keys`` are not used.

    Raises UserError for a model without self-attention layers, a shot without data for a control that is asked for, and
    the editor ControlNet without one.
    """
    chosen = settings.tokenflow.resolved()
    if model.attention is None:
        raise UserError("TokenFlow needs a UNet, which this model has not. Choose Stable Diffusion 1.5, 2.1 or XL.")
    if chosen.editor == "controlnet" and not model.info.controls:
        raise UserError("There is no ControlNet to hold the picture together. Choose one, or another editor.")
    scheduler = model.scheduler("ddim" if chosen.editor == "pnp" else chosen.sampler)
    conditions = Conditions(shot, model, settings)
    strengths = 1.0 if chosen.editor == "controlnet" else conditions.strengths(shot.frames)
    sampler = Sampler(scheduler, chosen.steps, strengths)
    if len(sampler) == 0:
        yield from (FrameDone(frame, shot.beauty(frame)) for frame in wanted)
        return
    with tempfile.TemporaryDirectory() as folder:
        run = Run(shot, model, model.attention, settings, sampler, conditions)
        yield from run.start(Path(folder))
        for step in range(len(sampler)):
            yield from run.advance(step)
        yield from run.finish(wanted)


class Run:
    """The states of all frames of a shot, on their way from noise to pictures.

    They wait on the CPU, as do the tokens of the keys that are still needed: what a run holds of the network's inside
    at once does not grow with the shot.
    """

    def __init__(
        self, shot: Shot, model: Model, control: AttentionControl, settings: Settings, sampler: Sampler,
        conditions: Conditions,
    ) -> None:
        chosen = settings.tokenflow.resolved()
        self._shot, self._model, self._control, self._sampler = shot, model, control, sampler
        self._chosen, self._settings = chosen, settings
        self._rows = {frame: row for row, frame in enumerate(shot.frames)}
        every = takes(shot.frames, shot.info.cuts)
        self._finished = every if chosen.finish else []
        self._plans = plans(every, chosen, len(sampler), settings.seed)
        self._edit = Denoiser(model, sampler, conditions, chosen.joint_keys)
        self._injection = Injection(control)
        held = chosen.editor == "pnp"
        self._features_held = Window(0, chosen.feature_share if held else 0).steps(sampler)
        self._attention_held = Window(0, chosen.attention_share if held else 0).steps(sampler)
        self._along_motion = chosen.correspondence == "motion" or (chosen.correspondence == "auto" and shot.has_data)
        self._motion = motion_of(shot, chosen.motion)
        self._decoding = Lock()
        self._done = 0
        self._total = sum(plan.work for plan in self._plans) + sum(2 * len(take) - 1 for take in self._finished)

    def start(self, folder: Path) -> Iterator[Step]:
        """Bring all frames to the state of the first step; ``folder`` is for what is too large for memory."""
        model, chosen, frames = self._model, self._chosen, self._shot.frames
        latents = []
        for frame in frames:
            picture = prepared(self._shot.beauty(frame), model)
            latents.append(model.codec.encode(picture.unsqueeze(0) * 2 - 1).cpu())
            yield Step(0, self._total, f"reading frame {frame}")
        z = torch.cat(latents)
        self._maps = MotionMaps(self._motion, (z.shape[2], z.shape[3]), model.codec.factor)
        said = dataclasses.replace(chosen, prompt=chosen.source_prompt, negative_prompt="", guidance=1.0)
        source = dataclasses.replace(self._settings, tokenflow=said, objects=(), over_time={})
        conditions = Conditions(self._shot, model, source)
        states: States
        if chosen.editor == "pnp":
            levels = inversion_levels(self._sampler.timesteps.tolist(), chosen.inversion_fineness)
            self._total += len(frames) * (len(levels) - 1)
            kept = Trajectory(folder / "trajectory.npy", self._sampler.timesteps.tolist(), z.shape)
            for frame in trace_back(model, conditions, frames, z, levels, kept):
                yield self._told([frame], "tracing back")
            self._x, states = self._sampler.follow(z, kept.at), kept.at
        else:
            noise = self._noise(z)
            self._x, states = self._sampler.start(z, noise), noised(self._sampler, z, noise)
        denoise = Denoiser(model, self._sampler, conditions, chosen.joint_keys)
        self._source = SourceBranch(self._control, self._injection, denoise, states)

    def advance(self, step: int) -> Iterator[Step]:
        """Take all frames through one step."""
        plan, bank, output = self._plans[step], TokenBank("cpu"), torch.zeros_like(self._x)
        note = f"step {step + 1} of {len(self._sampler)}"
        for window, others in plan.passes(self._chosen.joint_keys):
            self._read(window, step)
            with self._jointly(bank, step), self._control.record(bank):
                output[self._at(window)] = self._predicted(window, step)
            yield self._told(window, note)
            for part in others:
                self._read(part, step)
                with self._control.propagate(bank, self._sources(plan, step)):
                    output[self._at(part)] = self._predicted(part, step)
                self._source.keep_only(bank.frames)
                yield self._told(part, note)
            bank.keep_only(window[-1:])
            self._source.keep_only(window[-1:])
        self._x = self._sampler.advance(self._x, self._sampler.predict(output, self._x, step), step)

    def finish(self, wanted: Sequence[int]) -> Iterator[Step | FrameDone]:
        """Yield the ``wanted`` frames, decoded, and in one take painted with the same strokes if that is asked for."""
        if not self._chosen.finish:
            yield from (FrameDone(frame, self._picture(frame)) for frame in wanted)
            return
        pictures = Cache(PICTURES, self._picture)
        sights = Sights(Surfaces(self._shot, self._motion), self._shot.beauty)
        for take in self._finished:
            strokes = Strokes(pictures.get, take, sights, REACH)
            for frame in strokes.look():
                yield self._told([frame], f"looking at frame {frame}")
            for frame in take:
                if frame in wanted:
                    yield FrameDone(frame, strokes.paint(frame))
                yield self._told([frame], f"finishing frame {frame}")

    def _picture(self, frame: int) -> np.ndarray:
        """Return the decoded picture of ``frame``, (H, W, 3) float32 sRGB.

        Threads that look at frames ask for several at once, but a model and its memory are for one at a time.
        """
        with self._decoding:
            decoded = self._model.codec.decode(self._x[self._at([frame])].to(self._model.device))[0]
        return crop(to_picture(decoded / 2 + 0.5), (self._shot.height, self._shot.width))

    def _noise(self, z: Tensor) -> Noise:
        noise = ShotNoise(self._chosen.noise, self._shot, self._settings, self._model.codec.factor)
        return noise.of(self._shot.frames, z.shape[1:])

    def _read(self, frames: Sequence[int], step: int) -> None:
        """Pass the source's frames through the network, where anything is to be learned from that."""
        if not self._along_motion or step in self._features_held or step in self._attention_held:
            self._source.read(step, self._at(frames), frames)

    def _jointly(self, bank: TokenBank, step: int) -> AbstractContextManager:
        """Return the joint pass of a window's keys, which see the last key of the window before beside themselves."""
        structure = Structure(self._source.tokens, self._injection.layers) if step in self._attention_held else None
        return self._control.joint(beside=bank if bank.frames else None, structure=structure)

    def _sources(self, plan: Plan, step: int) -> Sources:
        """Return where the tokens of the frames between the keys come from."""
        timestep = float(self._sampler.timesteps[step])

        def sources(layer: str, frame: int, grid: tuple[int, int]) -> list[tuple[int, TokenMap]]:
            if self._along_motion:
                return self._maps.sources(plan, frame, grid)
            return feature_sources(plan, self._source.tokens, layer, timestep, frame, self._model.device)

        return sources

    def _predicted(self, frames: Sequence[int], step: int) -> Tensor:
        """Return the network's guided output for the edit of ``frames``, (F, C, h, w)."""
        held = self._injection.inject(self._source.features) if step in self._features_held else nullcontext()
        with held:
            return self._edit(self._x[self._at(frames)], step, frames).cpu()

    def _at(self, frames: Sequence[int]) -> list[int]:
        return [self._rows[frame] for frame in frames]

    def _told(self, frames: Sequence[int], note: str) -> Step:
        self._done += len(frames)
        return Step(self._done, self._total, note)
