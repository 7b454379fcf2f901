"""Opens the parts of a model from disk, and refuses in one sentence what cannot work: before any work starts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from safetensors import SafetensorError

from ..bridge.errors import UserError
from .memory import pass_on_out_of_memory

diffusers.utils.logging.disable_progress_bar()
transformers.utils.logging.disable_progress_bar()

PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Return the JSON object in ``path``; UserError calls the file ``what`` when it is missing or damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path.parent} has no {path.name}, so it is no {what}. Choose another folder.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Copy the {what} again.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} does not describe a {what}. Copy the {what} again.")
    return value


def read_index(folder: Path) -> dict[str, Any]:
    """Return the contents of a diffusers folder's ``model_index.json``; UserError where ``folder`` is no model."""
    if not str(folder).strip(". "):
        raise UserError("No diffusion model is chosen. Choose the folder of a diffusers model.")
    if not folder.is_dir():
        raise UserError(f"There is no model folder {folder}. Choose the folder of a diffusers model.")
    return read_json(folder / "model_index.json", "diffusers model")


def load_part(kinds: dict[str, Any], folder: Path, dtype: torch.dtype) -> Any:
    """Return the network in ``folder``, in evaluation mode, without gradients, as ``dtype``.

    ``kinds`` maps the class names that are welcome to their classes. UserError: the folder or a weight is missing,
    the class is another, the weights are pickled, damaged, of other shapes, or not all finite.
    """
    if not folder.is_dir():
        raise UserError(f"The model lacks its part {folder.name}: there is no folder {folder}. Copy the model again.")
    config = read_json(folder / "config.json", "model part")
    name = config.get("_class_name") or (config.get("architectures") or [""])[0]
    if name not in kinds:
        raise UserError(f"{folder} holds a {name or 'part of no known kind'}. Put a {' or '.join(kinds)} there.")
    options = {"variant": _variant(folder), "use_safetensors": True, "local_files_only": True}
    try:
        network, report = kinds[name].from_pretrained(folder, dtype=dtype, output_loading_info=True, **options)
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        pass_on_out_of_memory(error)
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"The model part {folder} cannot be opened ({reason}). Copy the model again.") from error
    lost = sorted(map(str, report["missing_keys"])) or sorted(map(str, report["mismatched_keys"]))
    if lost:
        raise UserError(f"The model part {folder} lacks {len(lost)} weights ({lost[0]}, ...). Copy the model again.")
    refuse_nan(network, folder)
    return network.eval().requires_grad_(False)


def refuse_nan(network: torch.nn.Module, source: Path) -> None:
    """Raise UserError where a weight of ``network``, read from ``source``, is not a finite number."""
    for name, weight in network.named_parameters():
        if not torch.isfinite(weight).all():
            raise UserError(f"The weight {name} in {source} is not a number everywhere. Copy the model again.")


def _variant(folder: Path) -> str | None:
    """Return the variant in a part's file names ("fp16" or None); UserError where there are no safetensors."""
    names = [path.name for path in folder.iterdir() if path.name.endswith((".safetensors", ".safetensors.index.json"))]
    if not names:
        pickled = [path.name for path in folder.iterdir() if path.suffix in PICKLES]
        refuse_pickle(folder / pickled[0] if pickled else folder)
        raise UserError(f"The model part {folder} has no weights: no .safetensors file is in it. Copy the model again.")
    plain = ("model.safetensors", "diffusion_pytorch_model.safetensors")
    whole = any(name in plain or name.removesuffix(".index.json") in plain for name in names)
    return None if whole or not any(".fp16." in name for name in names) else "fp16"


def refuse_pickle(path: Path) -> None:
    """Raise UserError where the file at ``path`` is a pickle by its name, without opening it."""
    if path.suffix in PICKLES:
        raise UserError(
            f"{path} is a pickle, which can run any program hidden in it. "
            "Get the model as .safetensors, or convert it, and choose that."
        )


def load_tokenizer(kind: Any, folder: Path) -> Any:
    """Return the tokenizer in ``folder``; UserError where there is none or it is damaged."""
    try:
        tokenizer = kind.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"The model's tokenizer {folder} cannot be opened ({reason}). Copy the model again.") from error
    if len(tokenizer) < 256:  # transformers makes a tokenizer of two words out of nothing
        raise UserError(f"The model's tokenizer {folder} has no vocabulary. Copy the model again.")
    return tokenizer
