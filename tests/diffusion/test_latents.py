"""The three encoders: what a round trip loses, and how little the faithful two lose of it."""

from __future__ import annotations

from types import SimpleNamespace

import diffusers
import pytest
import torch
from torch import Tensor

from backend.diffusion.latents import LatentCodec
from tests.diffusion import tiny


class LossyLine:
    """An autoencoder that loses the share ``delta`` of the picture in every encoding, and nothing else."""

    device, dtype = torch.device("cpu"), torch.float64
    config = diffusers.configuration_utils.FrozenDict(
        latent_channels=3, block_out_channels=(1,), scaling_factor=1.0, shift_factor=0.0
    )

    def __init__(self, delta: float) -> None:
        self.delta = delta

    def encode(self, image: Tensor) -> SimpleNamespace:
        return SimpleNamespace(latents=(1 - self.delta) * image)

    def decode(self, z: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=z)


def cycled(codec: LatentCodec, image: Tensor, count: int, fidelity: bool) -> Tensor:
    for _ in range(count):
        z = codec.encode_fidelity(image, threshold=None) if fidelity else codec.encode(image)
        image = codec.decode(z)
    return image


@pytest.mark.parametrize("count", [1, 3, 10])
def test_v1_cycles_of_a_linear_autoencoder_lose_what_the_formula_says(count: int) -> None:
    codec, delta, image = LatentCodec(LossyLine(0.1)), 0.1, torch.ones(1, 3, 4, 4)
    assert cycled(codec, image, count, fidelity=False).mean() == pytest.approx((1 - delta) ** count, abs=1e-6)
    assert cycled(codec, image, count, fidelity=True).mean() == pytest.approx((1 - delta**2) ** count, abs=1e-6)


def pictures(count: int, size: int = 32) -> Tensor:
    """Return smooth pictures (N, 3, size, size) in [-1, 1]."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand(count, 3, size // 8 + 1, size // 8 + 1, generator=draw) * 2 - 1
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False).clamp(-1, 1)


@pytest.fixture(scope="module")
def trained() -> LatentCodec:
    """A small autoencoder of the real class that has learned smooth pictures: a minute part of what a big one knows."""
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 2, up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=(16, 16), norm_num_groups=4, layers_per_block=1, latent_channels=8,
        mid_block_add_attention=False,
    )  # fmt: skip
    optimiser = torch.optim.Adam(vae.parameters(), 3e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=160)
    known = pictures(64)
    for _ in range(160):
        images = known[torch.randint(0, 64, (8,))]
        loss = (vae.decode(vae.encode(images).latent_dist.mode()).sample - images).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        rate.step()
    return LatentCodec(vae.eval().requires_grad_(False))


def test_v2_fidelity_encoding_survives_ten_cycles(trained: LatentCodec) -> None:
    images = pictures(68)[64:]
    plain = (cycled(trained, images, 10, fidelity=False) - images).square().mean()
    faithful = (cycled(trained, images, 10, fidelity=True) - images).square().mean()
    assert faithful <= plain / 4


def test_v3_editing_nothing_drifts_nowhere(trained: LatentCodec) -> None:
    z = first = trained.encode(pictures(68)[64:])
    for _ in range(20):
        z = trained.encode_delta(z, trained.decode(z))
    assert (z - first).abs().max() <= 1e-6


def test_delta_encoding_leaves_what_was_not_edited(trained: LatentCodec) -> None:
    image = pictures(68)[64:65]
    z = start = trained.encode(image)
    plain = z
    for _ in range(5):
        edited = trained.decode(z)
        edited[..., :16] = image.flip(-1)[..., :16]
        z = trained.encode_delta(z, edited)
        again = trained.decode(plain)
        again[..., :16] = image.flip(-1)[..., :16]
        plain = trained.encode(again)
    reference = trained.decode(start)[..., 24:]
    kept = (trained.decode(z)[..., 24:] - reference).square().mean()
    drifted = (trained.decode(plain)[..., 24:] - reference).square().mean()
    assert kept <= drifted / 2  # the small autoencoder sees the whole picture at once; a real one loses far less


def test_harm_is_not_corrected() -> None:
    """Where the corrected latent decodes worse than the threshold allows, the plain one is kept."""
    codec = LatentCodec(LossyLine(0.9))
    image = torch.ones(1, 3, 12, 12)
    image[..., :6] = 0.1
    z, plain = codec.encode_fidelity(image, threshold=0.5), codec.encode(image)
    assert torch.equal(z[..., 7:], plain[..., 7:])
    assert (z[..., :4] != plain[..., :4]).all()


def test_encoding_is_deterministic_and_batch_independent() -> None:
    torch.manual_seed(0)
    codec = LatentCodec(tiny.make_vae().eval())
    images = torch.rand(3, 3, 40, 56) * 2 - 1
    together = codec.encode(images)
    assert torch.equal(together, codec.encode(images))
    assert torch.equal(together[1:2], codec.encode(images[1:2]))
    assert torch.equal(codec.decode(together)[2:], codec.decode(together[2:]))


def test_shift_and_scale_are_those_of_the_autoencoder() -> None:
    torch.manual_seed(0)
    vae = tiny.make_vae(scaling_factor=1.5, shift_factor=0.06).eval()
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    codec = LatentCodec(vae)
    with torch.no_grad():
        raw = vae.encode(images).latent_dist.mode()
        assert torch.allclose(codec.encode(images), (raw - 0.06) * 1.5, atol=1e-6)
        assert torch.allclose(codec.decode(codec.encode(images)), vae.decode(raw).sample, atol=1e-5)


def test_large_pictures_go_through_in_tiles(trained: LatentCodec) -> None:
    image = pictures(1, 96)
    tiled = LatentCodec(trained.vae, tile=48)
    z = tiled.encode(image)
    whole = trained.encode(image)
    assert z.shape == whole.shape
    assert (z - whole).abs().mean() <= 0.2 * whole.std()
    assert tiled.decode(whole).shape == image.shape
    assert not torch.equal(z, whole)


def test_a_tiny_autoencoder_gives_previews() -> None:
    torch.manual_seed(0)
    tiny_vae = diffusers.AutoencoderTiny(
        encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4,
        num_encoder_blocks=(1,) * 4, num_decoder_blocks=(1,) * 4,
    ).eval()  # fmt: skip
    codec = LatentCodec(tiny.make_vae().eval(), preview=tiny_vae)
    z = torch.randn(2, 4, 5, 7)
    assert codec.preview(z).shape == (2, 3, 40, 56)
    assert not torch.equal(codec.preview(z), codec.decode(z))
    plain = LatentCodec(codec.vae)
    assert torch.equal(plain.preview(z), plain.decode(z))
    alone = LatentCodec(tiny_vae)  # also the only autoencoder of a model may be a tiny one
    assert alone.decode(alone.encode(torch.rand(1, 3, 40, 56))).shape == (1, 3, 40, 56)
