"""Pictures that tell their size and nothing else.

Blender decodes the first picture of a new strip to learn its size, on its main thread: at 3840 x 2160 that takes from
0.1 to 0.3 s, of a picture of one bit a pixel 0.03 s, most of which goes into making room for the colours.
"""

from __future__ import annotations

import contextlib
import struct
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import bpy

from .render_beauty import png_header


@contextlib.contextmanager
def stand_in(picture: Path) -> Iterator[Path]:
    """Lend a black PNG of the size of ``picture``, or that itself where it is no PNG or nothing can be written."""
    with contextlib.ExitStack() as stack:
        seen = picture
        with contextlib.suppress(OSError):  # after days Blender's own folder may have been cleaned away by the system
            header = png_header(picture)
            if header is not None:
                folder = tempfile.TemporaryDirectory(prefix="tempera-", dir=bpy.app.tempdir, ignore_cleanup_errors=True)
                made = Path(stack.enter_context(folder), "black.png")
                made.write_bytes(black(*header[:2]))
                seen = made
        yield seen


def black(width: int, height: int) -> bytes:
    """Return a black PNG of one bit a pixel."""
    row = bytes(1 + (width + 7) // 8)  # no filter, then eight pixels a byte
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * height, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
