"""What renders cost: the time that chunks held hosts, by the reports, at the price of that size, zone and time.

An attempt that has not reported, since it runs or was cut off, is known from Batch and priced like the run's others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import TypeVar

from client import runs
from client.account import Account, Held
from client.config import FarmConfig
from client.errors import RenderError
from client.farm import Farm
from client.frames_folder import reports_of
from client.jobfile import Render, Status
from render_worker.contract import Report

_Answer = TypeVar("_Answer")

LEFT_OUT = (
    "Left out: hosts' minutes of starting, idling and being stopped, attempts that were cut off more than some 7 days "
    "ago, disks, addresses, S3, logs and transfer (docs/cost.md). The bill is what counts."
)
LOCAL = "The local farm costs nothing; only times are shown."
COLUMNS = ("id", "blend", "status", "frames", "host hours", "usd", "on-demand usd", "usd a frame", "usd to completion")
MONTH_COLUMNS = ("month", "host hours", "usd", "on-demand usd", "attempts of unknown price")

_SIZE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
_LONGEST = timedelta(days=90)
"""For so long AWS keeps Spot prices; a report of an attempt that took longer is none that can be believed."""
_MOST_ATTEMPTS = 10
"""At a job: https://docs.aws.amazon.com/batch/latest/APIReference/API_RetryStrategy.html"""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt at a chunk: seconds that it held its share of a host, and dollars; None where no price is known.

    `started` is None where a report tells no time that can be.
    """

    started: datetime | None
    seconds: float
    usd: float | None
    on_demand_usd: float | None
    reported: bool = True
    running: bool = False


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Dollars of a run so far, those of its chunks that run among them, and of how many attempts no price is known."""

    usd: float
    running_usd: float
    unknown: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a render's run cost so far."""

    render: Render
    frames: int
    """How many different frames were rendered, as far as it was reported."""
    priced_frames: int
    """How many the ended attempts with a known price rendered; a frame that was rendered twice counts twice."""
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
    def running_usd(self) -> float:
        """Give the dollars of the chunks that run; they are in `usd` too."""
        return _sum(each.usd for each in self.attempts if each.running) or 0.0

    @property
    def usd_per_frame(self) -> float | None:
        """Give dollars a frame, of the ended attempts with a known price; None before the first frame."""
        ended = _sum(each.usd for each in self.attempts if not each.running)
        return None if ended is None or not self.priced_frames else ended / self.priced_frames

    @property
    def usd_to_completion(self) -> float | None:
        """Give the dollars that are still to come if the missing frames are like those rendered.

        What chunks that run have cost already went into missing frames.
        """
        per_frame, left = self.usd_per_frame, self.render.frames_total - self.frames
        return None if per_frame is None else max(per_frame * max(left, 0) - self.running_usd, 0.0)

    def data(self) -> dict[str, object]:
        """Give it for --json."""
        return {
            "id": self.render.id,
            "blend": str(self.render.blend),
            "status": self.render.status.value,
            "frames": self.frames,
            "frames_total": self.render.frames_total,
            "host_seconds": round(self.seconds, 1),
            "usd": _rounded(self.usd),
            "on_demand_usd": _rounded(self.on_demand_usd),
            "usd_per_frame": _rounded(self.usd_per_frame),
            "usd_to_completion": _rounded(self.usd_to_completion),
            "attempts": len(self.attempts),
            "attempts_running": sum(each.running for each in self.attempts),
            "attempts_cut_off": sum(not each.reported and not each.running for each in self.attempts),
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
            *map(dollars, (self.usd, self.on_demand_usd, self.usd_per_frame, self.usd_to_completion)),
        ]


def costs(farm: Farm, account: Account, renders: Sequence[Render]) -> tuple[list[Cost], list[str]]:
    """Give the cost of each render that has a run in this farm, and sentences on what is not known.

    A render that was set back to Pending counts with its latest run alone, since the job file names no other.
    """
    prices = Prices(account)
    found: list[Cost] = []
    elsewhere: list[Render] = []
    for render in renders:
        if runs.farm_tag(render.run) == farm.config.tag:
            found.append(_cost(render, reports_of(farm.buckets, render), prices))
        else:
            elsewhere.append(render)
    warnings = []
    if elsewhere:
        ids = ", ".join(str(render.id) for render in elsewhere)
        warnings.append(f"Renders {ids} have no run in {farm.config.stack_name}, so nothing is known of their cost.")
    warnings += [f"Not everything was told: {refusal}." for refusal in prices.refusals]
    return found, [*warnings, *_doubts([each for cost in found for each in cost.attempts], farm.config)]


def _cost(render: Render, reports: Sequence[Report], prices: Prices) -> Cost:
    attempts = list(map(prices.attempt, reports))
    priced = sum(len(report.frames) for report, each in zip(reports, attempts, strict=True) if each.usd is not None)
    rendered = {frame.frame for report in reports for frame in report.frames}
    # What an attempt finished before it was cut off is told by the next one alone, as skipped.
    skipped = {frame for report in reports for frame in report.skipped} - rendered
    if _cut_off(reports) or render.status is not Status.SUCCESS:
        attempts += prices.unreported(render.run, reports, attempts)
    if any(each.usd is not None and not each.reported and not each.running for each in attempts):
        priced += len(skipped)
    return Cost(render=render, frames=len(rendered | skipped), priced_frames=priced, attempts=tuple(attempts))


def _doubts(attempts: Sequence[Attempt], config: FarmConfig) -> list[str]:
    """Say what of the dollars is not by a report, and what is missing."""
    doubts = []
    running = sum(each.running for each in attempts)
    cut_off = sum(not each.reported and not each.running for each in attempts)
    if running or cut_off:
        doubts.append(
            f"{running} attempts that run and {cut_off} that were cut off have not reported: their time is Batch's, "
            "their price like that of the run's others."
        )
    unknown = sum(each.usd is None for each in attempts)
    if unknown and not config.endpoint_url:
        doubts.append(
            f"The price of {unknown} attempts is unknown, so the dollars are without them: their reports name no host "
            "of this region or no time that can be, Batch has forgotten them, or AWS does not tell the price."
        )
    return doubts


def spent(account: Account, run: str, reports: Sequence[Report]) -> Spent:
    """Give the dollars of a run so far, of its chunks that run and of attempts that were cut off too.

    Prices that AWS does not tell count as unknown; raises RenderError when Batch does not tell of the jobs.
    """
    prices = Prices(account, with_on_demand=False)
    attempts = list(map(prices.attempt, reports))
    attempts += prices.priced(_unreported(account.held(run, _cut_off(reports)), reports), attempts)
    return Spent(
        usd=_sum(each.usd for each in attempts) or 0.0,
        running_usd=_sum(each.usd for each in attempts if each.running) or 0.0,
        unknown=sum(each.usd is None for each in attempts),
    )


def cell(config: FarmConfig, reports: Sequence[Report]) -> str:
    """Give the dollars of a finished run for its row; empty on the local farm, and where a price is unknown."""
    if config.endpoint_url or not reports:
        return ""
    prices = Prices(Account(config), with_on_demand=False)
    attempts = list(map(prices.attempt, reports))
    if _cut_off(reports):
        attempts += prices.unreported(reports[0].run, reports, attempts)
    usd = _sum(each.usd for each in attempts)
    return "" if usd is None or any(each.usd is None for each in attempts) else f"{usd:.4f}"


def months(costs: Iterable[Cost]) -> list[dict[str, object]]:
    """Add attempts up by the month (UTC) in which they started; `unknown` where no such time is known."""
    by_month: dict[str, list[Attempt]] = defaultdict(list)
    for cost in costs:
        for attempt in cost.attempts:
            by_month[f"{attempt.started:%Y-%m}" if attempt.started else "unknown"].append(attempt)
    return [
        {
            "month": month,
            "host_seconds": round(sum(each.seconds for each in attempts), 1),
            "usd": _rounded(_sum(each.usd for each in attempts)),
            "on_demand_usd": _rounded(_sum(each.on_demand_usd for each in attempts)),
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
            dollars(month["usd"]),
            dollars(month["on_demand_usd"]),
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


class Prices:
    """Prices as they are asked for, each once; what AWS refuses counts as unknown, and `refusals` holds its words."""

    def __init__(self, account: Account, *, with_on_demand: bool = True) -> None:
        self.refusals: list[str] = []
        self._account = account
        self._with_on_demand = with_on_demand
        self._spot: dict[tuple[str, str, datetime], list[tuple[datetime, float]]] = {}
        self._on_demand: dict[str, float | None] = {}
        self._shares: dict[str, float | None] = {}

    def attempt(self, report: Report) -> Attempt:
        """Price one report; what it says may be anything, so no time or place that cannot be is asked about."""
        start, end = _moment(report.started), _moment(report.finished)
        if start is None or end is None or not timedelta(0) <= end - start <= _LONGEST:
            return Attempt(started=None, seconds=0.0, usd=None, on_demand_usd=None)
        host, usd, on_demand = report.host, None, None
        seconds = (end - start).total_seconds()
        size, zone = host.instance_type or "", host.availability_zone or ""
        if _SIZE.fullmatch(size) and not self._account.config.endpoint_url:
            share = self._share(size)
            dear = host.life_cycle == "on-demand"
            if self._with_on_demand or dear:
                on_demand = self._times(share, self._hourly(size), seconds / 3600)
            if dear:
                usd = on_demand
            elif zone.startswith(self._account.config.region):
                usd = self._times(share, self._spot_usd(size, zone, start, end), 1)
        return Attempt(started=start, seconds=seconds, usd=usd, on_demand_usd=on_demand)

    def unreported(self, run: str, reports: Sequence[Report], others: Sequence[Attempt]) -> list[Attempt]:
        """Price the run's attempts that have not reported; one that Batch does not tell of has no time and no price."""
        cut_off = _cut_off(reports)
        held = self._asked(lambda: self._account.held(run, cut_off)) or []
        known = {(each.chunk, each.attempt) for each in held}
        forgotten = sum((chunk, number) not in known for chunk, numbers in cut_off.items() for number in numbers)
        unknown = Attempt(started=None, seconds=0.0, usd=None, on_demand_usd=None, reported=False)
        return [*self.priced(_unreported(held, reports), others), *[unknown] * forgotten]

    def priced(self, held: Iterable[Held], others: Sequence[Attempt]) -> list[Attempt]:
        """Price attempts that Batch tells of like the run's others, or at the least that the farm's hosts cost now."""
        attempts = []
        for each in held:
            seconds = max(((each.ended or datetime.now(timezone.utc)) - each.started).total_seconds(), 0.0)
            usd = _usd_a_second((other.seconds, other.usd) for other in others)
            on_demand = _usd_a_second((other.seconds, other.on_demand_usd) for other in others)
            attempts.append(
                Attempt(
                    started=each.started,
                    seconds=seconds,
                    usd=self._times(seconds, self._least if usd is None else usd, 1),
                    on_demand_usd=self._times(seconds, on_demand, 1),
                    reported=False,
                    running=each.ended is None,
                )
            )
        return attempts

    @cached_property
    def _least(self) -> float | None:
        """The dollars a second of the cheapest host of the farm now, on Spot."""
        return None if self._account.config.endpoint_url else self._asked(self._cheapest_now)

    def _cheapest_now(self) -> float | None:
        sizes = self._account.sizes()
        shares = {size.name: size.share for size in sizes}
        prices = self._account.spot_now(sizes)
        return min((usd * shares[size] / 3600 for (size, _), usd in prices.items()), default=None)

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
        while day < end:
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


def _cut_off(reports: Iterable[Report]) -> dict[int, set[int]]:
    """Give, by chunk, the attempts that did not report although a later one did."""
    told: dict[int, set[int]] = defaultdict(set)
    for report in reports:
        told[report.chunk].add(report.attempt)
    missing = {chunk: {*range(1, min(max(known), _MOST_ATTEMPTS))} - known for chunk, known in told.items()}
    return {chunk: numbers for chunk, numbers in missing.items() if numbers}


def _unreported(held: Iterable[Held], reports: Iterable[Report]) -> list[Held]:
    told = {(report.chunk, report.attempt) for report in reports}
    return [each for each in held if (each.chunk, each.attempt) not in told]


def _usd_a_second(attempts: Iterable[tuple[float, float | None]]) -> float | None:
    known = [(seconds, usd) for seconds, usd in attempts if usd is not None and seconds]
    return sum(usd for _, usd in known) / sum(seconds for seconds, _ in known) if known else None


def _moment(at: float) -> datetime | None:
    try:
        return datetime.fromtimestamp(at, timezone.utc)
    except (OSError, OverflowError, ValueError):
        return None


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 6)


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def dollars(amount: object) -> str:
    """Write dollars for a table; nothing where they are not known."""
    if not isinstance(amount, float):
        return ""
    return "<0.0001" if 0 < amount < 0.0001 else f"{amount:.4f}"  # noqa: PLR2004 -- the last digit that is shown
