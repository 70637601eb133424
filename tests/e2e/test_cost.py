"""`render cost` on the farm of this machine, which costs nothing."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.machine import Machine


def test_the_local_farm_shows_times_and_says_that_it_costs_nothing(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-e", "2")
    assert "Renders 1 have no run in LocalRenderFarm" in machine.render("cost").err
    machine.render("process", "--watch")
    said = machine.render("cost", "1", "--json")
    (found,) = json.loads(said.out)
    assert found["host_seconds"] > 0
    assert (found["usd"], found["frames"]) == (None, 2)
    assert "costs nothing" in said.err
    assert "2/2" in machine.render("cost").out
    assert machine.render("cost", "--month").out.splitlines()[1].startswith("20")
    assert machine.rows()[0]["cost_usd"] == ""
