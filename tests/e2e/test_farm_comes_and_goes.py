"""A farm that is down, stopped and started anew, or killed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine

Make = Callable[..., Path]


@pytest.fixture
def owner(bare_machine: Machine) -> Iterator[Machine]:
    """A user with a farm of their own, which they may stop."""
    bare_machine.render("local", "up")
    bare_machine.render("init")
    yield bare_machine
    bare_machine.render("local", "down")


def test_a_second_up_says_that_it_is_up_and_down_ends_it(owner: Machine) -> None:
    assert "was up already" in owner.render("local", "up").err
    assert "LocalRenderFarm" in owner.render("local", "status").out
    assert "is stopped" in owner.render("local", "down").err
    assert "was not up" in owner.render("local", "down").err
    assert "render local up" in owner.render("local", "status", code=3).err


def test_a_farm_that_is_down_is_told_and_nothing_changes(owner: Machine, shot: bytes) -> None:
    (owner.folder / "shot.blend").write_bytes(shot)
    owner.render("add", "-b", "shot.blend")
    owner.render("local", "down")
    for words in (["process"], ["process", "--watch"]):
        said = owner.render(*words, code=1)
        assert "does not answer: start it with `render local up`" in said.err
    assert owner.rows()[0]["status"] == "Pending"


def test_a_farm_that_forgot_keeps_fetched_frames_and_renders_the_rest_again(owner: Machine, make_blend: Make) -> None:
    make_blend(owner.folder / "long.blend", end=24)
    owner.render("add", "-b", "long.blend", "-k", "12", "-x", "200", "-y", "200", "-s", "48")
    while int(owner.rows()[0]["frames_done"] or 0) < 3:
        owner.render("process", code=3)
        time.sleep(0.2)
    before = owner.rows()[0]
    folder = owner.home / "rendering" / "finished_renders" / "long-1"
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("0*.png")}
    owner.render("local", "down")
    owner.render("local", "up")

    said = owner.render("process", "--watch")

    assert "ran in an earlier LocalRenderFarm that is gone" in said.err
    assert f"{len(kept)} fetched frames are kept" in said.err
    after = owner.rows()[0]
    assert after["run"] != before["run"]
    assert (after["status"], after["frames_done"]) == ("Success", "24")
    assert len(list(folder.glob("0*.png"))) == 24
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept


def test_a_run_in_another_farm_that_may_still_be_there_is_left_alone(owner: Machine, shot: bytes) -> None:
    (owner.folder / "shot.blend").write_bytes(shot)
    owner.render("add", "-b", "shot.blend")
    owner.edit(0, status="Running", run="shot-1-20260101-000000-ffffff-000000", job_id="somewhere")
    said = owner.render("process", code=1)
    assert "runs in another farm than LocalRenderFarm" in said.err
    assert owner.rows()[0]["job_id"] == "somewhere"
