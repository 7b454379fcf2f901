"""Fetches files: resumed where they broke off, and refused unless they are what was asked for."""

from __future__ import annotations

import base64
import errno
import hashlib
import http.client
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from .. import VERSION
from ..errors import UserError
from ..exclusive import exclusive

CHUNK = 1 << 20  # bytes
ATTEMPTS = 3  # in a row that bring nothing; a connection that breaks off is taken up again
WAIT_SECONDS = 0.4  # after the first of these, twice that after the second
SILENCE_SECONDS = 30.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Tell = Callable[[int], None]


def fetch(url: str, target: Path, sha256: str, tell: Tell) -> None:
    """Put what lies at ``url`` into the file ``target``, whole or not at all.

    What arrived is kept in ``target.part``, and the next call goes on behind it. ``sha256`` is the checksum that the
    file must have; ``tell`` is called with the bytes that are here, also with those of an earlier call. UserError:
    the network, the disk, another program that fetches it just now, or a file that is not what was asked for.
    """
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(target.with_name(target.name + ".lock")) as free:
            if not free:
                raise UserError(f"{target.name} is fetched by another program just now. Wait for it, then try again.")
            _complete(url, part, tell)
            _refuse_other(part, target.name, sha256)
            move(part, target)
    except OSError as error:
        raise UserError(disk_sentence(error, target)) from error


def _refuse_other(part: Path, name: str, sha256: str) -> None:
    """Remove the file at ``part`` and raise UserError where its checksum is not ``sha256``."""
    if checksum(part) != sha256:
        part.unlink()
        raise UserError(
            f"{name} is not the file that Tempera knows: its checksum differs, so it was not used. Try again; if it "
            "stays so, something between here and the server changes files (a proxy, an antivirus)."
        )


def fetch_small(url: str, accept: str = "*/*") -> bytes:
    """Return what lies at ``url``, a listing or another small file; UserError where the network refuses.

    ``accept`` are the media types that are understood, as HTTP writes them.
    """
    try:
        with urllib.request.urlopen(_request(url, Accept=accept), timeout=SILENCE_SECONDS) as answer:  # noqa: S310
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        host = urlsplit(url).hostname
        raise UserError(f"{host} answers {error.code} ({error.reason}). Try again later, or update Tempera.") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise UserError(_network_sentence(url, error)) from error


def checksum(path: Path) -> str:
    """Return the SHA-256 of the file at ``path`` as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def move(source: Path, target: Path, patience: float = 5.0) -> None:
    """Rename ``source`` to ``target``; where another program holds a file, wait ``patience`` seconds for it to let go.

    Virus scanners on Windows hold new files for a moment. Raises PermissionError when they hold on.
    """
    end = time.monotonic() + patience
    while True:
        try:
            source.replace(target)
        except PermissionError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.1)
        else:
            return


def disk_sentence(error: OSError, path: Path) -> str:
    """Return what the file system's ``error`` at ``path`` means for the artist, and what to do."""
    if error.errno in FULL:
        return f"The disk of {path.parent} is full. Free some space, or choose another folder, then try again."
    if isinstance(error, PermissionError) and path.parent.is_dir():
        return (
            f"{path} is held by another program, or may not be written. Close what uses it, or except the folder "
            "from the virus scanner, then try again."
        )
    return f"{path} cannot be written ({error.strerror or error}). Choose another folder, then try again."


def _complete(url: str, part: Path, tell: Tell) -> None:
    """Make ``part`` as long as the server says, however often the connection breaks off after some bytes."""
    fruitless = 0
    while True:
        before = _length(part)
        try:
            return _continue(url, part, tell)
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing is behind what is here
                return None
            raise UserError(
                f"{urlsplit(url).hostname} answers {error.code} ({error.reason}) for {part.stem}. Try again later, or "
                "update Tempera."
            ) from error
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            fruitless = 0 if _length(part) > before else fruitless + 1
            if fruitless == ATTEMPTS:
                raise UserError(_network_sentence(url, error)) from error
            time.sleep(WAIT_SECONDS * fruitless)


def _continue(url: str, part: Path, tell: Tell) -> None:
    """Append to ``part`` what is missing of it; IncompleteRead where the connection ended early."""
    have = _length(part)
    request = _request(url, Range=f"bytes={have}-") if have else _request(url)
    with urllib.request.urlopen(request, timeout=SILENCE_SECONDS) as answer:  # noqa: S310
        if answer.headers.get_content_type() == "text/html":  # what has arrived is not to be written over with it
            raise UserError(page_sentence(url))
        resumed = answer.status == 206
        due = int(answer.headers.get("Content-Length", -1))
        came = 0
        with part.open("ab" if resumed else "wb") as file:
            start = have if resumed else 0
            while chunk := answer.read1(CHUNK):
                file.write(chunk)
                came += len(chunk)
                tell(start + came)
    if came < due:
        raise http.client.IncompleteRead(b"", due - came)


def _request(url: str, **headers: str) -> urllib.request.Request:
    """Return a request for ``url``; a name and a password in it, as a studio's mirror may want, go into a header."""
    parts = urlsplit(url)
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    request = urllib.request.Request(bare, headers=headers | {"User-Agent": f"Tempera/{VERSION}"})  # noqa: S310
    if parts.username:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        # Not for whomever the mirror sends on to: the store where it keeps its files is no party to the login.
        request.add_unredirected_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    return request


def _length(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def page_sentence(url: str) -> str:
    """Return what a page where a file or a listing was due means for the artist, and what to do."""
    return (
        f"{urlsplit(url).hostname} answers with a page of another kind than was asked for. Where the network wants you "
        "to sign in (a hotel, a proxy), do so in a browser, then try again: what has arrived is kept."
    )


def _network_sentence(url: str, error: object) -> str:
    why = getattr(error, "reason", None) or error
    if isinstance(why, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {urlsplit(url).hostname} is not trusted here ({why.verify_message}). Check the clock "
            "of this machine; behind a company's proxy, name its certificates in SSL_CERT_FILE. Then try again."
        )
    return (
        f"{urlsplit(url).hostname} cannot be reached, or broke off ({why}). Check the network, a proxy or a firewall, "
        "then try again: what has arrived is kept."
    )
