"""Plug-and-Play diffusion features (Tumanyan et al., CVPR 2023): the structure of a source, kept while it is repainted.

A picture edited this way takes from the source's own pass what one residual block of the decoder adds (section 4.1),
and who looks where in the self-attention that follows (section 4.2; see ``attention.Structure``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from .attention import AttentionControl

Features = dict[int, Tensor]
"""What the residual block adds, (1, c, h, w), by frame."""


class Injection:
    """The decoder's first level with attention, in Stable Diffusion 1.5 ``up_blocks[1]``: its second residual block.

    The paper's layer 4; upstream counts the same one.
    """

    def __init__(self, control: AttentionControl) -> None:
        self._control = control
        blocks = list(control.network.up_blocks)
        self._level = next(level for level, block in enumerate(blocks) if getattr(block, "attentions", None))
        self._residual = blocks[self._level].resnets[1].conv2

    @property
    def layers(self) -> frozenset[str]:
        """The self-attention layers that take Q and K from the source: all that come after the residual block's."""
        places = [name.removesuffix(".processor") for name in self._control.network.attn_processors]
        own = f"up_blocks.{self._level}.attentions.0."
        after = [name for name in places if name.startswith("up_blocks") and not name.startswith(own)]
        return frozenset(name for name in after if name.endswith("attn1"))

    @contextmanager
    def record(self, features: Features) -> Iterator[None]:
        """Keep what the block adds, for the frames of calls with one stream."""

        def keep(_: Any, __: Any, output: Tensor) -> None:
            features.update(zip(self._control.known_call().frames, output.cpu().split(1), strict=True))

        with self._hooked(keep):
            yield

    @contextmanager
    def inject(self, features: Features) -> Iterator[None]:
        """Let the block add what was kept of the same frames, in every stream."""

        def put(_: Any, __: Any, output: Tensor) -> Tensor:
            call = self._control.known_call()
            kept = torch.cat([features[frame] for frame in call.frames]).to(output)
            return kept.repeat(len(call.streams), 1, 1, 1)

        with self._hooked(put):
            yield

    @contextmanager
    def _hooked(self, hook: Callable[[Any, Any, Tensor], Tensor | None]) -> Iterator[None]:
        handle = self._residual.register_forward_hook(hook)
        try:
            yield
        finally:
            handle.remove()
