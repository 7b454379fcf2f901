"""What a safetensors file is, told by the names and shapes in its header: nothing is loaded.

The format: the header's length as 8 bytes, little-endian; the header, which is JSON; the numbers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from ..errors import UserError

LARGEST_HEADER = 100_000_000  # bytes, the format's own limit
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
Shapes = Mapping[str, tuple[int, ...]]

# The width of what cross-attention reads of the words tells the families apart.
_WORDS = {768: "sd", 1024: "sd2", 2048: "sdxl"}


def read_shapes(path: Path) -> Shapes:
    """Return ``{name: shape}`` of the tensors in a safetensors file; UserError where it is none or is cut short."""
    if path.suffix.lower() in PICKLES:
        raise UserError(f"{path.name} is a pickle, which can run any program hidden in it. Get it as .safetensors.")
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= LARGEST_HEADER:
                raise ValueError("it has no header")
            plain = json.loads(file.read(length))
        tensors = {name: entry for name, entry in plain.items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in tensors.values()]
        if path.stat().st_size < 8 + length + max(ends, default=0):
            raise ValueError("it is cut short")
        return {name: tuple(entry["shape"]) for name, entry in tensors.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path.name} is no whole .safetensors file ({error}). Get it again.") from error


# What a kind of file has in the names of its tensors, the most telling first.
_SIGNS = (
    ("lora", ".lora"),
    ("lora", "lora_unet_"),
    ("style", "ip_adapter."),
    ("controlnet", "controlnet_cond_embedding"),
    ("controlnet", "input_hint_block"),
    ("model", "joint_blocks"),
    ("model", "double_blocks"),
    ("model", "model.diffusion_model."),
    ("vae", "decoder.conv_in"),
)


def classify(shapes: Shapes) -> tuple[str, str]:
    """Return (kind, family) of a file by its tensors.

    ``kind`` is "model" (a whole checkpoint), "controlnet", "lora", "style", "vae" or "" where it is none of these;
    ``family`` is "sd", "sd2", "sdxl", "sd3", "flux" or "".
    """
    kind = next((kind for kind, sign in _SIGNS if any(sign in name for name in shapes)), "")
    if kind == "lora":
        return kind, _lora_family(shapes)
    if any("joint_blocks" in name for name in shapes):
        return kind, "sd3"
    if any("double_blocks" in name for name in shapes):
        return kind, "flux"
    return kind, _words_family(shapes, ("attn2.to_k.weight", "to_k_ip.weight"))


def _words_family(shapes: Shapes, endings: tuple[str, ...]) -> str:
    """Return the family by what the tensors with these ``endings`` read: the last of their sides."""
    widths = {shape[-1] for name, shape in shapes.items() if name.endswith(endings) and shape}
    return next((family for width, family in _WORDS.items() if width in widths), "")


def _lora_family(shapes: Shapes) -> str:
    """Return a LoRA's family: by the second text encoder, else by what its cross-attention reads."""
    if any(name.startswith(("lora_te2_", "text_encoder_2.")) for name in shapes):
        return "sdxl"
    downs = ("attn2_to_k.lora_down.weight", "attn2.to_k.lora_A.weight", "attn2.processor.to_k_lora.down.weight")
    return _words_family(shapes, downs)
