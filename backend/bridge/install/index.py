"""Package indexes: where a file lies, and which checksum its index gives it (the simple API, PEP 503 and 691)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from ..errors import UserError
from .fetch import fetch_small, page_sentence
from .lock import Wheel

_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"


@dataclass(frozen=True)
class Link:
    """Where a file lies; ``sha256`` is what the index says of it, "" where it gives no checksum."""

    url: str
    sha256: str

    @property
    def file(self) -> str:
        """The file's name."""
        return unquote(urlsplit(self.url).path.rpartition("/")[2])


def listing(index: str, project: str) -> list[Link]:
    """Return the files of ``project`` on the index at the address ``index``; UserError where it cannot be asked."""
    page = f"{index.rstrip('/')}/{normal(project)}/"
    text = fetch_small(page, _ACCEPT).decode("utf-8", "replace")
    if text.lstrip().startswith("{"):
        try:
            files = json.loads(text)["files"]
            return [Link(urljoin(page, each["url"]), each["hashes"].get("sha256", "")) for each in files]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{_host(index)} answers with no listing ({error}). Try again later.") from error
    reader = _Anchors()
    reader.feed(text)
    links = [_link(urljoin(page, address)) for address in reader.addresses]
    if (links or reader.wants) and not any(link.file.endswith((".whl", ".tar.gz", ".zip")) for link in links):
        raise UserError(page_sentence(page))
    return links


def find_wheel(wheel: Wheel, indexes: Iterable[str]) -> str:
    """Return where ``wheel`` lies on the first of ``indexes`` that has it; UserError where none has."""
    trouble = UserError(f"No package index has {wheel.file}. Update Tempera, or choose a wheelhouse that has it.")
    for index in indexes:
        try:
            found = next((link for link in listing(index, wheel.name) if link.file == wheel.file), None)
        except UserError as error:
            trouble, found = error, None
        if found:
            return found.url
    raise trouble


def vouched(index: str, wheel: Link) -> Link:
    """Return ``wheel`` if ``index`` answers for it; UserError where it gives no checksum, or an unsafe address."""
    if not wheel.sha256:
        raise UserError(
            f"{_host(index)} gives no checksum for {wheel.file}, so it was not used. Try again on another day, choose "
            "another accelerator, or put the file into a wheelhouse."
        )
    if urlsplit(index).scheme == "https" != urlsplit(wheel.url).scheme:
        raise UserError(f"{_host(index)} names an unsafe address for {wheel.file}. Choose another accelerator.")
    return wheel


def normal(name: str) -> str:
    """Return a distribution's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _link(address: str) -> Link:
    url, fragment = urldefrag(address)
    return Link(url, fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else "")


def _host(index: str) -> str:
    return urlsplit(index).hostname or index


class _Anchors(HTMLParser):
    """Collects what the anchors of a page lead to; ``wants`` tells that it wants something, as no listing does."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.wants = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.wants |= tag in ("form", "script", "iframe", "input") or "http-equiv" in dict(attributes)
        address = dict(attributes).get("href") if tag == "a" else None
        if address:
            self.addresses.append(address)
