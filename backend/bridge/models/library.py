"""The models that are on this machine: in Tempera's folder, in the Hugging Face cache, in other programs' folders."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .header import classify, read_shapes

STARTER = Path(__file__).resolve().parents[2] / "starter" / "model"
STARTER_LABEL = "Starter (comes with Tempera)"
DEPTH = 3  # folders below one that the artist names: models/loras/someone's/file
PIPELINES = {
    "StableDiffusionXL": "sdxl",
    "StableDiffusion3": "sd3",
    "StableDiffusion": "sd",
    "LatentConsistencyModel": "sd",
    "Flux": "flux",
}
RUNNABLE = ("sd", "sd2", "sdxl", "sd3")
# What is loaded of a diffusers folder, whole or in shards: "fp16" stands before or behind the number of the shard.
_LOADED = re.compile(r"(diffusion_pytorch_)?model(\.fp16)?(-\d+-of-\d+)?(\.fp16)?\.safetensors")
NETWORKS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2")  # parts that no model does without


@dataclass(frozen=True)
class Found:
    """A model on the disk: what it is, where, its size in bytes; ``problem`` says why it cannot run, "" where it can.

    ``kind`` and ``family`` are as ``header.classify`` names them.
    """

    path: Path
    kind: str
    family: str
    label: str
    size: int
    problem: str = ""


def hub_cache() -> Path:
    """Return the folder that Hugging Face's tools share on this machine, wherever the artist has put it."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return Path(chosen)
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"), "huggingface")
    return Path(home) / "hub"


def find_models(folders: Iterable[Path]) -> list[Found]:
    """Return all models: the starter, those in the shared cache, and those in ``folders``, by kind and label.

    A folder may hold diffusers folders, single files, or be that of ComfyUI or of A1111's web UI: their layouts are
    read in place.
    """
    snapshots = hub_cache().glob("models--*/snapshots/*")
    roots = [root for folder in folders for root in _roots(folder)]
    paths = [path for root in (STARTER, *snapshots, *roots) for path in _walk(root, DEPTH)]
    found = [look(path) for path in dict.fromkeys(paths)]
    return sorted((each for each in found if each.kind), key=lambda each: (each.kind, each.label.lower()))


def _roots(folder: Path) -> list[Path]:
    """Return where models lie in ``folder``: another program's, or one that holds nothing else."""
    if not (folder / "models").is_dir():
        return [folder]
    return [folder / "models", folder / "extensions" / "sd-webui-controlnet" / "models"]


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the diffusers folders and the weight files at most ``depth`` folders below ``folder``."""
    if _is_network(folder):
        yield folder
        return
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() in (".safetensors", ".ckpt"):
            yield path
        elif depth and path.is_dir():
            yield from _walk(path, depth - 1)


def _is_network(folder: Path) -> bool:
    return (folder / "model_index.json").is_file() or (folder / "config.json").is_file()


def look(path: Path) -> Found:
    """Return what lies at ``path``, without loading it; what cannot run gets a sentence that says why."""
    label = STARTER_LABEL if path == STARTER else _label(path)
    try:
        kind, family = _of_folder(path) if path.is_dir() else classify(read_shapes(path))
    except UserError as error:
        return Found(path, "model", "", label, _size(path), str(error))
    problem = ""
    if kind == "model" and family not in RUNNABLE:
        problem = f"{label} is of a family that Tempera does not run. Choose a Stable Diffusion model."
    return Found(path, kind, family, label, _size(path), problem)


def count_numbers(path: Path) -> int:
    """Return how many numbers of a model are loaded, by its headers: those of each part once, in whatever precision.

    Averages that training kept beside the weights are not, nor what else lies in the folder of a whole model or beside
    a ControlNet's weights. 0 where there is nothing. UserError where a file is damaged.
    """
    files = [path] if path.is_file() else [file for file in path.rglob("*.safetensors") if _LOADED.fullmatch(file.name)]
    if (path / "model_index.json").is_file():
        files = [file for file in files if file.parent.name in (*NETWORKS, "text_encoder_3", "controlnet")]
    whole = {file.parent for file in files if ".fp16" not in file.name}
    chosen = [file for file in files if ".fp16" not in file.name or file.parent not in whole]
    shapes = [each for file in chosen for each in read_shapes(file).items()]
    return sum(math.prod(shape) for name, shape in shapes if not name.startswith("model_ema."))


def memory_problem(label: str, need: int, free: int) -> str:
    """Return why a model that takes ``need`` bytes at the least cannot run in ``free`` bytes, "" where it can."""
    if need <= free:
        return ""
    return (
        f"{label} needs {need / 1e9:.1f} GB of memory at the least, and {free / 1e9:.1f} GB are free. "
        "Choose a smaller model, or free some memory."
    )


def _of_folder(folder: Path) -> tuple[str, str]:
    """Return (kind, family) of a diffusers folder, by its index or its config; UserError where weights are lacking."""
    index = folder / "model_index.json"
    plain = _json(index if index.is_file() else folder / "config.json")
    name = str(plain.get("_class_name", ""))
    if index.is_file():
        _refuse_without_weights(folder, [part for part in NETWORKS if _has_part(plain, part)] or ["*"])
        return "model", next((family for start, family in PIPELINES.items() if name.startswith(start)), "")
    if name.startswith("ControlNet"):
        _refuse_without_weights(folder, ["."])
        widths = {768: "sd", 1024: "sd2", 2048: "sdxl"}
        width = plain.get("cross_attention_dim")
        return "controlnet", widths.get(width, "") if isinstance(width, int) else ""
    return ("preview", "") if name == "AutoencoderTiny" else ("", "")


def _has_part(index: dict[str, object], part: str) -> bool:
    """Return whether a model's index names a class for ``part``: [null, null] stands for what a pipeline leaves out."""
    named = index.get(part)
    return any(named) if isinstance(named, list) else named is not None


def _refuse_without_weights(folder: Path, parts: Iterable[str]) -> None:
    """Raise UserError where one of the ``parts`` of a model, patterns of folders, has no weights that can be used."""
    for part in parts:
        if not any(folder.glob(f"{part}/*.safetensors")):
            what = f"the weights of its {part}" if part.isidentifier() else "its weights"
            raise UserError(f"{_label(folder)} lacks {what} as .safetensors. Get it again; what is there is kept.")


def _json(path: Path) -> dict[str, object]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Get the model again.") from error
    return plain if isinstance(plain, dict) else {}


def _label(path: Path) -> str:
    """Return a name for an artist: the repository's in the shared cache, else the file's or the folder's own."""
    for parent in path.parents:
        if parent.name.startswith("models--"):
            name = parent.name.removeprefix("models--").replace("--", "/")
            return name if path.is_dir() else f"{name}/{path.name}"
    return path.name if path.is_dir() else path.stem


def _size(path: Path) -> int:
    files = path.rglob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
