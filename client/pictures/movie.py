"""The movie of a render: an H.264 MP4 of its frames, which every player and browser plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from client.frames_folder import FramesFolder
from client.pictures.picture import PictureError, beside, frame_files, read, read_ahead

SLOWEST, FASTEST = 1, 240
"""Frames a second of a movie."""
_LONGEST = 4096
"""Pixels of the longer side: more is what many players' hardware refuses (H.264 level 5.2)."""
_QUALITY = {"crf": "18", "preset": "medium"}
"""Visually lossless by x264's own measure: https://trac.ffmpeg.org/wiki/Encode/H.264"""
_BT709 = 1
"""Primaries, transfer and matrix of HD video (ITU-T H.273): what players assume of HD, so nothing looks washed out."""
_MOST_DENOMINATOR = 1001
"""That of NTSC's rates: 24000/1001 is what Blender calls 23.98."""


@dataclass(frozen=True, kw_only=True)
class Movie:
    """A finished movie of so many frames, `rate` of them a second.

    `missing` are those of the render that it lacks, since they are not here or cannot be read.
    """

    path: Path
    frames: int
    missing: list[int]
    rate: Fraction


def movie(folder: FramesFolder, told: Callable[[int, int], None], fps: float | None = None) -> Movie:
    """Make `<folder>/<folder's name>.mp4`, whole or not at all, of the first to the last frame that is here.

    It plays at the scene's speed: of a render with a step of 2, each frame lasts two of the scene's. With `fps`, so
    many of the rendered frames a second. In place of one that is missing the one before is seen. `told` hears how many
    frames are done, and of how many. Raises PictureError.
    """
    files = frame_files(folder.path)
    wanted = sorted(folder.wanted)
    here = [frame for frame in wanted if frame in files]
    if not here:
        raise PictureError(f"{folder.path} has no frame for a movie yet: run `render process`.")
    if fps is not None and not SLOWEST <= fps <= FASTEST:
        raise PictureError(f"A movie of {fps:g} frames a second cannot be made: give {SLOWEST} to {FASTEST}.")
    frames = [frame for frame in wanted if here[0] <= frame <= here[-1]]
    step = wanted[1] - wanted[0] if len(wanted) > 1 else 1
    rate = Fraction(fps or min(max(folder.fps / step, SLOWEST), FASTEST)).limit_denominator(_MOST_DENOMINATOR)
    path = folder.path / f"{folder.path.name}.mp4"
    with beside(path) as file:
        count, unreadable = _encode(file, [(frame, files.get(frame)) for frame in frames], rate, told)
    return Movie(path=path, frames=count, missing=sorted({*wanted} - {*here} | unreadable), rate=rate)


def _encode(
    path: Path, frames: list[tuple[int, Path | None]], rate: Fraction, told: Callable[[int, int], None]
) -> tuple[int, set[int]]:
    """Write the movie; give the number of its frames, and those that cannot be read.

    One frame at a time is in memory, besides those that are read ahead.
    """
    count, unreadable = 0, set[int]()
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream, shown = None, av.VideoFrame()
        pictures = read_ahead([file for _, file in frames], _fitted)
        for done, ((frame, _), found) in enumerate(zip(frames, pictures, strict=True), start=1):
            if isinstance(found, Image.Image):
                if stream is None:
                    stream = _stream(container, rate, found)
                shown = _in_video_colours(found, stream)
            elif found:
                unreadable.add(frame)
            if stream is not None:
                shown.pts, shown.time_base = count, 1 / rate
                container.mux(stream.encode(shown))
                count += 1
            told(done, len(frames))
        if stream is None:
            raise PictureError(f"{path.parent.name} has no frame that can be read, so there is no movie of it.")
        container.mux(stream.encode(None))
    return count, unreadable


def _fitted(path: Path) -> Image.Image:
    image = read(path)
    image.thumbnail((_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    return image


def _stream(container: av.container.OutputContainer, rate: Fraction, first: Image.Image) -> av.VideoStream:
    """Open the encoder for frames of that size, less a row or column where it is odd: 4:2:0 needs even ones."""
    stream = container.add_stream("libx264", rate=rate, options=_QUALITY)
    stream.width, stream.height = (max(2, side // 2 * 2) for side in first.size)
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = ColorRange.MPEG
    return stream


def _in_video_colours(image: Image.Image, stream: av.VideoStream) -> av.VideoFrame:
    size = stream.width, stream.height
    if any(abs(mine - its) > 1 for mine, its in zip(image.size, size, strict=True)):
        image = image.resize(size, Image.Resampling.LANCZOS)
    frame = av.VideoFrame.from_ndarray(np.asarray(image.crop((0, 0, *size))), format="rgb24")
    return frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)
