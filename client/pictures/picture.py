"""A frame as a picture for people, in whatever format Blender wrote it.

FFmpeg's decoders read all of them but Cineon. OpenEXR, Radiance HDR and DPX hold the scene's light, of which AgX,
Blender's own default view, makes display colours. Frames come from a bucket, so each is hostile until it was read:
nothing is read that is no plain file or larger than the bounds here.
"""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from client.errors import RenderError
from client.pictures import exr
from render_worker.contract import frame_of

MAX_PIXELS = 100_000_000
MAX_BYTES = 1_000_000_000
READERS = 2
"""Frames that are read at the same time: each takes a gigabyte or two of memory when it is as large as can be."""

_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".tga", ".webp", ".jp2", ".j2c", ".rgb"),
    *(".exr", ".hdr", ".dpx", ".cin"),
}
_DECODERS = {
    b"\x89PNG": "png",
    b"\xff\xd8": "mjpeg",
    b"II*\x00": "tiff",
    b"MM\x00*": "tiff",
    b"BM": "bmp",
    b"RIFF": "webp",
    b"\x00\x00\x00\x0c": "jpeg2000",
    b"\xff\x4f\xff\x51": "jpeg2000",
    b"\x01\xda": "sgi",
    exr.MAGIC: "exr",
    b"#?": "hdr",
    b"SDPX": "dpx",
    b"XPDS": "dpx",
}
"""First bytes to FFmpeg's decoder. Targa has none of its own."""
_LIGHT = {"exr", "hdr", "dpx"}
"""Those that hold light. Blender 5.0 writes it into DPX as it is, whatever the setting Log says."""
_CINEON = (b"\x80\x2a\x5f\xd7", b"\xd7\x5f\x2a\x80")
_NARROWEST = 4
"""A thumbnail is at most so many times as high as it is wide."""
_BAND_PIXELS = 1 << 20
"""Light is made into colours so many pixels at a time."""
_HALF_MAX = 65_504.0

# AgX: light into its own primaries, through a curve over the logarithm, and back. The matrices are Filament's, in the
# spelling of three.js (https://github.com/mrdoob/three.js, tonemapping_pars_fragment.glsl.js); the first is from linear
# Rec. 709 over Rec. 2020, the last back.
_INSET = np.array([[0.6274, 0.0691, 0.0164], [0.3293, 0.9195, 0.0880], [0.0433, 0.0113, 0.8956]]) @ np.array(
    [
        [0.856627153315983, 0.137318972929847, 0.11189821299995],
        [0.0951212405381588, 0.761241990602591, 0.0767994186031903],
        [0.0482516061458583, 0.101439036467562, 0.811302368396859],
    ]
)
_OUTSET = np.array(
    [
        [1.1271005818144368, -0.1413297634984383, -0.1413297634984383],
        [-0.1106066430966032, 1.157823702216272, -0.1106066430966032],
        [-0.0164939387178346, -0.0164939387178346, 1.2519364065950405],
    ]
)
_TO_REC709 = np.array([[1.6605, -0.1246, -0.0182], [-0.5876, 1.1329, -0.1006], [-0.0728, -0.0083, 1.1187]])
# The curve is what Blender 5.0.1 makes of a grey ramp: from 12 stops below a light of 1 to 4 above.
_STOPS = np.arange(-12.0, 5.0)
# fmt: off
_CURVE = np.array([
    0.003, 0.011, 0.023, 0.038, 0.059, 0.087, 0.127, 0.184, 0.267,
    0.384, 0.528, 0.659, 0.766, 0.848, 0.911, 0.960, 0.999,
])
# fmt: on

_Plane = NDArray[Any]


class PictureError(RenderError):
    """A picture cannot be read, or cannot be made."""


Picture = Image.Image | PictureError | None
"""Of a frame: it, why it cannot be read, or None where there is no such file."""


def frame_files(folder: Path) -> dict[int, Path]:
    """Give the files in the folder that are named as frames and as pictures, by frame."""
    found = (folder / name for name in sorted(os.listdir(folder)))  # noqa: PTH208 -- 10,000 Paths are slow
    return {
        frame: path for path in found if (frame := frame_of(path.name)) is not None and path.suffix.lower() in _SUFFIXES
    }


def thumbnail(path: Path, width: int) -> Image.Image:
    """Read a frame as a picture of that width in pixels, as high as its shape asks; what is transparent is black.

    What is more than four times as high as it is wide becomes narrower. Raises PictureError.
    """
    image = read(path, width)
    scale = min(width / image.width, _NARROWEST * width / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3)


def read(path: Path, least: int | None = None) -> Image.Image:
    """Read a frame in display colours (RGB) over black, in its own size.

    With `least`, light may come in fewer pixels, down to that width, which is quicker. Raises PictureError with why it
    cannot be read.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise PictureError(f"{path} is no plain file, so it was not read: put the frame itself there.")
        with path.open("rb") as file:
            first = file.read(4)
        if first in _CINEON:
            raise PictureError(f"{path.name} is Cineon, which nothing here reads: render to OpenEXR or PNG.")
        codec = next((codec for start, codec in _DECODERS.items() if first.startswith(start)), "targa")
        frame = _decoded(path, codec)
        if codec in _LIGHT:
            return _displayed(_planes(frame), least)
        return _over_black(Image.fromarray(frame.to_ndarray(format="rgba")))
    except PictureError:
        raise
    except Exception as error:  # decoders raise whatever a damaged file leads them to
        why = (isinstance(error, OSError) and error.strerror) or "it is damaged, or of more than 100 megapixels"
        raise PictureError(
            f"{path.name} cannot be read ({why}): look at it, and render it again with `render retry ID --frames N`."
        ) from None


def read_ahead(paths: Iterable[Path | None], read_one: Callable[[Path], Image.Image]) -> Iterator[Picture]:
    """Read frames in turn, the next ones already while one is used."""

    def result(waiting: Future[Image.Image] | None) -> Picture:
        try:
            return waiting.result() if waiting else None
        except PictureError as error:
            return error

    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[Future[Image.Image] | None] = deque()
        for path in paths:
            ahead.append(pool.submit(read_one, path) if path else None)
            if len(ahead) > READERS:
                yield result(ahead.popleft())
        while ahead:
            yield result(ahead.popleft())


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """Give a new file to write in the folder of `path`, to which it moves when it is whole; else it is deleted.

    Raises PictureError where it cannot be written.
    """
    made: Path | None = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:32]}-")
        os.close(handle)
        made = Path(name)
        yield made
        made.chmod(0o644)
        made.replace(path)
    except (OSError, ValueError, av.FFmpegError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "its encoder refuses such frames"
        raise PictureError(f"{path} cannot be written ({why}): close what holds it, or free the disk.") from None
    finally:
        if made is not None:
            made.unlink(missing_ok=True)


def _decoded(path: Path, codec: str) -> av.VideoFrame:
    """Decode with FFmpeg, without its readers of containers, which take some paths for patterns or addresses."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise PictureError(f"{path.name} has more than {MAX_BYTES // 10**6:,} MB, which is too large to be shown.")
    packet = av.Packet(size)
    content = memoryview(packet)
    with path.open("rb") as file:
        file.readinto(content)
    options = {"max_pixels": str(MAX_PIXELS)}
    if codec != "tiff":  # where each tag that FFmpeg does not know would be an error too
        options["err_detect"] = "explode"
    if codec == "exr":
        options |= _layer_of(path, content)
    decoder = av.Codec(codec, "r").create("video")
    decoder.options = options
    decoder.thread_count = 1
    return [*decoder.decode(packet), *decoder.decode(None)][0]


def _layer_of(path: Path, content: memoryview) -> dict[str, str]:
    """Say to FFmpeg which part and layer is the picture."""
    layer = exr.picture(bytes(content[: exr.HEADER_BYTES]), len(content))
    if layer is None:
        raise PictureError(f"{path.name} holds no colours: turn on the pass Combined of its view layer.")
    if layer.pixels > MAX_PIXELS:
        raise PictureError(f"{path.name} claims {layer.pixels // 10**6:,} megapixels, which is too large to be shown.")
    if layer.grey_at is not None:
        content[layer.grey_at : layer.grey_at + 1] = b"Y"  # FFmpeg's name for Blender's V
    return {"part": str(layer.part), "layer": layer.name}


def _over_black(straight: Image.Image) -> Image.Image:
    over = Image.new("RGB", straight.size)
    over.paste(straight, mask=straight.getchannel("A"))
    return over


def _planes(frame: av.VideoFrame) -> list[_Plane]:
    """Give red, green and blue of linear light; its transparency is in them already."""
    if not any(kind in frame.format.name for kind in ("f16", "f32")):
        frame = frame.reformat(format="gbrpf32le")
    kind = np.dtype("<f2" if "f16" in frame.format.name else "<f4")
    planes: list[_Plane] = [
        np.frombuffer(memoryview(plane), kind).reshape(plane.height, plane.line_size // kind.itemsize)[:, : plane.width]
        for plane in frame.planes[:3]
    ]
    if not frame.format.name.startswith("gbr"):
        return [planes[0]] * 3
    green, blue, red = planes
    return [red, green, blue]


def _displayed(planes: list[_Plane], least: int | None) -> Image.Image:
    """Make display colours of light; `least` is the width down to which pixels may be merged before."""
    height, width = planes[0].shape
    merged = max(1, min(width // least, height)) if least else 1
    rows = merged * max(1, _BAND_PIXELS // (width * merged))
    bands = []
    for top in range(0, height - merged + 1, rows):
        light = np.stack([plane[top : top + rows] for plane in planes], axis=-1).astype(np.float32)
        light = np.clip(np.nan_to_num(light, nan=0, posinf=_HALF_MAX, neginf=0), 0, _HALF_MAX)
        high, wide = light.shape[0] // merged, width // merged
        light = light[: high * merged, : wide * merged].reshape(high, merged, wide, merged, 3).mean(axis=(1, 3))
        bands.append(_agx(light))
    return Image.fromarray(np.concatenate(bands))


def _agx(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give what AgX shows of light at exposure 0, encoded for an sRGB display, as bytes."""
    curved = np.interp(np.log2(np.maximum(light @ _INSET, 1e-10)), _STOPS, _CURVE)
    shown = np.clip(np.maximum(curved @ _OUTSET, 0) ** 2.2 @ _TO_REC709, 0, 1)
    # https://www.color.org/chardata/rgb/srgb.xalter
    encoded = np.where(shown <= 0.0031308, shown * 12.92, 1.055 * shown ** (1 / 2.4) - 0.055)  # noqa: PLR2004
    return (encoded * 255 + 0.5).astype(np.uint8)
