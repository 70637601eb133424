"""The contact sheet of a render: its frames side by side in one picture."""

from __future__ import annotations

import functools
import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from client.frames_folder import FramesFolder
from client.pictures.picture import Picture, PictureError, beside, frame_files, read_ahead, thumbnail

NAME = "contact_sheet.png"
MOST_FRAMES = 100
_SHAPE = 16 / 9
"""What the sheet's shape comes near to, so that it fills a screen."""
_WIDTH = 2400
_WIDEST = 960
"""Pixels: of the whole sheet, about, and of one frame at most."""
_MARGIN, _GAP, _TITLE, _LABEL = 48, 16, 88, 32
_BACKGROUND, _EMPTY, _EDGE = "#1d1d1d", "#262626", "#4a4a4a"
_BRIGHT, _DIM, _ALARM = "#e6e6e6", "#9a9a9a", "#e0a458"


def contact_sheet(folder: FramesFolder) -> Path:
    """Make the sheet in the folder, whole or not at all; what is missing or cannot be read is an empty cell.

    Of more than 100 frames it shows every so many. Raises PictureError when no frame can be read or nothing be written.
    """
    wanted = sorted(folder.wanted)
    step = -(-len(wanted) // MOST_FRAMES)
    shown = wanted[::step]
    files = frame_files(folder.path)
    shape = _shape(folder, [files[frame] for frame in shown if frame in files])
    columns, width = _columns(len(shown), shape)
    height = max(1, round(width / shape))
    pictures = list(read_ahead([files.get(frame) for frame in shown], functools.partial(thumbnail, width=width)))
    across, down = width + _GAP, height + _LABEL + _GAP
    size = 2 * _MARGIN + columns * across - _GAP, 2 * _MARGIN + _TITLE + -(-len(shown) // columns) * down - _GAP
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    _title(draw, sheet.width, folder, _counts(folder, files, pictures, step))
    for index, (frame, picture) in enumerate(zip(shown, pictures, strict=True)):
        left, top = _MARGIN + index % columns * across, _MARGIN + _TITLE + index // columns * down
        if isinstance(picture, Image.Image):
            picture.thumbnail((width, height))  # one of another shape than the first
            sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        else:
            _empty(draw, (left, top, left + width - 1, top + height - 1), "unreadable" if picture else "missing")
        colour = _DIM if isinstance(picture, Image.Image) else _ALARM
        draw.text((left, top + height + 8), f"{frame:04}", font=_font(18), fill=colour)
    with beside(folder.path / NAME) as file:
        sheet.save(file, "PNG")
    return folder.path / NAME


def _shape(folder: FramesFolder, files: list[Path]) -> float:
    """Give width by height of the first frame that can be read."""
    why = "none has come yet"
    for path in files:
        try:
            image = thumbnail(path, _WIDEST)
        except PictureError as error:
            why = str(error).rstrip(".")
        else:
            return image.width / image.height
    raise PictureError(f"{folder.path.name} has no frame for a contact sheet: {why}.")


def _columns(count: int, shape: float) -> tuple[int, int]:
    """Choose how many frames stand in a row, and the width of each in pixels."""
    columns = min(count, math.ceil(math.sqrt(count * _SHAPE / shape)))
    columns = -(-count // -(-count // columns))  # no column more than the rows need
    return columns, min(_WIDEST, (_WIDTH - 2 * _MARGIN + _GAP) // columns - _GAP)


def _counts(folder: FramesFolder, files: dict[int, Path], pictures: list[Picture], step: int) -> list[str]:
    """Say what the sheet holds: range, number, what is left out, what is missing."""
    count, missing = len(folder.wanted), len(folder.wanted - files.keys())
    unreadable = sum(isinstance(picture, PictureError) for picture in pictures)
    first, last = min(folder.wanted), max(folder.wanted)
    told = [f"frames {first}-{last}", f"{count:,} frames"] if count > 1 else [f"frame {first}"]
    told += [f"1 of {step} is shown"] if step > 1 else []
    told += [f"{missing:,} missing"] if missing else []
    return told + ([f"{unreadable} unreadable"] if unreadable else [])


def _title(draw: ImageDraw.ImageDraw, width: int, folder: FramesFolder, counts: list[str]) -> None:
    """Write the folder's name at the left and the counts at the right, as large as they have room."""
    line, room = _MARGIN + 36, width - 2 * _MARGIN
    name = _fitting(folder.path.name, 36, room * 0.5)
    draw.text((_MARGIN, line), folder.path.name, font=name, fill=_BRIGHT, anchor="ls")
    text = "  ·  ".join(counts)
    font = _fitting(text, 22, room * 0.45)
    draw.text((width - _MARGIN, line), text, font=font, fill=_DIM, anchor="rs")


def _fitting(text: str, size: int, room: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return _font(max(8, min(size, int(size * room / max(1.0, _font(size).getlength(text))))))


def _empty(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], why: str) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, fill=_EMPTY, outline=_EDGE)
    draw.line((left, top, right, bottom), fill=_EDGE)
    draw.line((left, bottom, right, top), fill=_EDGE)
    middle = ((left + right) // 2, (top + bottom) // 2)
    around = draw.textbbox(middle, why, font=_font(20), anchor="mm")
    draw.rectangle((around[0] - 10, around[1] - 6, around[2] + 10, around[3] + 6), fill=_EMPTY)
    draw.text(middle, why, font=_font(20), fill=_ALARM, anchor="mm")


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
