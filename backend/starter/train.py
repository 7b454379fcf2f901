"""Trains the starter model: first the autoencoder, then UNet, ControlNet and text encoder together.

    python -m backend.starter.train --stage vae|diffusion|export --data DIR --out DIR --minutes 20 [--size cpu|gpu]

With ``--model FOLDER`` the last two stages go on from a model that was exported before, whose autoencoder stays as it
is, so that a painter can be changed without starting anew. Runs on a GPU where there is one. A run that is broken off
goes on from its last checkpoint when it is started again, and comes to the same weights as an unbroken one.
``OUT/STAGE.log`` gets a line of JSON every 50 steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .checkpoint import Loss, Training
from .dataset import Pairs, crops, load_pairs
from .networks import (
    FACTOR,
    OPPONENT,
    SIZES,
    Size,
    load_networks,
    make_denoiser,
    make_scheduler,
    make_vae,
    save_model,
)
from .vocabulary import LENGTH, caption, make_tokenizer

REPORT, CHECKPOINT = 50, 200  # steps
TEXT_DROPOUT = 0.12  # so that classifier-free guidance has something to guide away from (Ho and Salimans 2022)
CONTROL_DROPOUT = 0.08
PAINTINGS = 0.85  # of the autoencoder's pictures; the rest are renders
# Pictures and pixels a side, in turn: many small crops, and few large ones that show self-attention far places.
BATCHES = {"micro": ((2, 32), (1, 48)), "cpu": ((6, 96), (2, 160)), "gpu": ((64, 192), (24, 288))}
VAE_BATCH = {"micro": (2, 32), "cpu": (8, 64), "gpu": (64, 128)}
HELD_OUT = 1 << 40  # steps from here on draw from the held-out pictures


def device() -> torch.device:
    """Return the GPU, or the CPU where there is none."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def pictures(stack: np.ndarray) -> Tensor:
    """Return uint8 pictures (N, H, W, 3) as (N, 3, H, W) in [-1, 1] on the device."""
    return torch.from_numpy(stack).to(device()).permute(0, 3, 1, 2).float() / 127.5 - 1


def half_precision() -> torch.autocast:
    """Return the context in which networks compute in bfloat16."""
    return torch.autocast(device().type, torch.bfloat16)


class VaeLoss:
    """Reconstruction of random crops of renders and paintings, and a trace of KL divergence.

    Absolute differences of values, of 4x4 means and of gradients, colour counted more than its share of the contrast.
    """

    def __init__(self, vae: torch.nn.Module, seen: Pairs, held_out: Pairs, batch: tuple[int, int], seed: int) -> None:
        self._vae, self._seen, self._held_out, self._batch, self._seed = vae, seen, held_out, batch, seed

    def __call__(self, step: int) -> Tensor:
        """Return the loss of the batch that ``step`` draws."""
        rng = np.random.default_rng((self._seed, step))
        pairs = self._held_out if step >= HELD_OUT else self._seen
        count, side = self._batch
        squares = crops(pairs.sources.shape[1:3], side, count, rng)
        sets = [pairs.paintings if rng.random() < PAINTINGS else pairs.sources for _ in range(count)]
        image = pictures(np.stack([
            of[number][square] for of, number, square in zip(sets, pairs.draw(count, rng), squares, strict=True)
        ]))
        with half_precision():
            posterior = self._vae.encode(image).latent_dist
            noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(step)).to(image)
            decoded = self._vae.decode(posterior.mean + posterior.std * noise).sample
        difference = torch.einsum("ij,njhw->nihw", OPPONENT.to(image), decoded.float() - image)
        edges = difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        means = avg_pool2d(difference, FACTOR).abs().mean()
        return difference.abs().mean() + 0.5 * means + 0.5 * edges + 1e-6 * posterior.kl().float().mean()


class DiffusionLoss:
    """Velocity of noised latents: paintings under their render as control, and their caption.

    Every noise level counts alike in velocity, which is SNR + 1 in x0 (Salimans and Ho 2022). Min-SNR's weights, made
    for networks that find structure by themselves, all but ignore the high noise where this one learns its control.
    """

    def __init__(
        self, networks: dict[str, torch.nn.Module], vae: torch.nn.Module, seen: Pairs, held_out: Pairs,
        batches: Sequence[tuple[int, int]], seed: int,
    ) -> None:
        self._networks, self._batches, self._seed = networks, batches, seed
        self._tokenizer = make_tokenizer()
        self._alphas = make_scheduler().alphas_cumprod.to(device())
        self._sets = [(pairs, encode_all(vae, pairs.paintings)) for pairs in (seen, held_out)]

    def __call__(self, step: int) -> Tensor:
        """Return the loss of the batch that ``step`` draws."""
        rng = np.random.default_rng((self._seed, step))
        generator = torch.Generator().manual_seed(int(rng.integers(1 << 40)))
        batch = self._batches[step % len(self._batches)]
        latents, control, captions = self._draw(step >= HELD_OUT, batch, rng)
        t = torch.randint(0, len(self._alphas), (len(latents),), generator=generator).to(latents.device)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        alpha = self._alphas[t].view(-1, 1, 1, 1)
        A, S = alpha.sqrt(), (1 - alpha).sqrt()
        with half_precision():
            predicted = predict_velocity(self._networks, A * latents + S * noise, t, self._tokens(captions), control)
        return (predicted.float() - (A * noise - S * latents)).square().mean()

    def _draw(
        self, held_out: bool, batch: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, list[str]]:
        pairs, latents = self._sets[held_out]
        count, side = batch
        chosen = pairs.draw(count, rng)
        squares = list(crops(latents.shape[-2:], side // FACTOR, count, rng))
        places = list(zip(chosen, squares, strict=True))
        z = torch.stack([latents[number, :, y, x] for number, (y, x) in places])
        sources = [pairs.sources[number][_pixels(y), _pixels(x)] for number, (y, x) in places]
        keep = torch.from_numpy(rng.random(count) >= CONTROL_DROPOUT).to(device()).view(-1, 1, 1, 1)
        control = (pictures(np.stack(sources)) + 1) / 2 * keep
        words = [
            "" if rng.random() < TEXT_DROPOUT else caption(pairs.styles[number], pairs.contents[number], rng)
            for number in chosen
        ]
        return z.to(device()).float(), control, words

    def _tokens(self, captions: list[str]) -> Tensor:
        ids = self._tokenizer(captions, padding="max_length", max_length=LENGTH, truncation=True).input_ids
        return torch.tensor(ids, device=device())


def predict_velocity(
    networks: dict[str, torch.nn.Module], x: Tensor, t: Tensor, tokens: Tensor, control: Tensor
) -> Tensor:
    """Return the UNet's output for states ``x`` (N, 4, h, w).

    ``tokens`` are (N, 77), ``control`` images (N, 3, H, W) in [0, 1].
    """
    text = networks["text_encoder"](tokens).last_hidden_state
    down, mid = networks["controlnet"](x, t, text, controlnet_cond=control, return_dict=False)
    return networks["unet"](
        x, t, text, down_block_additional_residuals=down, mid_block_additional_residual=mid, return_dict=False
    )[0]


@torch.inference_mode()
def encode_all(vae: torch.nn.Module, paintings: np.ndarray) -> Tensor:
    """Return the latents (N, 4, h, w) of uint8 pictures (N, H, W, 3), half precision, on the CPU."""
    rows = []
    for painting in paintings:
        with half_precision():
            rows.append(vae.encode(pictures(painting[None])).latent_dist.mean.half().cpu())
    return torch.cat(rows)


@torch.no_grad()
def normalise(vae: torch.nn.Module, pairs: Pairs) -> None:
    """Fold into the autoencoder's 1x1 convolutions that every latent channel has mean 0 and deviation 1."""
    few = np.random.default_rng(0).permutation(len(pairs))[:24]
    latents = encode_all(vae, pairs.paintings[few]).float()
    mean, deviation = latents.mean((0, 2, 3)).to(device()), latents.std((0, 2, 3)).to(device())
    into, out, channels = vae.quant_conv, vae.post_quant_conv, len(mean)
    into.bias[:channels] -= mean
    into.bias[channels:] -= 2 * deviation.log()  # the logarithm of the variance
    into.weight[:channels] /= deviation.view(-1, 1, 1, 1)
    into.bias[:channels] /= deviation
    out.bias += out.weight[..., 0, 0] @ mean
    out.weight *= deviation.view(1, -1, 1, 1)


def train(training: Training, loss: Loss, seconds: float, log: Path, steps: int | None = None) -> None:
    """Take steps until the time is over (or there are ``steps``), logging loss and held-out loss."""
    end, losses = time.monotonic() + seconds, []
    while time.monotonic() < end and (steps is None or training.step < steps):
        losses.append(training.advance(loss))
        if training.step % REPORT == 0:
            with torch.no_grad():
                held_out = np.mean([float(loss(HELD_OUT + number)) for number in range(4)])
            line = {"step": training.step, "loss": float(np.mean(losses[-REPORT:])), "held_out": float(held_out),
                    "minutes_left": round((end - time.monotonic()) / 60, 1)}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if training.step % CHECKPOINT == 0:
            training.save()
    training.save()


def train_vae(options: argparse.Namespace) -> None:
    """Train the autoencoder for some minutes."""
    vae = make_vae(SIZES[options.size]).to(device())
    seen, held_out = load_pairs(options.data, held_out=False), load_pairs(options.data, held_out=True)
    training = Training({"vae": vae}, 2e-3, options.out / "vae.safetensors")
    loss = VaeLoss(vae, seen, held_out, VAE_BATCH[options.size], options.seed)
    train(training, loss, 60 * options.minutes, options.out / "vae.log", options.steps)


def trained_vae(out: Path, size: Size, pairs: Pairs) -> torch.nn.Module:
    """Return the averaged autoencoder that the first stage left in ``out``."""
    vae = make_vae(size).to(device())
    Training({"vae": vae}, 0.0, out / "vae.safetensors").use_averages()
    normalise(vae, pairs)
    return vae.eval().requires_grad_(False)


def beginning(options: argparse.Namespace, seen: Pairs) -> tuple[torch.nn.Module, dict[str, torch.nn.Module]]:
    """Return the finished autoencoder, and the networks that the diffusion stage starts from."""
    if options.model is None:
        return trained_vae(options.out, SIZES[options.size], seen), make_denoiser(SIZES[options.size])
    networks = load_networks(options.model, SIZES[options.size])
    return networks.pop("vae").to(device()).eval().requires_grad_(False), networks


def train_diffusion(options: argparse.Namespace) -> None:
    """Train UNet, ControlNet and text encoder for some minutes."""
    seen, held_out = load_pairs(options.data, held_out=False), load_pairs(options.data, held_out=True)
    vae, networks = beginning(options, seen)
    networks = {name: network.to(device()).train() for name, network in networks.items()}
    training = Training(networks, options.rate, options.out / "diffusion.safetensors", {"text_encoder": 2e-4})
    loss = DiffusionLoss(networks, vae, seen, held_out, BATCHES[options.size], options.seed)
    train(training, loss, 60 * options.minutes, options.out / "diffusion.log", options.steps)


def export(options: argparse.Namespace) -> None:
    """Write the averaged weights as a diffusers folder, ``OUT/model``."""
    vae, networks = beginning(options, load_pairs(options.data, held_out=False))
    Training(networks, 0.0, options.out / "diffusion.safetensors").use_averages()
    save_model(options.out / "model", {"vae": vae.cpu(), **networks})


def _pixels(cells: slice) -> slice:
    return slice(cells.start * FACTOR, cells.stop * FACTOR)


def main(arguments: list[str] | None = None) -> None:
    """Run one stage of the training."""
    parser = argparse.ArgumentParser(prog="python -m backend.starter.train", description=__doc__)
    parser.add_argument("--stage", choices=("vae", "diffusion", "export"), required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--steps", type=int, default=None, help="stop at this step, however much time is left")
    parser.add_argument("--size", choices=tuple(SIZES), default="cpu")
    parser.add_argument("--model", type=Path, default=None, help="go on from this exported model")
    parser.add_argument("--rate", type=float, default=8e-4, help="learning rate of UNet and ControlNet")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    {"vae": train_vae, "diffusion": train_diffusion, "export": export}[options.stage](options)


if __name__ == "__main__":
    main()
