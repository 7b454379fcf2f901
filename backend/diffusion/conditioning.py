"""What a frame's prediction is conditioned on: words, control images, the weights of both, objects of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Text:
    """An encoded prompt: ``tokens`` (L, d); ``pooled`` (p,) for the families that want a summary beside them.

    ``style`` is what a style image says, for models with a style adapter; all texts of a run have one or none has.
    """

    tokens: Tensor
    pooled: Tensor | None = None
    style: Tensor | None = None


@dataclass(frozen=True)
class Region:
    """Words for one object of the frame. ``matte`` (h, w) in [0, 1], at the latents' resolution, says where it is.

    Without a ``negative`` of its own the frame's counts, and no further prediction is needed.
    """

    text: Text
    matte: Tensor
    negative: Text | None = None


@dataclass(frozen=True)
class Condition:
    """All that one frame's prediction is conditioned on.

    ``controls`` holds one image (3, H, W) in [0, 1] for each of the model's ControlNets and ``weights`` a number for
    each. All texts of a run come from one ``encode_text`` call, which makes them equally long. ``guidance`` is the
    scale of classifier-free guidance (Ho and Salimans 2022), None for none; below 1 it is as 1. Either all frames of a
    run have some or none has.
    """

    text: Text
    negative: Text
    controls: tuple[Tensor, ...] = ()
    weights: tuple[float, ...] = ()
    regions: tuple[Region, ...] = ()
    guidance: float | None = None


def chunk_prompts(prompts: Sequence[str], tokenizer: Any) -> list[list[list[int]]]:
    """Cut each prompt into chunks as long as the text encoder reads (77 tokens), every chunk whole in itself.

    Returns ``[prompt][chunk][token]``. A chunk is <start>, up to 75 tokens, <end>, padding; a word is not cut in two
    unless it alone is longer. Every prompt gets as many chunks as the longest has, the rest of them empty.
    """
    room = tokenizer.model_max_length - 2
    words = [tokenizer(prompt, add_special_tokens=False, verbose=False).input_ids for prompt in prompts]
    cut = [_cut(ids, tokenizer, room) for ids in words]
    count = max(len(pieces) for pieces in cut)
    return [[_framed(piece, tokenizer) for piece in pieces + [[]] * (count - len(pieces))] for pieces in cut]


def _cut(ids: list[int], tokenizer: Any, room: int) -> list[list[int]]:
    pieces = []
    while len(ids) > room:
        words = tokenizer.convert_ids_to_tokens(ids[:room])
        ends = [index + 1 for index, word in enumerate(words) if word.endswith("</w>")]
        length = ends[-1] if ends else room
        pieces.append(ids[:length])
        ids = ids[length:]
    return [*pieces, ids]


def _framed(ids: list[int], tokenizer: Any) -> list[int]:
    framed = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
    return framed + [tokenizer.pad_token_id] * (tokenizer.model_max_length - len(framed))


def encode_clip(prompts: Sequence[str], tokenizer: Any, encoder: torch.nn.Module, layer: int) -> list[Text]:
    """Encode prompts with a CLIP text encoder, chunk by chunk, so that no prompt is too long.

    ``layer`` -1 takes the encoder's normalised output (Stable Diffusion 1.5 and 2.1), -2 the raw states of the last
    layer but one (XL, 3). ``pooled`` is the projected summary of the first chunk, where the encoder has one.
    """
    texts = []
    for chunks in chunk_prompts(prompts, tokenizer):
        # one chunk at a time: what a prompt encodes to must not depend on the prompts beside it
        outputs = [_encode_chunk(chunk, encoder) for chunk in chunks]
        states = [out.last_hidden_state if layer == -1 else out.hidden_states[layer] for out in outputs]
        pooled = getattr(outputs[0], "text_embeds", None)
        texts.append(Text(torch.cat(states, dim=1)[0], None if pooled is None else pooled[0]))
    return texts


@torch.inference_mode()
def _encode_chunk(ids: list[int], encoder: torch.nn.Module) -> Any:
    device = next(encoder.parameters()).device
    return encoder(torch.tensor([ids], device=device), output_hidden_states=True)
