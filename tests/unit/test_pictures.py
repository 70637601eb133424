"""Pictures of frames in every format of Blender's, and what is made of them."""

from __future__ import annotations

import itertools
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from client.frames_folder import FramesFolder
from client.inspection import inspect
from client.jobfile import JobFile
from client.pictures import album, movie
from client.pictures.contact_sheet import contact_sheet
from client.pictures.picture import READERS, PictureError, frame_files, read, read_ahead, thumbnail

Colour = tuple[int, int, int]
RED, GREEN, BLUE = (200, 30, 40), (20, 160, 60), (30, 50, 190)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One picture as Blender saves it in each of its formats."""
    folder = tmp_path_factory.mktemp("saved")
    script = Path(__file__).parents[1] / "make_frames.py"
    subprocess.run([sys.executable, script, folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def make_folder(tmp_path: Path) -> Callable[..., FramesFolder]:
    """Make a folder of frames, each of one colour, the colours in turn."""

    def make(
        wanted: Iterable[int],
        *,
        without: Iterable[int] = (),
        size: tuple[int, int] = (64, 36),
        fps: float | None = None,
    ) -> FramesFolder:
        folder = FramesFolder(tmp_path / "Shot-1", ["run"], wanted, fps)
        folder.path.mkdir()
        for frame in folder.wanted - {*without}:
            Image.new("RGB", size, (RED, GREEN, BLUE)[frame % 3]).save(folder.path / f"{frame:04}.png")
        return folder

    return make


def pixels(image: Image.Image) -> NDArray[np.float64]:
    return np.asarray(image).astype(float)


def silent(done: int, total: int) -> None:
    """Hear nothing."""


def decoded(path: Path) -> list[NDArray[np.float64]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(float) for frame in container.decode(video=0)]


def near(picture: NDArray[np.float64], colour: Colour) -> bool:
    return bool(np.abs(picture.mean(axis=(0, 1)) - colour).max() < 4)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        *((f"plain.{suffix}", 3) for suffix in ("jpg", "tif", "bmp", "tga", "rgb", "webp", "jp2")),
        *((name, 1) for name in ("deep.png", "deep.tif", "deep.jp2", "solid.png")),
        *((f"light.{suffix}", 6) for suffix in ("hdr", "dpx")),
        *((f"{name}.exr", 6) for name in ("half", "float", "layers", "parts")),
    ],
)
def test_each_format_looks_as_blenders_own_png_of_the_same_render(saved: Path, name: str, most: float) -> None:
    shown, wanted = thumbnail(saved / name, 80), thumbnail(saved / "plain.png", 80)
    assert (shown.mode, shown.size) == ("RGB", (80, 45))
    difference = np.abs(pixels(shown) - pixels(wanted)).mean()
    assert difference < most
    assert pixels(wanted).std() > 10 * most, "the render itself is no flat colour"


@pytest.mark.parametrize("name", ["grey.png", "grey.exr"])
def test_a_picture_in_grey_has_the_greys_of_the_render(saved: Path, name: str) -> None:
    shown = pixels(read(saved / name))
    assert np.ptp(shown, axis=2).max() <= 4, "AgX's matrices are rounded"
    luma = pixels(read(saved / "plain.png").convert("L"))
    assert np.abs(shown[..., 1] - luma).mean() < 12


def test_what_is_transparent_is_black(saved: Path) -> None:
    assert read(saved / "plain.png").getpixel((0, 0)) == (0, 0, 0)
    assert max(read(saved / "half.exr").getpixel((0, 0)) or (255,)) <= 1  # type: ignore[arg-type]


def test_light_that_is_no_number_or_endless_is_black_or_white(saved: Path) -> None:
    no_number, endless, less_than_all, less_than_none, grey = pixels(read(saved / "odd.exr"))[0]
    assert max(*no_number, *less_than_all, *less_than_none) <= 1
    assert min(endless) == 255
    assert 100 < grey.min() <= grey.max() < 130


def test_cineon_is_refused_with_what_to_use(saved: Path) -> None:
    with pytest.raises(PictureError, match=r"light.cin is Cineon, which nothing here reads: render to OpenEXR or PNG"):
        read(saved / "light.cin")


@pytest.mark.parametrize(
    "name",
    [
        *(f"plain.{suffix}" for suffix in ("png", "jpg", "tif", "bmp", "tga", "rgb", "webp", "jp2")),
        *("deep.png", "light.hdr", "light.dpx", "half.exr", "layers.exr", "parts.exr"),
    ],
)
def test_a_file_that_was_cut_off_is_told(saved: Path, tmp_path: Path, name: str) -> None:
    whole = (saved / name).read_bytes()
    for length in (len(whole) // 2, 300, 20, 0):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(PictureError, match=rf"{name} cannot be read \(it is damaged"):
            read(tmp_path / name)


def test_text_that_is_named_as_a_picture_is_told(tmp_path: Path) -> None:
    (tmp_path / "0001.png").write_text("#!/bin/sh\necho I am no picture\n" * 100)
    with pytest.raises(PictureError, match=r"0001.png cannot be read .* `render retry ID --frames N`"):
        read(tmp_path / "0001.png")


def test_a_png_that_claims_to_be_huge_is_refused_and_fills_no_memory(tmp_path: Path) -> None:
    def block(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    data = zlib.compress(bytes(10_000_000))
    (tmp_path / "0001.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + block(b"IHDR", header) + block(b"IDAT", data) + block(b"IEND", b"")
    )
    with pytest.raises(PictureError, match="of more than 100 megapixels"):
        read(tmp_path / "0001.png")


def test_an_exr_that_claims_to_be_huge_is_refused(saved: Path, tmp_path: Path) -> None:
    content = (saved / "half.exr").read_bytes()
    at = content.index(b"displayWindow\0box2i\0") + len(b"displayWindow\0box2i\0") + 4
    (tmp_path / "0001.exr").write_bytes(content[:at] + struct.pack("<4i", 0, 0, 59_999, 59_999) + content[at + 16 :])
    with pytest.raises(PictureError, match="claims 3,600 megapixels"):
        read(tmp_path / "0001.exr")


def test_a_file_of_many_gigabytes_is_not_even_opened_for_good(tmp_path: Path) -> None:
    with (tmp_path / "0001.png").open("wb") as file:
        file.write(b"\x89PNG")
        file.truncate(50 * 10**9)
    with pytest.raises(PictureError, match=r"has more than 1,000 MB"):
        read(tmp_path / "0001.png")


def test_an_exr_without_colours_is_told_with_the_pass_it_lacks(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "0001.exr").write_bytes((saved / "layers.exr").read_bytes().replace(b".Combined.R", b".Combined.X"))
    with pytest.raises(PictureError, match="holds no colours: turn on the pass Combined"):
        read(tmp_path / "0001.exr")


def test_a_link_out_of_the_folder_is_not_followed(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "0001.png").symlink_to(saved / "plain.png")
    with pytest.raises(PictureError, match=r"0001.png is no plain file"):
        read(tmp_path / "0001.png")
    os.mkfifo(tmp_path / "0002.png")
    with pytest.raises(PictureError, match=r"0002.png is no plain file"):
        read(tmp_path / "0002.png")


def test_only_what_is_named_as_a_picture_is_a_frame(tmp_path: Path) -> None:
    for name in ("0001.png", "0002.EXR", "0003.exe", "0004.bat", "contact_sheet.png", "0005.png.part", ".render.json"):
        (tmp_path / name).touch()
    assert {frame: path.name for frame, path in frame_files(tmp_path).items()} == {1: "0001.png", 2: "0002.EXR"}


def test_a_thumbnail_of_a_hairline_is_no_tower(tmp_path: Path) -> None:
    Image.new("RGB", (1, 30_000), RED).save(tmp_path / "0001.png")
    assert thumbnail(tmp_path / "0001.png", 100).size == (1, 400)
    Image.new("RGB", (30_000, 1), RED).save(tmp_path / "0002.png")
    assert thumbnail(tmp_path / "0002.png", 100).size == (100, 1)


def test_frames_are_read_a_few_ahead_and_in_their_order(tmp_path: Path) -> None:
    asked = []

    def opened(path: Path) -> Image.Image:
        if path.name == "0002.png":
            raise PictureError("broken")
        return Image.new("RGB", (int(path.stem), 1))

    def paths() -> Iterable[Path | None]:
        for frame in range(1, 40):
            asked.append(frame)
            yield None if frame == 3 else tmp_path / f"{frame:04}.png"

    got = []
    for picture in read_ahead(paths(), opened):
        got.append(picture.width if isinstance(picture, Image.Image) else picture)
        assert len(asked) <= len(got) + READERS
    assert (got[0], str(got[1]), got[2], got[3:]) == (1, "broken", None, list(range(4, 40)))


@pytest.mark.parametrize(("count", "cells"), [(1, 1), (4, 4), (12, 12), (250, 84), (2000, 100)])
def test_a_contact_sheet_shows_at_most_a_hundred_frames_and_fits_a_screen(
    make_folder: Callable[..., FramesFolder], count: int, cells: int
) -> None:
    folder = make_folder(range(0, 3 * count, 3))  # all of them red
    sheet = contact_sheet(folder)
    assert sheet == folder.path / "contact_sheet.png"
    with Image.open(sheet) as image:
        assert image.width <= 2400
        assert 0.8 < image.width / image.height < 2.2
        red = (np.abs(pixels(image.convert("RGB")) - RED).max(axis=2) < 3).astype(int)
    rows = np.diff(red.max(axis=1), prepend=0, append=0)
    counted = 0
    for top in np.flatnonzero(rows == 1):
        counted += int((np.diff(red[top + 5], prepend=0, append=0) == 1).sum())
    assert counted == cells
    assert not [path.name for path in folder.path.iterdir() if path.name.startswith(".")], "nothing is left beside it"


def test_a_frame_that_is_missing_or_unreadable_is_an_empty_cell(make_folder: Callable[..., FramesFolder]) -> None:
    folder = make_folder(range(1, 5), without=[2])
    (folder.path / "0003.png").write_text("no picture")
    with Image.open(contact_sheet(folder)) as image:
        shown = image.convert("RGB")
    cells = [shown.crop((48 + column * 976, 136 + row * 588, 1008 + column * 976, 676 + row * 588)) for row in (0, 1)
             for column in (0, 1)]  # fmt: skip
    assert cells[0].getcolors() == [(960 * 540, GREEN)]
    assert cells[3].getcolors() == [(960 * 540, GREEN)]
    for empty in cells[1:3]:
        assert np.abs(pixels(empty) - 38).mean() < 3
        assert len(empty.getcolors(10_000) or []) > 10, "a word says why"


def test_frames_that_nothing_can_read_give_no_sheet_and_no_movie(make_folder: Callable[..., FramesFolder]) -> None:
    folder = make_folder([1, 2], without=[1, 2])
    with pytest.raises(PictureError, match="no frame for a contact sheet: none has come yet"):
        contact_sheet(folder)
    with pytest.raises(PictureError, match="no frame for a movie yet: run `render process`"):
        movie.movie(folder, silent)
    (folder.path / "0001.png").write_text("no picture")
    with pytest.raises(PictureError, match=r"no frame for a contact sheet: 0001.png cannot be read"):
        contact_sheet(folder)
    with pytest.raises(PictureError, match="no frame that can be read, so there is no movie"):
        movie.movie(folder, silent)
    assert [path.name for path in folder.path.iterdir()] == ["0001.png"]


def test_a_sheet_that_cannot_be_written_is_told(make_folder: Callable[..., FramesFolder]) -> None:
    folder = make_folder([1])
    (folder.path / "contact_sheet.png").mkdir()
    with pytest.raises(PictureError, match=r"contact_sheet.png cannot be written \(Is a directory\)"):
        contact_sheet(folder)


def test_a_movie_holds_each_frame_in_turn_and_says_how_it_is_to_be_shown(
    make_folder: Callable[..., FramesFolder],
) -> None:
    folder = make_folder(range(1, 8), size=(101, 57))
    told: list[tuple[int, int]] = []
    made = movie.movie(folder, lambda done, total: told.append((done, total)))
    assert (made.path.name, made.frames, made.missing, made.rate) == ("Shot-1.mp4", 7, [], Fraction(24))
    assert told == [(done, 7) for done in range(1, 8)]
    with av.open(str(made.path)) as container:
        (stream,) = container.streams
        assert isinstance(stream, av.VideoStream)
        context = stream.codec_context
        assert (context.name, context.pix_fmt, context.width, context.height) == ("h264", "yuv420p", 100, 56)
        assert (stream.average_rate, stream.frames, stream.start_time) == (Fraction(24), 7, 0)
        tags = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        assert tags == (1, 1, 1, 1), "BT.709, of limited range"
    shown = decoded(made.path)
    assert len(shown) == 7
    assert all(near(picture, (RED, GREEN, BLUE)[frame % 3]) for frame, picture in enumerate(shown, start=1))
    content = made.path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "it starts to play while it still loads"


def test_in_a_movie_a_frame_that_is_missing_repeats_the_one_before(make_folder: Callable[..., FramesFolder]) -> None:
    folder = make_folder(range(1, 10), without=[1, 4, 8, 9])
    (folder.path / "0005.png").write_text("no picture")
    made = movie.movie(folder, silent)
    assert (made.frames, made.missing) == (6, [1, 4, 5, 8, 9])
    expected = [BLUE, RED, RED, RED, RED, GREEN]  # 2, 3, 3, 3, 6, 7
    assert all(near(picture, colour) for picture, colour in zip(decoded(made.path), expected, strict=True))


@pytest.mark.parametrize(
    ("step", "fps", "given", "rate"),
    [
        (1, 30.0, None, Fraction(30)),
        (1, 24 / 1.001, None, Fraction(24_000, 1001)),
        (5, 24.0, None, Fraction(24, 5)),
        (5, 24.0, 12.0, Fraction(12)),
        (100, 24.0, None, Fraction(1)),
        (1, 32_767.0, None, Fraction(240)),
        (1, None, None, Fraction(24)),
    ],
)
def test_a_movie_plays_at_the_scenes_speed_or_as_it_is_told(
    make_folder: Callable[..., FramesFolder], step: int, fps: float | None, given: float | None, rate: Fraction
) -> None:
    folder = make_folder(range(0, 4 * step, step), fps=fps)
    made = movie.movie(folder, silent, given)
    assert made.rate == rate
    with av.open(str(made.path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == rate
        assert stream.duration is not None
        assert stream.time_base is not None
        assert float(stream.duration * stream.time_base) == pytest.approx(4 / rate, abs=0.001)


@pytest.mark.parametrize("fps", [0, -1, 1000, float("nan"), float("inf")])
def test_a_rate_that_no_movie_has_is_refused(make_folder: Callable[..., FramesFolder], fps: float) -> None:
    with pytest.raises(PictureError, match="frames a second cannot be made: give 1 to 240"):
        movie.movie(make_folder([1]), silent, fps)


def test_a_movie_of_light_looks_as_its_thumbnails(saved: Path, tmp_path: Path) -> None:
    folder = FramesFolder(tmp_path, ["run"], [1])
    (tmp_path / "0001.exr").write_bytes((saved / "layers.exr").read_bytes())
    (shown,) = decoded(movie.movie(folder, silent).path)
    assert np.abs(shown - pixels(read(saved / "layers.exr"))).mean() < 4


def test_frames_of_another_size_are_fitted_to_the_first(make_folder: Callable[..., FramesFolder]) -> None:
    folder = make_folder([1, 2])
    Image.new("RGB", (640, 480), BLUE).save(folder.path / "0002.png")
    assert [picture.shape for picture in decoded(movie.movie(folder, silent).path)] == [(36, 64, 3)] * 2


def test_the_scenes_speed_is_asked_of_blender(make_blend: Callable[..., Path], tmp_path: Path) -> None:
    found = inspect(make_blend(tmp_path / "ntsc.blend", fps=30, fps_base=1.001))
    assert found is not None
    assert found.scenes[0].fps == 30 / 1.001


def test_what_is_recorded_of_the_scenes_speed_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENDER_HOME", str(tmp_path))
    jobfile = JobFile(tmp_path / "joblist.csv")
    jobfile.create()
    render = jobfile.add({"blend": "a.blend"})
    folder = FramesFolder.new(render, "run", [1], 25.0).joined_by("next")
    found = FramesFolder.of(render, "next")
    assert found is not None
    assert found.fps == 25
    record = folder.path / ".render.json"
    record.write_text(record.read_text().replace(', "fps": 25.0', ""))
    older = FramesFolder.of(render, "next")
    assert older is not None
    assert older.fps == 24


def test_a_picture_that_cannot_be_made_is_a_warning(make_folder: Callable[..., FramesFolder], tmp_path: Path) -> None:
    jobfile = JobFile(tmp_path / "joblist.csv")
    jobfile.create()
    render = jobfile.add({"blend": "a.blend", "movie": "yes"})
    folder = make_folder([1])
    (folder.path / "0001.png").write_text("no picture")
    said: list[str] = []
    warned: list[str] = []

    class Heard:
        say, warn = said.append, warned.append

    album.after_success(render, folder, Heard())
    assert warned[0].startswith("Render 1 (a.blend) has no contact sheet: Shot-1 has no frame for a contact sheet")
    assert warned[1] == (
        "Render 1 (a.blend) has no movie: Shot-1 has no frame that can be read, so there is no movie of it."
    )
    assert list(itertools.chain(folder.path.glob("*.mp4"), folder.path.glob("contact*"))) == []
