"""The models' command line: ``python -m backend.bridge.models list | catalogue | get``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..errands import Ended, Progress, end_with_owner, tell
from ..errors import UserError
from .catalogue import CATALOGUE, FAMILIES, KINDS, find_entry
from .hub import download
from .library import find_models, hub_cache


def main(arguments: list[str]) -> int:
    """Do what is asked and return 0, or 1 where it failed."""
    chosen = _parser().parse_args(arguments)
    if chosen.owned:
        end_with_owner()
    if chosen.command == "get":
        return _get(chosen.names[0] if chosen.names else "", chosen.cache or hub_cache())
    lines = _listed(chosen.names) if chosen.command == "list" else _recommended()
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _get(identifier: str, cache: Path) -> int:
    """Fetch a model of the catalogue, telling of it in JSON lines."""
    entry = find_entry(identifier)
    try:
        if entry is None:
            known = ", ".join(entry.identifier for entry in CATALOGUE)
            raise UserError(f"Tempera knows no model {identifier!r}. Choose one of: {known}.")
        made = download(entry, cache, lambda done, total, note: tell(Progress("download", done, total, note)))
    except UserError as error:
        tell(Ended("failed", "download", str(error)))
        return 1
    tell(Ended("done", "download", f"{entry.label} is here.", result=str(made)))
    return 0


def _listed(folders: list[str]) -> list[str]:
    found = find_models([Path(folder) for folder in folders])
    return [f"{each.kind:<11} {each.family:<5} {each.size / 1e9:6.2f} GB  {each.path} {each.problem}" for each in found]


def _recommended() -> list[str]:
    lines = []
    for entry in CATALOGUE:
        lines.append(f"{entry.identifier:<14} {KINDS[entry.kind]}, {FAMILIES[entry.family]}, {entry.size / 1e9:.2f} GB")
        lines += [f"    {entry.good_for}.", f"    Weights: {entry.weights}.", f"    Code: {entry.code}."]
    return lines


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m backend.bridge.models", description=__doc__)
    parser.add_argument("command", choices=("list", "catalogue", "get"))
    parser.add_argument("names", nargs="*", help="list: folders to look into as well; get: the model's name")
    parser.add_argument("--cache", type=Path, help="where models go; by default the cache of Hugging Face's tools")
    parser.add_argument("--owned", action="store_true", help="end when standard input ends (Blender asks for this)")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
