"""What renders cost, with AWS's own shapes of answers for prices."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from client import cost
from client.account import Account
from client.errors import RenderError
from client.jobfile import JobFile
from render_worker.contract import FrameReport, Host, Report
from tests.unit.reported import buckets_with
from tests.unit.test_doctor import FARM

NOON = datetime.now(timezone.utc).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=3)
RUN = f"shot-1-20261122-120000-{FARM.tag}-aaaaaa"
SPOT = Host(instance_type="g5.xlarge", availability_zone="eu-west-1a", life_cycle="spot")


def report(host: Host = SPOT, *, hours: float = 1, frames: int = 10, start: datetime = NOON) -> Report:
    rendered = tuple(FrameReport(frame=each, seconds=9.0, memory_mib=1, files=()) for each in range(1, frames + 1))
    return Report(
        run=RUN, chunk=0, attempt=1, frames=rendered, skipped=(), started=start.timestamp(),
        finished=start.timestamp() + hours * 3600, exit_code=0, error=None, blender="5.0.1", device="OPTIX", samples=4,
        missing=(), host=host,
    )  # fmt: skip


class Prices:
    """An account's answers on prices; None is a refusal. Counts how often each was asked."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.spot: list[tuple[datetime, float]] | None = [(NOON - timedelta(hours=20), 0.4)]
        self.on_demand: float | None = 1.0
        self.asked: list[str] = []
        patch.setattr(Account, "spot_prices", lambda _, *what: self._answer("spot", self.spot))
        patch.setattr(Account, "on_demand_price", lambda _, size: self._answer("on demand", self.on_demand))
        patch.setattr(Account, "held", lambda _, run, chunks: [])
        patch.setattr(Account, "share_of_host", lambda _, size: 0.5 if size == "c6a.2xlarge" else 1.0)

    def _answer(self, question: str, answer: Any) -> Any:
        self.asked.append(question)
        if answer is None:
            raise RenderError(f"AWS refused {question}.")
        return answer

    def costs(self, tmp_path: Path, *reports: Report) -> tuple[cost.Cost, list[str]]:
        jobfile = JobFile(tmp_path / "joblist.csv")
        jobfile.create()
        row = jobfile.update(jobfile.add({"blend": "shot.blend"}), {"run": RUN, "frames_total": 40})
        numbered = [replace(report, chunk=number) for number, report in enumerate(reports)]
        farm: Any = SimpleNamespace(config=FARM, buckets=buckets_with(RUN, numbered))
        (found,), warnings = cost.costs(farm, Account(FARM), [row])
        return found, warnings


@pytest.fixture
def prices(monkeypatch: pytest.MonkeyPatch) -> Prices:
    return Prices(monkeypatch)


def test_time_is_priced_a_frame_and_to_completion_with_on_demand_beside_it(prices: Prices, tmp_path: Path) -> None:
    found, warnings = prices.costs(tmp_path, report(), report())
    assert found.usd == pytest.approx(0.8)
    assert (found.on_demand_usd, found.frames) == (2.0, 10)
    assert found.usd_per_frame == pytest.approx(0.04)
    assert found.usd_to_completion == pytest.approx(1.2)
    assert warnings == []
    assert prices.asked == ["on demand", "spot"], "each price is asked for once"


def test_a_price_that_changes_while_a_chunk_renders_counts_from_then_on() -> None:
    history = [(NOON - timedelta(hours=9), 0.4), (NOON + timedelta(minutes=30), 0.8)]
    assert cost.spot_usd(history, NOON, NOON + timedelta(hours=1)) == pytest.approx(0.6)
    assert cost.spot_usd([], NOON, NOON + timedelta(hours=1)) is None


def test_a_chunk_over_midnight_is_priced_whole(prices: Prices, tmp_path: Path) -> None:
    found, _ = prices.costs(tmp_path, report(hours=24))
    assert found.usd == pytest.approx(24 * 0.4)


def test_an_on_demand_host_costs_the_on_demand_price_and_a_shared_one_its_share(prices: Prices, tmp_path: Path) -> None:
    found, _ = prices.costs(tmp_path, report(replace(SPOT, instance_type="c6a.2xlarge", life_cycle="on-demand")))
    assert found.usd == pytest.approx(0.5)


def test_a_host_that_is_not_named_is_counted_and_told(prices: Prices, tmp_path: Path) -> None:
    found, warnings = prices.costs(tmp_path, report(Host()), report())
    assert found.usd == pytest.approx(0.4)
    assert found.usd_per_frame == pytest.approx(0.04), "frames without a price make no frame cheaper"
    assert any("The price of 1 attempts is unknown" in each for each in warnings)


def test_a_refused_price_list_leaves_the_spot_price_and_is_told(prices: Prices, tmp_path: Path) -> None:
    prices.on_demand = None
    found, warnings = prices.costs(tmp_path, report())
    assert found.usd == pytest.approx(0.4)
    assert found.on_demand_usd is None
    assert warnings == ["Not everything was told: AWS refused on demand."]


def test_a_row_gets_its_dollars_only_when_every_price_is_known(prices: Prices) -> None:
    assert cost.cell(FARM, [report()]) == "0.4000"
    assert cost.cell(FARM, [report(), report(Host())]) == ""
    prices.spot = None
    assert cost.cell(FARM, [report()]) == ""
    assert cost.cell(replace(FARM, endpoint_url="http://localhost:1"), [report()]) == ""
    assert "on demand" not in prices.asked


def test_months_are_those_in_which_attempts_started(prices: Prices, tmp_path: Path) -> None:
    last = datetime(2026, 11, 30, 23, 30, tzinfo=timezone.utc)
    found, _ = prices.costs(tmp_path, report(start=last), report(start=last + timedelta(hours=1)))
    assert [(each["month"], each["usd"]) for each in cost.months([found])] == [
        ("2026-11", pytest.approx(0.4)),
        ("2026-12", pytest.approx(0.4)),
    ]
    assert [row[0] for row in cost.month_cells([found])] == ["2026-11", "2026-12"]
