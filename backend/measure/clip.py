"""What CLIP says of a run, where the artist has one: an extra, from disk alone, never fetched.

CLIP-T is the mean cosine of frame and prompt, Tem-Con that of consecutive frames, Fram-Acc the share of frames that
are nearer to the prompt than to what the source shows (Qi et al., FateZero, ICCV 2023; Yang et al., Rerender A Video,
SIGGRAPH Asia 2023). Their values depend on the model: only those of one model compare.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from ..diffusion.loading import load_part, load_tokenizer
from .texture import Run

SOURCE = "a 3D render"  # what the source shows, where nobody says it
TOGETHER = 8  # frames
LEAST = 0.97  # of the independent run's CLIP-T that leaves a run admissible


@dataclass(frozen=True)
class ClipNumbers:
    """Each in [-1, 1], Fram-Acc in [0, 1]; None without a prompt, or where there is a single frame."""

    clip_t: float | None
    tem_con: float | None
    fram_acc: float | None


class Clip:
    """A CLIP model in ``folder``, as transformers lays it out; UserError where it cannot be opened."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = load_part({"CLIPModel": transformers.CLIPModel}, folder, torch.float32)
        self.tokenizer = load_tokenizer(transformers.CLIPTokenizer, folder)
        side = self.model.config.vision_config.image_size
        sizes = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
        self.processor = transformers.CLIPImageProcessorPil(**sizes)  # mean and deviation are those of all CLIPs

    @torch.inference_mode()
    def embed(self, frames: Sequence[int], run: Run, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the unit embeddings of a run's frames ``(frames, D)`` and of ``texts`` ``(texts, D)``."""
        words = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
        seen: list[np.ndarray] = []
        for first in range(0, len(frames), TOGETHER):
            images = [np.rint(run(f) * 255).clip(0, 255).astype(np.uint8) for f in frames[first : first + TOGETHER]]
            pixels = self.processor(images=images, return_tensors="pt").pixel_values
            said = self.model(input_ids=words.input_ids, attention_mask=words.attention_mask, pixel_values=pixels)
            seen.append(said.image_embeds.numpy())
        return np.concatenate(seen), said.text_embeds.numpy()

    def numbers(self, run: Run, prompts: Mapping[int, str], source: str = SOURCE) -> ClipNumbers:
        """Measure a run over the frames of ``prompts``, in order, each against its own ("" where it has none)."""
        frames, texts = list(prompts), sorted(set(prompts.values()))
        seen, said = self.embed(frames, run, [source, *texts])
        steady = float((seen[1:] * seen[:-1]).sum(-1).mean()) if len(frames) > 1 else None
        if not all(texts):
            return ClipNumbers(None, steady, None)
        other, target = seen @ said[0], (seen * said[[1 + texts.index(prompts[f]) for f in frames]]).sum(-1)
        return ClipNumbers(float(target.mean()), steady, float((target > other).mean()))


def clip_report(
    clip: Clip, run: Run, independent: Run | None, prompts: Mapping[int, str], source: str
) -> dict[str, Any]:
    """Return a run's numbers as JSON values; ``source`` says what the source shows, "" where nobody did.

    With an ``independent`` run also "relative", the run's CLIP-T over that run's, and "passed", whether it is "least"
    or more: whether the prompt was not given up for consistency. None where it is not known.
    """
    own = clip.numbers(run, prompts, source or SOURCE)
    report = {"model": _name(clip.folder), **asdict(own), "relative": None, "least": LEAST, "passed": None}
    if independent is not None and own.clip_t is not None:
        other = clip.numbers(independent, prompts, source or SOURCE).clip_t
        if other is not None and other > 0:
            report |= {"relative": own.clip_t / other, "passed": own.clip_t >= LEAST * other}
    return report


def _name(folder: Path) -> str:
    """Return the repository's name in the shared cache, else the folder's own."""
    repository = folder.parent.parent.name
    return repository.removeprefix("models--").replace("--", "/") if repository.startswith("models--") else folder.name
