"""Frames as pictures within a page: so small that all of them together stay within a bound."""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from client.pictures.picture import PictureError, thumbnail

MOST_BYTES = 9_000_000
"""Of all pictures of a page together; base64 makes 12 MB of it."""
_MOST_BYTES_OF_ONE = 120_000
_WIDEST = 960
_NARROWEST = 16
_SHAPE = 16 / 9
_BYTES_A_PIXEL = 0.3
"""What a noisy frame takes as WebP at the best of the qualities."""
_QUALITIES = (80, 40)
_TOLD_EVERY = 200


@dataclass(frozen=True, kw_only=True)
class Thumbnail:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


def thumbnails(
    frames: Mapping[int, Path], say: Callable[[str], None]
) -> tuple[dict[int, Thumbnail], dict[int, PictureError]]:
    """Make the picture of each frame, and give those that cannot be read with the reason; `say` hears how far it is."""
    if not frames:
        return {}, {}
    most = min(_MOST_BYTES_OF_ONE, MOST_BYTES // len(frames))
    width = max(min(int(math.sqrt(most / _BYTES_A_PIXEL * _SHAPE)), _WIDEST), _NARROWEST)
    made: dict[int, Thumbnail] = {}
    wrong: dict[int, PictureError] = {}

    def one(path: Path) -> Thumbnail | PictureError:
        try:
            return _encoded(thumbnail(path, width), most)
        except PictureError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for frame, result in zip(frames, pool.map(one, frames.values()), strict=True):
            if isinstance(result, PictureError):
                wrong[frame] = result
            else:
                made[frame] = result
            count = len(made) + len(wrong)
            if count % _TOLD_EVERY == 0:
                say(f"Looked at {count:,} of {len(frames):,} frames")
    return made, wrong


def _encoded(picture: Image.Image, most: int) -> Thumbnail:
    """Write a picture at the best quality that fits, and half as large while none does."""
    while True:
        for quality in _QUALITIES:
            content = io.BytesIO()
            picture.save(content, "WEBP", quality=quality, method=2)
            if content.tell() <= most or picture.width < 2 * _NARROWEST:
                text = base64.b64encode(content.getvalue()).decode()
                return Thumbnail(uri=f"data:image/webp;base64,{text}", width=picture.width, height=picture.height)
        picture = picture.reduce(2)
