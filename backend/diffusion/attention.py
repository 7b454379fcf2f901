"""Self-attention under control: let frames look at each other, and carry attention along motion.

A UNet's self-attention layers compute ``softmax(Q K^T) V`` within one frame. Methods widen it: K and V of other frames
beside or in place of the frame's own (Rerender A Video, DiffSynth), of all frames of a group (TokenFlow's extended
attention), or no attention at all but the output of key frames, moved along the motion (TokenFlow's propagation).

Tokens of one call are (S * F, n, c): S streams (0 negative, 1 positive, 2 and up regions'; see ``denoising``) of F
frames each, n tokens of an h x w grid in row-major order. Only self-attention is touched: cross-attention keeps its
processors (IP-Adapter), and the projections are called as modules, so that LoRA layers on them count.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

LARGEST_SCORES = 2**29  # entries of softmax(Q K^T) computed at once; queries beyond that are worked off in chunks


@dataclass(frozen=True)
class Call:
    """What goes through the network right now: which frames, at which timestep, in which streams, at what size."""

    timestep: float
    frames: tuple[int, ...]
    streams: tuple[int, ...]
    size: tuple[int, int]

    def grid(self, tokens: int) -> tuple[int, int]:
        """Return (h, w) of the layers that have that many tokens; every level halves the latents' size, rounding up."""
        height, width = self.size
        while height * width > tokens:
            height, width = (height + 1) // 2, (width + 1) // 2
        if height * width != tokens:
            raise ValueError(f"{tokens} tokens do not tile latents of size {self.size}")
        return height, width


@dataclass(frozen=True)
class TokenMap:
    """Where each token of a grid is found in another frame's: ``index`` (n, taps) and ``weight`` (n, taps).

    The weights of a token sum to how far it is found there at all, 0 to 1.
    """

    index: Tensor
    weight: Tensor

    def gather(self, tokens: Tensor) -> Tensor:
        """Return the weighted sums (n, c) of ``tokens`` (m, c)."""
        return (tokens[self.index] * self.weight.to(tokens).unsqueeze(-1)).sum(dim=1)

    def scaled(self, weight: float) -> TokenMap:
        """Return the map with all weights multiplied by ``weight``."""
        return TokenMap(self.index, self.weight * weight)


Sources = Callable[[str, int, tuple[int, int]], Sequence[tuple[int, TokenMap]]]
"""For a layer, a frame and the layer's grid (h, w): the recorded frames that the frame's tokens come from, each with
the map into it."""


def token_map(flow: np.ndarray, weight: np.ndarray) -> TokenMap:
    """Return where tokens are found by backward ``flow`` (h, w, 2), in tokens, each with its ``weight`` (h, w).

    Four taps interpolate between tokens. (TokenFlow, section 4.2, takes the nearest neighbour in feature space instead,
    for want of the true motion.)
    """
    height, width = weight.shape
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    found = np.stack([columns, rows], -1) + flow
    index, taps = _taps(torch.from_numpy(found.reshape(-1, 2)), (height, width))
    return TokenMap(index, taps * torch.from_numpy(np.asarray(weight, np.float32)).reshape(-1, 1))


def _taps(places: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the four tokens around ``places`` (n, 2), x before y, in token units, and their bilinear weights."""
    limit = torch.tensor([grid[1] - 1, grid[0] - 1])
    places = places.clamp(min=torch.zeros(2), max=limit)
    low = places.floor().long()
    high = (low + 1).minimum(limit)
    x, y = (places - low).float().unbind(1)
    corners = [(low, low), (high, low), (low, high), (high, high)]
    index = torch.stack([v[:, 1] * grid[1] + h[:, 0] for h, v in corners], dim=1)
    return index, torch.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], dim=1)


class TokenBank:
    """Self-attention tokens of some frames: what went into each layer, and what came out.

    Kept by (layer, timestep, stream) and frame, each (n, c), on ``device``: "cpu" spills them out of the GPU's memory.
    """

    def __init__(self, device: torch.device | str | None = None) -> None:
        self._device = device
        self._tokens: dict[tuple[str, float, int], dict[int, tuple[Tensor, Tensor]]] = {}
        self._projected: dict[tuple[str, float, int], tuple[Tensor, Tensor]] = {}

    def put(self, layer: str, call: Call, inputs: Tensor, outputs: Tensor) -> None:
        """Keep one layer's tokens (S * F, n, c) of one call, each frame's by themselves."""
        device = self._device or inputs.device
        rows = zip(inputs, outputs, strict=True)
        for stream in call.streams:
            frames = self._tokens.setdefault((layer, call.timestep, stream), {})
            self._projected.pop((layer, call.timestep, stream), None)
            for frame in call.frames:
                before, after = next(rows)
                frames[frame] = before.to(device, copy=True), after.to(device, copy=True)

    @property
    def frames(self) -> tuple[int, ...]:
        """The recorded frames, in the order of recording."""
        return tuple(next(iter(self._tokens.values()), {}))

    def recorded(self, layer: str, call: Call) -> tuple[tuple[int, ...], Tensor]:
        """Return the frames recorded of a layer, and what went into it in the streams of ``call``, (S, F, n, c)."""
        streams = [self._frames(layer, call.timestep, stream) for stream in call.streams]
        inputs = [torch.stack([before for before, _ in frames.values()]) for frames in streams]
        return tuple(streams[0]), torch.stack(inputs)

    def inputs(self, layer: str, timestep: float, stream: int) -> Tensor:
        """Return what went into a layer, of all frames in the order of recording, one after another: (F * n, c)."""
        return torch.cat([inputs for inputs, _ in self._frames(layer, timestep, stream).values()])

    def input(self, layer: str, timestep: float, stream: int, frame: int) -> Tensor:
        """Return what went into a layer for one frame, (n, c)."""
        return self._frames(layer, timestep, stream)[frame][0]

    def projected(self, attn: Any, layer: str, call: Call, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return K and V (S, F * n, c) that the layer ``attn`` makes of what went into it, of all frames.

        They are on the device and of the type of ``like``, and kept as long as that timestep is asked for, so that the
        frames that look at one frame share them.
        """
        places = [(layer, call.timestep, stream) for stream in call.streams]
        if any(timestep != call.timestep for _, timestep, _ in self._projected):
            self._projected.clear()
        for place in places:
            if place not in self._projected:
                inputs = self.inputs(*place).to(like)
                self._projected[place] = attn.to_k(inputs), attn.to_v(inputs)
        keys, values = zip(*(self._projected[place] for place in places), strict=True)
        return torch.stack(keys), torch.stack(values)

    def output(self, layer: str, timestep: float, stream: int, frame: int) -> Tensor:
        """Return what came out of a layer for one frame, (n, c)."""
        return self._frames(layer, timestep, stream)[frame][1]

    def keep_only(self, frames: Collection[int]) -> None:
        """Let go of the tokens of all frames but these."""
        self._projected.clear()
        for known in self._tokens.values():
            for frame in [frame for frame in known if frame not in frames]:
                del known[frame]

    @property
    def bytes(self) -> int:
        """How much memory the tokens take."""
        kept = [tokens for frames in self._tokens.values() for pair in frames.values() for tokens in pair]
        return sum(tokens.numel() * tokens.element_size() for tokens in kept)

    def _frames(self, layer: str, timestep: float, stream: int) -> dict[int, tuple[Tensor, Tensor]]:
        found = self._tokens.get((layer, timestep, stream))
        if found is None:
            raise LookupError(f"nothing was recorded of {layer} at timestep {timestep}, stream {stream}")
        return found


@dataclass(frozen=True)
class Structure:
    """Tokens of the source's frames, recorded in stream 1, that decide in some ``layers`` which tokens look at which.

    Plug-and-Play (Tumanyan et al., CVPR 2023, section 4): Q and K are the source's, V is the edit's.
    """

    source: TokenBank
    layers: frozenset[str]

    def asking(self, layer: str, rows: Tensor, timestep: float, frames: Sequence[int]) -> Tensor:
        """Return the tokens that Q and K are made of, in the place of ``rows`` (S, F, n, c) of ``frames``."""
        if layer not in self.layers:
            return rows
        tokens = [self.source.input(layer, timestep, 1, frame) for frame in frames]
        return torch.stack(tokens).to(rows).expand_as(rows)


Mode = Callable[[str, Any, Tensor, Call], Tensor]


class AttentionControl:
    """Takes the self-attention layers of a network in hand, for the duration of a ``with`` block.

    ``record`` may be combined with any one of ``attend``, ``joint`` and ``propagate``. ``layers`` restricts a block to
    layers whose names contain it, such as "up_blocks". Outside the blocks the layers compute exactly what they did.
    """

    def __init__(self, network: Any) -> None:
        self.network = network
        self._mode: tuple[str, Mode] | None = None
        self._bank: tuple[str, TokenBank] | None = None
        self.call: Call | None = None
        self.install()

    def install(self) -> None:
        """Put a controlled processor on every self-attention layer; what is there is kept for plain attention."""
        for name, processor in self.network.attn_processors.items():
            layer = name.removesuffix(".processor")
            if layer.endswith("attn1") and not isinstance(processor, _Processor):
                self.network.get_submodule(layer).set_processor(_Processor(layer, self, processor))

    def remove(self) -> None:
        """Put the plain processors back: IP-Adapter's loader makes new ones of whatever class it finds."""
        for name, processor in self.network.attn_processors.items():
            if isinstance(processor, _Processor):
                self.network.get_submodule(name.removesuffix(".processor")).set_processor(processor.plain)

    @contextmanager
    def record(self, bank: TokenBank, layers: str = "") -> Iterator[None]:
        """Keep the tokens that go into self-attention, and those that come out, in ``bank``."""
        before, self._bank = self._bank, (layers, bank)
        try:
            yield
        finally:
            self._bank = before

    @contextmanager
    def attend(self, *banks: TokenBank, own: bool = False, layers: str = "up_blocks") -> Iterator[None]:
        """Let every frame look at the recorded frames of ``banks`` in place of itself, or with ``own`` beside itself.

        Rerender A Video, section 4.1, eq. 6: K and V of the first and the previous key frame, Q the frame's own.
        """

        def mode(layer: str, attn: Any, tokens: Tensor, call: Call) -> Tensor:
            rows = tokens if own else _merged(tokens, call)
            seen = [bank.projected(attn, layer, call, tokens) for bank in banks]
            keys, values = (torch.cat(parts, dim=1) for parts in zip(*seen, strict=True))
            if own:
                keys, values = (part.repeat_interleave(len(call.frames), dim=0) for part in (keys, values))
                keys = torch.cat([attn.to_k(tokens), keys], dim=1)
                values = torch.cat([attn.to_v(tokens), values], dim=1)
            return _looking(attn, rows, keys, values).reshape(tokens.shape)

        with self._controlled(layers, mode):
            yield

    @contextmanager
    def joint(
        self,
        groups: Mapping[int, Sequence[int]] | None = None,
        layers: str = "",
        beside: TokenBank | None = None,
        structure: Structure | None = None,
    ) -> Iterator[None]:
        """Let every frame look at all frames of the call, or at those that ``groups`` names for it.

        TokenFlow, section 4.1 (extended attention). The frames of a group must be in the same call; those recorded in
        ``beside`` are seen by all. With ``structure``, who looks where is decided by the source's tokens, what is seen
        there by the frames' own.
        """

        def mode(layer: str, attn: Any, tokens: Tensor, call: Call) -> Tensor:
            rows = tokens.unflatten(0, (len(call.streams), len(call.frames)))
            others, known = ((), rows[:, :0]) if beside is None else beside.recorded(layer, call)
            frames, values = (*call.frames, *others), torch.cat([rows, known.to(rows)], dim=1)
            keys = values if structure is None else structure.asking(layer, values, call.timestep, frames)
            out = torch.empty_like(rows)
            chosen = {frame: tuple(groups[frame]) if groups else call.frames for frame in call.frames}
            for group in dict.fromkeys(chosen.values()):
                askers = [row for row, frame in enumerate(call.frames) if chosen[frame] == group]
                seen = [frames.index(frame) for frame in (*group, *others)]
                there = keys[:, seen].flatten(1, 2), values[:, seen].flatten(1, 2)
                found = _attention(attn, keys[:, askers].flatten(1, 2), *there)
                out[:, askers] = found.unflatten(1, (len(askers), -1))
            return out.flatten(0, 1)

        with self._controlled(layers, mode):
            yield

    @contextmanager
    def propagate(self, bank: TokenBank, sources: Sources, layers: str = "") -> Iterator[None]:
        """Replace the output of self-attention by that of the recorded frames, moved along ``sources``.

        TokenFlow, section 4.2, eq. 3. What ``sources`` leaves of a token's weight (1 in all) goes to attention of the
        token to all recorded frames, so that what no key frame shows is not left empty.
        """

        def mode(layer: str, attn: Any, tokens: Tensor, call: Call) -> Tensor:
            grid = call.grid(tokens.shape[1])
            maps = {frame: sources(layer, frame, grid) for frame in call.frames}
            rows = iter(tokens)
            moved = []
            for stream in call.streams:
                for frame in call.frames:
                    own = next(rows)
                    out, bare = _moved(own, bank, maps[frame], (layer, call.timestep, stream))
                    if len(rest := bare.nonzero()[:, 0]):
                        known = bank.inputs(layer, call.timestep, stream).to(own)
                        out[rest] += bare[rest, None] * _attention(attn, own[None, rest], known[None])[0]
                    moved.append(out)
            return torch.stack(moved)

        with self._controlled(layers, mode):
            yield

    @contextmanager
    def _controlled(self, layers: str, mode: Mode) -> Iterator[None]:
        if self._mode is not None:
            raise RuntimeError("attention is under control already: leave the other block first")
        self._mode = (layers, mode)
        try:
            yield
        finally:
            self._mode = None

    def process(self, layer: str, attn: Any, tokens: Tensor) -> Tensor | None:
        """Return what a layer puts out under control, or None where it is to do what it always did."""
        if self._mode is None or self._mode[0] not in layer:
            return None
        return self._mode[1](layer, attn, tokens, self.known_call())

    def keep(self, layer: str, inputs: Tensor, outputs: Tensor) -> None:
        """Record a layer's tokens, where a block asks for it."""
        if self._bank is not None and self._bank[0] in layer:
            self._bank[1].put(layer, self.known_call(), inputs, outputs)

    def known_call(self) -> Call:
        """Return what goes through the network right now; RuntimeError where nobody said."""
        if self.call is None:
            raise RuntimeError("the network was called without saying for which frames: use a Denoiser")
        return self.call


class _Processor:
    """The attention processor of one self-attention layer."""

    def __init__(self, layer: str, control: AttentionControl, plain: Any) -> None:
        self.layer, self.control, self.plain = layer, control, plain

    def __call__(self, attn: Any, hidden_states: Tensor, *arguments: Any, **keywords: Any) -> Tensor:
        out = self.control.process(self.layer, attn, hidden_states)
        if out is None:
            out = self.plain(attn, hidden_states, *arguments, **keywords)
        self.control.keep(self.layer, hidden_states, out)
        return out


def _attention(attn: Any, queries: Tensor, source: Tensor, values: Tensor | None = None) -> Tensor:
    """Attention of ``queries`` (B, n, c) to ``source`` (B, m, c) by a layer's own projections: (B, n, c).

    V is made of ``values`` (B, m, c), by default of ``source`` too.
    """
    return _looking(attn, queries, attn.to_k(source), attn.to_v(source if values is None else values))


def _looking(attn: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Attention of ``queries`` (B, n, c) to K and V (B, m, c) that a layer has made: (B, n, c)."""

    def heads(tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (attn.heads, -1)).transpose(1, 2)

    query, key, value = heads(attn.to_q(queries)), heads(keys), heads(values)
    rows = max(1, LARGEST_SCORES // (key.shape[0] * key.shape[1] * key.shape[2]))
    seen = [scaled_dot_product_attention(part, key, value) for part in query.split(rows, dim=2)]
    out = torch.cat(seen, dim=2).transpose(1, 2).flatten(2)
    return attn.to_out[1](attn.to_out[0](out))


def _merged(tokens: Tensor, call: Call) -> Tensor:
    """Return (S * F, n, c) as (S, F * n, c)."""
    return tokens.unflatten(0, (len(call.streams), -1)).flatten(1, 2)


def _moved(
    like: Tensor, bank: TokenBank, maps: Sequence[tuple[int, TokenMap]], place: tuple[str, float, int]
) -> tuple[Tensor, Tensor]:
    """Return recorded outputs moved by their maps (n, c), and the weight that they leave of each token (n,)."""
    out, left = torch.zeros_like(like), torch.ones_like(like[:, 0])
    for frame, found in maps:
        out = out + found.gather(bank.output(*place, frame).to(like))
        left = left - found.weight.sum(dim=1).to(like)
    return out, torch.where(left > 1e-3, left, 0.0)
