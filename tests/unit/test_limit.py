"""When a render has cost its `max_cost`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from client import cost, limit
from client.cost import Spent
from tests.unit.test_doctor import FARM


@pytest.mark.parametrize(
    ("max_cost", "spent", "sentence", "warnings"),
    [
        (None, Spent(usd=9.0, running_usd=0.0, unknown=0), "", 0),
        (2.0, Spent(usd=1.99, running_usd=0.5, unknown=0), "", 0),
        (2.0, Spent(usd=2.5, running_usd=0.0, unknown=0), "Its max_cost of 2.00 dollars is reached (2.50 so far)", 0),
        (2.0, Spent(usd=1.0, running_usd=0.0, unknown=3), "", 1),
    ],
)
def test_the_limit_is_held_against_what_is_known_and_the_rest_is_told(
    monkeypatch: pytest.MonkeyPatch, max_cost: float | None, spent: Spent, sentence: str, warnings: int
) -> None:
    monkeypatch.setattr(cost, "spent", lambda *_: spent)
    monkeypatch.setattr(limit, "reports_of", lambda *_: [])
    farm: Any = SimpleNamespace(config=FARM, buckets=None)
    render: Any = SimpleNamespace(max_cost=max_cost, run="run", label="Render 1 (shot.blend)", error="")
    told: list[str] = []
    why = limit.reached(farm, render, told.append)
    assert why.startswith(sentence) if sentence else why == ""
    assert len(told) == warnings
    assert limit.stopped(SimpleNamespace(error=why)) is bool(sentence)  # type: ignore[arg-type]  # all that it reads
