"""Between pictures and latents: a deterministic encoder, and two that undo what the autoencoder loses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d


class LatentCodec:
    """Encodes and decodes with a diffusers autoencoder (AutoencoderKL or AutoencoderTiny).

    Pictures are (N, 3, H, W) in [-1, 1], H and W multiples of ``factor``; latents (N, C, H/factor, W/factor) in the
    network's scale, both float32. One picture is worked on at a time, so a result never depends on its neighbours.
    Pictures with a side over ``tile`` pixels go through in overlapping tiles, which bounds the memory. ``enter`` is
    called with the network before it works (see ``memory.Residence``).
    """

    def __init__(
        self, vae: Any, preview: Any = None, tile: int = 1536, enter: Callable[[Any], None] = lambda _: None
    ) -> None:
        self.vae, self._preview, self._enter = vae, preview, enter
        self.channels: int = vae.config.latent_channels
        levels = len(vae.config.get("block_out_channels") or vae.config.encoder_block_out_channels)
        self.factor = 2 ** (levels - 1)
        self._tile = tile // (4 * self.factor) * (4 * self.factor)  # tiles overlap by a quarter, in whole latent cells

    def encode(self, image: Tensor) -> Tensor:
        """Encode pictures, always to the same latents: the posterior's mode is taken, never a sample."""
        self._enter(self.vae)
        self._use_tiles(image.shape[-2:])
        return torch.cat([_encode(self.vae, row) for row in image.split(1)])

    def decode(self, z: Tensor) -> Tensor:
        """Decode latents to pictures; values may leave [-1, 1] a little."""
        self._enter(self.vae)
        self._use_tiles([side * self.factor for side in z.shape[-2:]])
        return torch.cat([_decode(self.vae, row) for row in z.split(1)])

    def preview(self, z: Tensor) -> Tensor:
        """Decode latents fast for a look at them: by the tiny autoencoder, where the model came with one."""
        if self._preview is None:
            return self.decode(z)
        self._enter(self._preview)
        return torch.cat([_decode(self._preview, row) for row in z.split(1)])

    def encode_fidelity(self, image: Tensor, strength: float = 1.0, threshold: float | None = 0.25) -> Tensor:
        """Encode pictures so that they decode closer to themselves (Rerender A Video, section 4.2.2, eq. 8 and 9).

        What one round trip loses, ``z - E(D(z))``, is added to ``z`` times ``strength`` beforehand, except in latent
        cells where the correction does harm: those whose picture then misses by over ``threshold`` (on [-1, 1], mean
        of the channels), grown by one cell. ``threshold`` None corrects everywhere.
        """
        z = self.encode(image)
        lost = z - self.encode(self.decode(z))
        corrected = z + strength * lost
        if threshold is None:
            return corrected
        miss = (self.decode(corrected) - image).abs().mean(dim=1, keepdim=True)
        harmed = max_pool2d((miss > threshold).float(), self.factor)
        harmed = max_pool2d(harmed, 3, stride=1, padding=1)
        return corrected + harmed * (z - corrected)

    def encode_delta(self, z: Tensor, edited: Tensor, decoded: Tensor | None = None) -> Tensor:
        """Return ``z`` changed by what was edited in its picture: ``z + E(edited) - E(D(z))``.

        ``decoded`` is ``decode(z)`` where the caller has it. Nothing edited leaves ``z`` exactly as it was: the
        autoencoder's losses cancel, so a picture may be edited at every step without decaying.
        """
        return z + (self.encode(edited) - self.encode(self.decode(z) if decoded is None else decoded))

    def _use_tiles(self, size: Sequence[int]) -> None:
        self.vae.use_tiling = max(size) > self._tile
        self.vae.tile_sample_min_size, self.vae.tile_latent_min_size = self._tile, self._tile // self.factor


@torch.inference_mode()
def _encode(vae: Any, image: Tensor) -> Tensor:
    encoded = vae.encode(image.to(vae.device, vae.dtype))
    z = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    return (z.float() - (vae.config.shift_factor or 0.0)) * vae.config.scaling_factor


@torch.inference_mode()
def _decode(vae: Any, z: Tensor) -> Tensor:
    z = z / vae.config.scaling_factor + (vae.config.shift_factor or 0.0)
    return vae.decode(z.to(vae.device, vae.dtype)).sample.float()
