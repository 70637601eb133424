"""`render estimate`: a frame is rendered on this machine, nothing of it is kept, and hours come out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.e2e.machine import Machine


def test_a_frame_rendered_here_says_how_long_the_render_takes(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-k", "2", "-s", "3", "-p", "50")
    before = sorted(machine.folder.iterdir())
    said = machine.render("estimate", "1", "--here", "--frames", "3", "--json")
    found: dict[str, Any] = json.loads(said.out)
    assert (found["frames"], found["chunks"]) == (4, 2)
    assert found["seconds_a_frame"]["low"] > 0
    assert found["hours"]["high"] >= found["hours"]["low"] > 0
    assert found["usd"] == {"low": 0.0, "high": 0.0}
    assert "rendering 3 frames here; nothing is kept" in said.err
    assert "s left" in said.err
    assert "on this machine (CPU, " in said.err
    assert "The local farm costs nothing" in said.err
    assert sorted(machine.folder.iterdir()) == before
    assert machine.render("estimate", "1", "--here", "--frame", "2").out.startswith(
        "what\tlow\thigh\ndollars on Spot\t0.0000"
    )


def test_the_rows_own_settings_are_rendered_and_what_it_cannot_render_is_told(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend)
    assert "Frame 99 is none of the render's (1-4)" in machine.render("estimate", "1", "--frame", "99", code=1).err
    machine.edit(0, camera="Nobody")
    assert "has no camera 'Nobody'" in machine.render("estimate", "1", "--here", code=1).err


def test_what_was_never_measured_is_rendered_by_a_job_that_leaves_no_frame_and_no_row_changed(
    machine: Machine, blend: Path, aws: Any
) -> None:
    machine.render("add", "-b", blend)
    rows = machine.rows()
    before = _frames(aws)
    said = machine.render("estimate", "1", "--frames", "2", "--json")
    assert "rendering 2 of its frames on the farm, as job " in said.err
    assert "Frames 1, 4 took " in said.err
    assert json.loads(said.out)["seconds_a_frame"]["low"] > 0
    assert (machine.rows(), _frames(aws)) == (rows, before)


def test_a_frame_that_fails_on_the_farm_says_why(machine: Machine, blend: Path) -> None:
    (machine.folder / "pre_render.sh").write_text("exit 7\n")
    machine.render("add", "-b", blend, "-a", "pre_render.sh")
    said = machine.render("estimate", "1", code=1)
    assert "frame 2 could not be measured on the farm: pre_render.sh failed with exit code 7" in said.err


def _frames(aws: Any) -> list[str]:
    pages = aws("s3").get_paginator("list_objects_v2").paginate(Bucket=aws.farm.results_bucket)
    return [each["Key"] for page in pages for each in page.get("Contents", ()) if "/frames/" in each["Key"]]


def test_after_a_run_the_farms_own_seconds_are_taken(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-e", "2")
    machine.render("process", "--watch")
    assert "in earlier runs on this farm" in machine.render("estimate", "1").err
