"""Rendering again what is missing, and stopping what goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.machine import Machine

Make = Callable[..., Path]


def modified(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("0*.png")}


def test_a_cancelled_render_keeps_its_frames_and_a_retry_renders_the_rest(machine: Machine, make_blend: Make) -> None:
    make_blend(machine.folder / "long.blend", end=24)
    machine.render("add", "-b", "long.blend", "-k", "8", "-x", "200", "-y", "200", "-s", "32")
    while int(machine.rows()[0]["frames_done"] or 0) < 2:
        machine.render("process", code=3)
        time.sleep(0.2)

    said = machine.render("cancel", "1")

    row = machine.rows()[0]
    assert "finished and kept" in said.err
    assert row["status"] == "Cancelled"
    kept = modified(machine.folder_of())
    assert int(row["frames_done"]) == len(kept) < 24
    assert machine.render("process").code == 0, "a cancelled render rests"

    said = machine.render("retry", "1")
    assert "finished ones are kept" in said.err
    machine.render("process", "--watch")
    after = machine.rows()[0]
    assert (after["status"], after["frames_done"], after["run"]) == ("Success", "24", row["run"])
    assert len(modified(machine.folder_of())) == 24
    assert kept.items() <= modified(machine.folder_of()).items(), "no finished frame is rendered or fetched again"


def test_named_frames_are_rendered_again_and_the_old_ones_are_kept_aside(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend)
    machine.render("process", "--watch")
    before, run = modified(machine.folder_of()), machine.rows()[0]["run"]
    said = machine.render("retry", "1", "--frames", "2,4")
    assert "2 frames again; 2 finished ones are kept" in said.err
    machine.render("process", "--watch")
    after = modified(machine.folder_of())
    assert machine.rows()[0]["run"] == run
    assert {name for name in after if after[name] != before[name]} == {"0002.png", "0004.png"}
    assert {path.name for path in (machine.folder_of() / "earlier").iterdir()} == {"0002.png", "0004.png"}


def test_a_chunk_that_failed_is_retried_once_its_cause_is_gone(machine: Machine, blend: Path) -> None:
    hook = machine.folder / "pre_render.sh"
    hook.write_text('test "$RENDER_CHUNK" != 1\n')
    machine.render("add", "-b", blend, "-k", "2", "-a", hook)
    machine.render("process", "--watch", code=1)
    row = machine.rows()[0]
    assert "chunk 1 (frames 3-4): pre_render.sh failed" in row["error"]
    assert row["frames_done"] == "2", "a failed chunk does not hold back the others"
    machine.render("retry", "1")
    machine.render("process", "--watch")
    assert machine.rows()[0]["status"] == "Success", "the retry is a chunk of its own, number 2"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["retry", "1"], "is Pending: cancel it first"),
        (["retry", "7"], "has no render 7: it has 1"),
        (["cancel", "7"], "has no render 7"),
        (["retry", "1", "--frames", "x"], "cannot be read: write them like 3,7-9"),
    ],
)
def test_what_cannot_be_done_is_told(machine: Machine, blend: Path, words: list[str], sentence: str) -> None:
    machine.render("add", "-b", blend)
    assert sentence in machine.render(*words, code=1).err


def test_what_rests_is_told(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-e", "1")
    machine.render("process", "--watch")
    assert "is Success already" in machine.render("cancel", "1", code=1).err
    assert "has all of its 1 frames" in machine.render("retry", "1", code=1).err
    assert "frames 9 are none of the run's" in machine.render("retry", "1", "--frames", "9", code=1).err
