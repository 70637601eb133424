"""Adding renders: what the file says, what the user says, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.machine import Machine

Make = Callable[..., Path]


def test_with_nothing_but_the_file_everything_comes_from_it(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend)
    row = machine.rows()[0]
    wanted = {
        "blend": "shot.blend",
        "scene": "Shot",
        "startframe": "1",
        "endframe": "4",
        "step": "1",
        "xres": "32",
        "yres": "24",
        "percentage": "100",
        "samples": "1",
        "status": "Pending",
    }
    assert {name: row[name] for name in wanted} == wanted


def test_what_goes_along_is_told_in_a_line(machine: Machine, make_blend: Make) -> None:
    texture = machine.folder / "elsewhere" / "wood.png"
    texture.parent.mkdir()
    texture.write_bytes(bytes(2_000_000))
    (machine.folder / "shots").mkdir()
    path = make_blend(machine.folder / "shots" / "wood.blend", texture="//../elsewhere/wood.png")
    said = machine.render("add", "-b", path)
    assert re.search(r"; 2 files, 2\.\d MB go along\.", said.err)
    shown = machine.render("process", "--dryrun").out.splitlines()[1].split("\t")
    assert shown[2] == "2"


def test_what_the_user_says_wins(machine: Machine, blend: Path) -> None:
    words = "-S Shot --camera Eye -f 2 -e 10 -t 4 -k 3 -x 64 -y 48 -p 50 -s 2 -d night".split()
    said = machine.render("add", "-b", blend, *words)
    assert "frames 2, 6, 10 in 1 chunk, 64x48 at 50 %, 2 samples" in said.err
    assert machine.rows()[0]["description"] == "night"


def test_chunks_can_be_left_to_what_was_measured_and_every_nth_frame_can_come_first(
    machine: Machine, blend: Path
) -> None:
    said = machine.render("add", "-b", blend, *"-k auto --review 3".split())
    assert "frames 1-4 in 2 chunks" in said.err
    row = machine.rows()[0]
    assert (row["breaksize"], row["review"]) == ("auto", "3")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("-S Nowhere", "has no scene 'Nowhere': it has Shot"),
        ("--camera Nobody", "has no camera 'Nobody': it has Eye"),
        ("-f 4 -e 1", "The end frame 1 is before the start frame 4"),
        ("-f 9", "The end frame 4 is before the start frame 9"),
        ("-p 0", "percentage is 0"),
        ("-s -1", "samples is -1"),
        ("-t 0", "step is 0"),
        ("-k 0", "breaksize is 0"),
        ("-x 99999", "xres 99999 is more than"),
        ("-f -5 -e 1", "between 0 and"),
        ("-a missing.png", "There is no file"),
    ],
)
def test_what_the_file_does_not_hold_is_refused(machine: Machine, blend: Path, words: str, sentence: str) -> None:
    said = machine.render("add", "-b", blend, *words.split(), code=1)
    assert sentence in said.err
    assert said.err.startswith("Error: shot.blend was not added: ")
    assert said.err.count("\n") == 1
    assert machine.rows() == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [({"movie": 1}, "writes a movie (FFMPEG)"), ({"camera": ""}, "has no active camera")],
)
def test_a_scene_that_cannot_be_shared_out_is_refused(
    machine: Machine, make_blend: Make, options: dict[str, object], sentence: str
) -> None:
    path = make_blend(machine.folder / "bad.blend", **options)
    assert sentence in machine.render("add", "-b", path, code=1).err
    assert machine.rows() == []


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda content: b"PNG, really", "is not a .blend file"),
        (lambda content: b"", "is not a .blend file"),
        (lambda content: content[: len(content) // 2], "Blender cannot open"),
        (lambda content: content[:20], "Blender cannot open"),
        (lambda content: content.replace(b"v0500", b"v0601", 1), "saved by Blender 6.1 and the farm has 5.0.1"),
    ],
    ids=["other", "empty", "half", "header", "newer"],
)
def test_a_file_of_no_use_is_refused(
    machine: Machine, blend: Path, damage: Callable[[bytes], bytes], sentence: str
) -> None:
    blend.write_bytes(damage(blend.read_bytes()))
    assert sentence in machine.render("add", "-b", blend, code=1).err
    assert machine.rows() == []


def test_what_the_file_misses_is_told(machine: Machine, make_blend: Make) -> None:
    path = make_blend(machine.folder / "pink.blend", texture="//textures/wood.png")
    said = machine.render("add", "-b", path)
    assert "wood.png is not sent: it is missing" in said.err
    assert "1 file or folder is not sent of what it refers to" in said.err
    assert len(machine.rows()) == 1
    for words in (["process"], ["process", "--dryrun"]):
        said = machine.render(*words, code=1)
        assert "wood.png, which cannot be sent: it is missing" in said.err
    assert machine.rows()[0]["run"] == ""


def test_a_file_that_is_not_there_is_told(machine: Machine) -> None:
    assert "There is no file" in machine.render("add", "-b", "gone.blend", code=1).err


def test_without_a_job_file_it_says_how_to_make_one(machine: Machine, blend: Path) -> None:
    (machine.folder / "joblist.csv").unlink()
    assert "render init" in machine.render("add", "-b", blend, code=1).err


def test_another_job_file_can_be_named(machine: Machine, blend: Path) -> None:
    machine.render("init", "-j", "other.csv")
    machine.render("add", "-b", blend, "--jobfile", "other.csv")
    assert machine.rows() == []
    assert "shot.blend" in machine.render("describe", "-j", "other.csv").out


def test_dryrun_shows_what_would_be_sent_and_sends_nothing(bare_machine: Machine, shot: bytes) -> None:
    machine = bare_machine
    (machine.folder / "shot.blend").write_bytes(shot)
    (machine.folder / "notes.txt").write_text("beside")
    machine.render("init")
    machine.render("add", "-b", "shot.blend", "-k", "2", "-a", "notes.txt")
    before = (machine.folder / "joblist.csv").read_bytes()
    said = machine.render("process", "--dryrun")
    assert said.out.splitlines()[1].split("\t") == ["1", "shot.blend", "2", str(len(shot) + 6), "2", "1-4"]
    assert "Nothing was uploaded" in said.err
    assert (machine.folder / "joblist.csv").read_bytes() == before
