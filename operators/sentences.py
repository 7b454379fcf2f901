"""Sentences with names and numbers in them, in the language that Blender speaks.

What goes wrong is told in English wherever that happens, in the worker too, and kept so in a job's folder. It is
translated where it is shown: by the template that it was made from, "{name} is gone.", which is found again in the
source. So nobody keeps a list of them; :func:`templates` is one for translators.
"""

from __future__ import annotations

import ast
import functools
import re
import threading
from collections.abc import Callable
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("backend", "operators", "properties")
_reading: threading.Thread | None = None


def translated(sentence: str) -> str:
    """Return ``sentence`` in the language that Blender speaks, as far as it knows by now; nothing is waited for."""
    global _reading  # noqa: PLW0603 - the source is read once
    if not sentence or bpy.app.translations.locale in ("", "en_US"):
        return sentence
    if _reading is None:
        _reading = threading.Thread(target=templates, daemon=True)
        _reading.start()
    return rpt_(sentence) if _reading.is_alive() else in_words_of(sentence, rpt_)


def in_words_of(sentence: str, translate: Callable[[str], str]) -> str:
    """Return ``sentence`` as ``translate`` has it, or the template that it was made from, with its values in it."""
    told = translate(sentence)
    if told != sentence:
        return told
    for template, pattern in templates().items():
        found = pattern.fullmatch(sentence)
        if found and (told := translate(template)) != template:
            return told.format(**found.groupdict())
    return sentence


@functools.cache
def templates() -> dict[str, re.Pattern[str]]:
    """Return the templates of all sentences with values, and what each matches; those with most words first.

    Reading them from the source takes about a second, once.
    """
    found = {}
    for path in sorted(each for place in PLACES for each in (ROOT / place).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                template, pattern, words = _template(node)
                if words.rstrip().endswith(".") and len(words.split()) > 2:
                    found[template] = (len(words), re.compile(pattern, re.DOTALL))
    return {template: pattern for template, (_, pattern) in sorted(found.items(), key=lambda each: -each[1][0])}


def _template(node: ast.JoinedStr) -> tuple[str, str, str]:
    """Return an f-string with names for its values, the regular expression of what it may become, and its own words."""
    template, pattern, words = "", "", ""
    names: list[str] = []
    for part in node.values:
        if isinstance(part, ast.Constant):
            text = str(part.value)
            template += text.replace("{", "{{").replace("}", "}}")
            pattern += re.escape(text)
            words += text
        else:
            name = re.findall(r"[A-Za-z]\w*", ast.unparse(part))[-1]
            names.append(name)
            name += str(names.count(name)) if names.count(name) > 1 else ""
            template += f"{{{name}}}"
            pattern += f"(?P<{name}>.*?)"
    return template, pattern, words
