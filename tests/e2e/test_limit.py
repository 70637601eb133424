"""`--max-cost`: at the limit nothing more is started, and what is finished is kept."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from client import config, cost, limit
from client.cost import Spent
from client.farm import Farm
from client.jobfile import JobFile
from client.process import Process
from tests.e2e.machine import Machine


class Heard:
    """What a pass told."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def say(self, *_: Any) -> None: ...

    reading = sending = fetched = stands = say


@pytest.fixture
def priced(machine: Machine, aws: Any, monkeypatch: pytest.MonkeyPatch) -> JobFile:
    """The farm of this machine, as if each finished chunk had cost a dollar."""
    monkeypatch.setenv("RENDER_HOME", str(machine.home / "rendering"))
    real = limit.reached

    def reached(farm: Farm, *rest: Any) -> str:
        billed = Farm(farm.config)
        billed.config = config.load().__class__(**{**vars(farm.config), "endpoint_url": ""})
        return real(billed, *rest)

    monkeypatch.setattr(limit, "reached", reached)
    monkeypatch.setattr(cost, "spent", lambda _, run, reports: Spent(usd=len(reports), running_usd=0, unknown=0))
    return JobFile(machine.folder / "joblist.csv")


def test_at_the_limit_what_waits_is_cancelled_and_finished_frames_are_kept(
    machine: Machine, make_blend: Any, priced: JobFile
) -> None:
    make_blend(machine.folder / "long.blend", end=24)
    machine.render("add", "-b", "long.blend", "-k", "1", "--max-cost", "2")
    assert machine.rows()[0]["max_cost"] == "2.0"
    heard = Heard()
    process = Process(priced, Farm(config.load()), heard)
    until = time.monotonic() + 120
    while machine.rows()[0]["status"] not in {"Cancelled", "Failed", "Success"} and time.monotonic() < until:
        process.once()
        time.sleep(0.3)
    row = machine.rows()[0]
    assert row["status"] == "Cancelled"
    assert row["error"].startswith("Its max_cost of 2.00 dollars is reached (")
    assert 2 <= int(row["frames_done"]) < 24
    assert any("is reached" in each for each in heard.warnings)


@pytest.mark.parametrize("text", ["0", "much", "-1"])
def test_a_limit_that_is_none_is_refused(machine: Machine, blend: Path, text: str) -> None:
    machine.render("add", "-b", blend)
    assert machine.rows()[0]["max_cost"] == ""
    machine.edit(0, max_cost=text)
    assert f"its max_cost is '{text}'; write dollars" in machine.render("process", code=1).err
