"""A finished render has its contact sheet, and its movie where it was wished for; both are a command away."""

from __future__ import annotations

import os
import time
from pathlib import Path

import av
from PIL import Image

from tests.e2e.machine import Machine


def test_success_leaves_a_contact_sheet_and_a_movie_and_show_opens_them(
    machine: Machine, blend: Path, tmp_path: Path
) -> None:
    assert "has no frames here yet: run `render process`" in _added(machine, blend).render("show", "1", code=1).err
    assert "has no frames here yet" in machine.render("movie", "1", code=1).err
    said = machine.render("process", "--watch")
    folder = machine.folder_of()
    sheet, made = folder / "contact_sheet.png", folder / f"{folder.name}.mp4"
    assert f"its contact sheet is {sheet}" in said.err
    assert f"its movie is {made}" in said.err
    with Image.open(sheet) as image:
        assert image.width > 1000
    with av.open(str(made)) as container:
        assert container.streams.video[0].average_rate == 24
        assert [(frame.width, frame.height) for frame in container.decode(video=0)] == [(32, 24)] * 4

    opened = tmp_path / "opened"
    (tmp_path / "xdg-open").write_text(f'#!/bin/sh\nprintf %s "$1" > {opened}.new && mv {opened}.new {opened}\n')
    (tmp_path / "xdg-open").chmod(0o755)
    machine.variables = {"DISPLAY": ":7", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    os.utime(folder / "0003.png")
    for arguments, path in (([], folder / "0003.png"), (["--frame", "2"], folder / "0002.png"), (["--sheet"], sheet)):
        assert machine.render("show", "1", *arguments).out == f"{path}\n"
        assert _content(opened) == str(path)
    machine.variables = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    assert machine.render("show", "1").out == f"{folder / '0003.png'}\n"
    assert not opened.exists(), "without a display there is no viewer"
    said = machine.render("show", "1", "--frame", "9", code=1)
    assert "has no frame 9 here: it has 1-4" in said.err


def test_a_movie_can_be_made_of_what_is_here_and_says_what_it_lacks(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend)
    machine.render("process", "--watch")
    folder = machine.folder_of()
    movie = folder / f"{folder.name}.mp4"
    assert not movie.exists(), "nobody wished for it"
    (folder / "0002.png").unlink()
    said = machine.render("movie", "1", "--fps", "12")
    assert said.out == f"{movie}\n"
    assert "a movie of 4 frames, 12 a second" in said.err
    assert "its movie lacks 1 of its frames (2); the one before stands in for a gap" in said.err
    assert "give 1 to 240" in machine.render("movie", "1", "--fps", "0", code=1).err


def _added(machine: Machine, blend: Path) -> Machine:
    machine.render("add", "-b", blend, "--movie")
    assert machine.rows()[0]["movie"] == "yes"
    return machine


def _content(path: Path) -> str:
    """Wait for what the viewer was told, which nobody waits for, and forget it."""
    until = time.monotonic() + 30
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.02)
    content = path.read_text()
    path.unlink()
    return content
