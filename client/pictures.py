"""Small pictures of frames."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from client.errors import RenderError


class PictureError(RenderError):
    """A frame's file that cannot be read as a picture."""


def thumbnail(path: Path, width: int) -> Image.Image:
    """Give the picture of a frame in RGB, at most so many pixels wide. Raises PictureError for what cannot be read."""
    try:
        with Image.open(path) as picture:
            picture.draft("RGB", (width, width))
            picture.thumbnail((width, picture.height))
            small: Image.Image = picture.convert("RGB")
            return small
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(f"{path.name} cannot be read as a picture: {error}.") from None
