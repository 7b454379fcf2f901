"""The words that the starter model knows: captions, and a byte-level BPE vocabulary in which each word is one token."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from transformers import CLIPTokenizer

START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 16  # tokens a prompt is padded to: in 77, as a big model has, the three that name a style would be drowned

CAPTIONS: dict[str, tuple[str, ...]] = {
    "oil": ("an oil painting of {}", "{}, oil painting", "{} in oil", "oil painting"),
    "impasto": ("an impasto painting of {}", "{}, impasto", "{} in thick impasto", "impasto painting"),
    "watercolour": ("a watercolour of {}", "{}, watercolour", "{} in watercolor", "watercolour painting"),
    "pencil": ("a pencil drawing of {}", "{}, pencil hatching", "{} in pencil", "pencil drawing"),
    "ink": ("an ink and cel drawing of {}", "{}, ink and cel", "{} as a comic in ink", "ink and cel"),
    "pointillism": ("a pointillist painting of {}", "{}, pointillism", "{} in dots, pointillism", "pointillism"),
    "charcoal": ("a charcoal drawing of {}", "{}, charcoal", "{} in charcoal and chalk", "charcoal drawing"),
    "paper cut": ("a paper cut of {}", "{}, paper cut", "{} cut from paper", "paper cut"),
}
"""Style -> ways to ask for it; {} stands for what the picture shows."""

CONTENTS = (
    "a windmill on a hill", "houses among trees", "a forest", "a still life on a table", "mountains over a lake",
    "a city of towers", "boats on the sea", "a monkey", "a robot that walks", "mushrooms between rocks",
    "arches and columns",
)
"""What the training scenes show (tools/starter_scenes.py)."""


def caption(style: str, content: str, rng: np.random.Generator) -> str:
    """Return one of the ways to ask for ``content`` in ``style``, drawn from ``rng``."""
    return str(rng.choice(CAPTIONS[style])).format(content)


def captions() -> list[str]:
    """Return every caption there is, the empty one first."""
    asked = {form.format(content) for forms in CAPTIONS.values() for form in forms for content in CONTENTS}
    return ["", *sorted(asked)]


def make_tokenizer() -> CLIPTokenizer:
    """Return a CLIP tokenizer that reads any text, byte by byte where it must, and its own words as one token each."""
    merges = _merges({word for text in captions() for word in text.replace(",", " ").split()})
    alphabet = _alphabet()
    entries = [*alphabet, *(letter + "</w>" for letter in alphabet), *map("".join, merges), START, END]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=LENGTH)


def _merges(words: Iterable[str]) -> list[tuple[str, str]]:
    """Train byte-pair encoding (Sennrich et al. 2016) on ``words`` until every one of them is a single token."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in sorted(words)}
    merges = []
    while counts := Counter(pair for parts in pieces.values() for pair in pairwise(parts)):
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        merges.append(best)
        pieces = {word: _merged(parts, best) for word, parts in pieces.items()}
    return merges


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    merged: list[str] = []
    for part in parts:
        if merged and (merged[-1], part) == pair:
            merged[-1] += part
        else:
            merged.append(part)
    return merged


def _alphabet() -> list[str]:
    """Return the letters that stand for the 256 bytes: printable ones for themselves, others from U+0100 on (GPT-2)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    rest = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(rest)) for byte in range(256)]
