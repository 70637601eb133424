"""What renders cost: the time that chunks held hosts, by the reports, at the price of that size, zone and time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TypeVar

from client import runs
from client.account import Account
from client.config import FarmConfig
from client.errors import RenderError
from client.farm import Farm
from client.frames_folder import reports_of
from client.jobfile import Render
from render_worker.contract import Report

_Answer = TypeVar("_Answer")

LEFT_OUT = (
    "Left out: hosts' minutes of starting, idling and being stopped, attempts that were cut off before they could "
    "report, disks, addresses, S3, logs and transfer (docs/cost.md). The bill is what counts."
)
LOCAL = "The local farm costs nothing; only times are shown."
COLUMNS = ("id", "blend", "status", "frames", "host hours", "usd", "on-demand usd", "usd a frame", "usd to completion")
MONTH_COLUMNS = ("month", "host hours", "usd", "on-demand usd", "attempts of unknown price")


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a chunk: seconds that it held its share of a host, and dollars; None where no price is known."""

    started: datetime
    seconds: float
    usd: float | None
    on_demand_usd: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a render's run cost so far."""

    render: Render
    frames: int
    """How many different frames were rendered."""
    priced_frames: int
    """How many the attempts with a known price rendered; a frame that was rendered twice counts twice."""
    attempts: tuple[Attempt, ...]

    @property
    def seconds(self) -> float:
        """Give the seconds that its chunks held hosts."""
        return sum(each.seconds for each in self.attempts)

    @property
    def usd(self) -> float | None:
        """Give the dollars so far; None when no attempt has a known price."""
        return _sum(each.usd for each in self.attempts)

    @property
    def on_demand_usd(self) -> float | None:
        """Give what the same would have cost On-Demand; None when no price is known."""
        return _sum(each.on_demand_usd for each in self.attempts)

    @property
    def usd_per_frame(self) -> float | None:
        """Give dollars a frame, of the attempts with a known price; None before the first frame."""
        return None if self.usd is None or not self.priced_frames else self.usd / self.priced_frames

    @property
    def usd_to_completion(self) -> float | None:
        """Give the dollars that the missing frames will cost if they are like those rendered."""
        per_frame, left = self.usd_per_frame, self.render.frames_total - self.frames
        return None if per_frame is None else per_frame * max(left, 0)

    def data(self) -> dict[str, object]:
        """Give it for --json."""
        return {
            "id": self.render.id,
            "blend": str(self.render.blend),
            "status": self.render.status.value,
            "frames": self.frames,
            "frames_total": self.render.frames_total,
            "host_seconds": round(self.seconds, 1),
            "usd": self.usd,
            "on_demand_usd": self.on_demand_usd,
            "usd_per_frame": self.usd_per_frame,
            "usd_to_completion": self.usd_to_completion,
            "attempts": len(self.attempts),
            "attempts_of_unknown_price": sum(each.usd is None for each in self.attempts),
        }

    def cells(self) -> list[str]:
        """Give it as a row of COLUMNS."""
        return [
            str(self.render.id),
            self.render.blend.name,
            self.render.status.value,
            f"{self.frames}/{self.render.frames_total}",
            f"{self.seconds / 3600:.3f}",
            *map(_dollars, (self.usd, self.on_demand_usd, self.usd_per_frame, self.usd_to_completion)),
        ]


def costs(farm: Farm, account: Account, renders: Sequence[Render]) -> tuple[list[Cost], list[str]]:
    """Give the cost of each render that has a run in this farm, and sentences on what is not known.

    A render that was set back to Pending counts with its latest run alone, since the job file names no other.
    """
    prices = _Prices(account)
    found: list[Cost] = []
    elsewhere: list[Render] = []
    warnings: list[str] = []
    for render in renders:
        if runs.farm_tag(render.run) != farm.config.tag:
            elsewhere.append(render)
            continue
        reports = reports_of(farm.buckets, render)
        frames = {frame.frame for report in reports for frame in report.frames}
        attempts = tuple(map(prices.attempt, reports))
        priced = sum(len(report.frames) for report, each in zip(reports, attempts, strict=True) if each.usd is not None)
        found.append(Cost(render=render, frames=len(frames), priced_frames=priced, attempts=attempts))
    if elsewhere:
        ids = ", ".join(str(render.id) for render in elsewhere)
        warnings.append(f"Renders {ids} have no run in {farm.config.stack_name}, so nothing is known of their cost.")
    warnings += [f"Not every price was told: {refusal}." for refusal in prices.refusals]
    unknown = sum(attempt.usd is None for cost in found for attempt in cost.attempts)
    if unknown and not farm.config.endpoint_url:
        warnings.append(
            f"The price of {unknown} attempts is unknown, so the dollars are without them: their reports name no host, "
            "or AWS does not tell the price."
        )
    return found, warnings


def spent(config: FarmConfig, reports: Sequence[Report]) -> tuple[float, int]:
    """Give the dollars of attempts that have reported, and of how many of them no price is known. Never raises."""
    if config.endpoint_url:
        return 0.0, 0
    prices = _Prices(Account(config), with_on_demand=False)
    usd = [prices.attempt(report).usd for report in reports]
    return _sum(usd) or 0.0, usd.count(None)


def cell(config: FarmConfig, reports: Sequence[Report]) -> str:
    """Give the dollars of a finished run for its row; empty on the local farm, and where a price is unknown."""
    usd, unknown = spent(config, reports)
    return "" if config.endpoint_url or unknown or not reports else f"{usd:.4f}"


def months(costs: Iterable[Cost]) -> list[dict[str, object]]:
    """Add attempts up by the month (UTC) in which they started."""
    by_month: dict[str, list[Attempt]] = defaultdict(list)
    for cost in costs:
        for attempt in cost.attempts:
            by_month[f"{attempt.started:%Y-%m}"].append(attempt)
    return [
        {
            "month": month,
            "host_seconds": round(sum(each.seconds for each in attempts), 1),
            "usd": _sum(each.usd for each in attempts),
            "on_demand_usd": _sum(each.on_demand_usd for each in attempts),
            "attempts_of_unknown_price": sum(each.usd is None for each in attempts),
        }
        for month, attempts in sorted(by_month.items())
    ]


def month_cells(costs: Iterable[Cost]) -> list[list[str]]:
    """Give the months as rows of MONTH_COLUMNS."""
    return [
        [
            str(month["month"]),
            f"{float(str(month['host_seconds'])) / 3600:.3f}",
            _dollars(month["usd"]),
            _dollars(month["on_demand_usd"]),
            str(month["attempts_of_unknown_price"]),
        ]
        for month in months(costs)
    ]


def spot_usd(prices: Sequence[tuple[datetime, float]], start: datetime, end: datetime) -> float | None:
    """Give the dollars of a host from start to end; `prices` (dollars an hour) hold from their times, oldest first."""
    if not prices:
        return None
    total = 0.0
    for number, (since, usd_per_hour) in enumerate(prices):
        begins = start if number == 0 else max(since, start)
        ends = min(prices[number + 1][0], end) if number + 1 < len(prices) else end
        total += max((ends - begins).total_seconds(), 0.0) * usd_per_hour / 3600
    return total


class _Prices:
    """Prices as they are asked for, each once; what AWS refuses counts as unknown, and `refusals` holds its words."""

    def __init__(self, account: Account, *, with_on_demand: bool = True) -> None:
        self.refusals: list[str] = []
        self._account = account
        self._with_on_demand = with_on_demand
        self._spot: dict[tuple[str, str, datetime], list[tuple[datetime, float]]] = {}
        self._on_demand: dict[str, float | None] = {}
        self._shares: dict[str, float | None] = {}

    def attempt(self, report: Report) -> Attempt:
        """Price one report."""
        start, end = (datetime.fromtimestamp(at, timezone.utc) for at in (report.started, report.finished))
        host, usd, on_demand = report.host, None, None
        seconds = max(report.finished - report.started, 0.0)
        if host.instance_type and not self._account.config.endpoint_url:
            share = self._share(host.instance_type)
            dear = host.life_cycle == "on-demand"
            if self._with_on_demand or dear:
                on_demand = self._times(share, self._hourly(host.instance_type), seconds / 3600)
            if dear:
                usd = on_demand
            elif host.availability_zone:
                usd = self._times(share, self._spot_usd(host.instance_type, host.availability_zone, start, end), 1)
        return Attempt(started=start, seconds=seconds, usd=usd, on_demand_usd=on_demand)

    @staticmethod
    def _times(share: float | None, price: float | None, amount: float) -> float | None:
        return None if share is None or price is None else share * price * amount

    def _share(self, size: str) -> float | None:
        if size not in self._shares:
            self._shares[size] = self._asked(lambda: self._account.share_of_host(size))
        return self._shares[size]

    def _hourly(self, size: str) -> float | None:
        if size not in self._on_demand:
            self._on_demand[size] = self._asked(lambda: self._account.on_demand_price(size))
        return self._on_demand[size]

    def _spot_usd(self, size: str, zone: str, start: datetime, end: datetime) -> float | None:
        """Ask day by day, so that a run's many attempts share the answers."""
        total, day = 0.0, start.replace(hour=0, minute=0, second=0, microsecond=0)
        while day <= end:
            after = day + timedelta(days=1)
            key = (size, zone, day)
            if key not in self._spot:
                self._spot[key] = self._asked(lambda: self._account.spot_prices(*key, after)) or []  # noqa: B023 -- called at once
            usd = spot_usd(self._spot[key], max(start, day), min(end, after))
            if usd is None:
                return None
            total, day = total + usd, after
        return total

    def _asked(self, question: Callable[[], _Answer | None]) -> _Answer | None:
        try:
            return question()
        except RenderError as error:
            self.refusals = list(dict.fromkeys((*self.refusals, str(error).rstrip("."))))
            return None


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _dollars(amount: object) -> str:
    return f"{amount:.4f}" if isinstance(amount, float) else ""
