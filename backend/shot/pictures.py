"""PNG pictures to arrays and back: display-referred sRGB, 8 or 16 bits a channel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..bridge.errors import UserError

# As small as Pillow's of level 1 or smaller, in two thirds of the time or less: renders, paintings, noise and ramps.
FAST = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)


def read_picture(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the picture in ``path`` as ``(H, W, 3)`` float32 in [0, 1] and its alpha ``(H, W)``, None if it has none.

    Colours are as stored (sRGB, not multiplied by alpha). UserError when the file is missing or damaged.
    """
    try:
        with Image.open(path) as picture:
            picture.load()
            if picture.mode.startswith("I"):  # grey of 16 bits, which Pillow would clip to 8
                grey = np.asarray(picture, np.float32) / np.float32(65535)
                return np.repeat(grey[..., None], 3, axis=-1), None
            has_alpha = "A" in picture.getbands() or "transparency" in picture.info
            pixels = np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))
    except FileNotFoundError as error:
        raise UserError(f"The picture {path} is missing. Render or save it again.") from error
    except (OSError, ValueError, SyntaxError) as error:  # PIL raises any of the three on damaged files
        raise UserError(f"The picture {path} cannot be read ({error}). Render or save it again.") from error
    values = pixels.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(values[..., :3]), np.ascontiguousarray(values[..., 3]) if has_alpha else None


def encode_png(image: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
    """Return ``image`` ``(H, W, 3)`` float in [0, 1], with ``alpha`` ``(H, W)`` if given, as the bytes of a PNG.

    Values are clipped and rounded to 8 bits; equal arrays give equal bytes.
    """
    channels = image[..., ::-1] if alpha is None else np.dstack([image[..., ::-1], alpha])  # BGR, as OpenCV has it
    return cv2.imencode(".png", levels(channels), FAST)[1].tobytes()


def levels(image: np.ndarray) -> np.ndarray:
    """Return ``image``, float in [0, 1], as a PNG holds it: uint8 levels of the same shape."""
    return np.rint(np.clip(image, 0.0, 1.0) * 255).astype(np.uint8)
