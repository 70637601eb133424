"""What a render will cost and how long it will take, from a few measured frames and the prices of now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from client import cost, inspection, pace, plan, runs, timing
from client.account import Account, Size
from client.config import FarmConfig
from client.errors import RenderError
from client.farm import Farm
from client.frames import spelled
from client.jobfile import JobFile, Render
from render_worker.contract import Settings

_Answer = TypeVar("_Answer")

TimeOnFarm = Callable[[Render, "inspection.Inspection | None", Settings, list[int]], list[float]]
"""Renders frames of a render on the farm, and gives the seconds of each."""

HOST_MINUTES = 6
"""A host's minutes of starting, pulling the image and being stopped: an assumption, the one of docs/cost.md."""
COLUMNS = ("what", "low", "high")
LEFT_OUT = (
    "Left out: waiting for Spot hosts, attempts that Spot takes back, disks, addresses, S3, logs and transfer "
    "(docs/cost.md). The bill is what counts."
)
LOCAL = "The local farm costs nothing, and its hours are this machine's."


@dataclass(frozen=True, kw_only=True)
class Span:
    """From the least to the most that it may be."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Seconds of measured frames, and a sentence on where they are from; `alone` where each had all of the farm."""

    seconds: tuple[float, ...]
    said: str
    alone: bool = False


@dataclass(frozen=True, kw_only=True)
class Market:
    """The farm's sizes and what their hosts cost now, in dollars an hour."""

    vcpus: int
    """Of all hosts together."""
    job_vcpus: int
    host_minutes: float = HOST_MINUTES
    sizes: tuple[Size, ...] = ()
    spot: dict[tuple[str, str], float] = field(default_factory=dict)
    """By size and zone."""
    on_demand: dict[str, float] = field(default_factory=dict)
    """By size."""

    def at_once(self) -> dict[str, int]:
        """Give how many jobs run at once if all hosts are of a size, by size; of no size where AWS tells none."""
        if not self.sizes:
            return {"": max(1, self.vcpus // self.job_vcpus)}
        return {size.name: max(1, self.vcpus // size.vcpus * round(1 / size.share)) for size in self.sizes}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a render comes to; dollars are None where no price is known."""

    seconds: Span
    """Of a frame."""
    at_once: Span
    """Chunks that run at once."""
    hours: Span
    usd: Span | None
    on_demand_usd: Span | None


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The figures of a render, and what to know of them."""

    render: Render
    frames: int
    chunks: int
    figures: Figures
    notes: tuple[str, ...]

    def data(self) -> dict[str, object]:
        """Give it for --json."""
        figures = self.figures
        spans = {
            "usd": figures.usd,
            "on_demand_usd": figures.on_demand_usd,
            "usd_per_frame": self._per_frame(figures.usd),
            "on_demand_usd_per_frame": self._per_frame(figures.on_demand_usd),
            "hours": figures.hours,
            "seconds_a_frame": figures.seconds,
            "chunks_at_once": figures.at_once,
        }
        return {
            "id": self.render.id,
            "blend": str(self.render.blend),
            "frames": self.frames,
            "chunks": self.chunks,
            **{name: span and {"low": round(span.low, 6), "high": round(span.high, 6)} for name, span in spans.items()},
            "notes": list(self.notes),
        }

    def cells(self) -> list[list[str]]:
        """Give it as rows of COLUMNS; empty where no price is known."""
        figures = self.figures
        rows: list[tuple[str, Span | None, Callable[[float], str]]] = [
            ("dollars on Spot", figures.usd, cost.dollars),
            ("dollars On-Demand", figures.on_demand_usd, cost.dollars),
            ("dollars a frame on Spot", self._per_frame(figures.usd), cost.dollars),
            ("hours", figures.hours, "{:.2f}".format),
            ("seconds a frame", figures.seconds, "{:.1f}".format),
            ("chunks at once", figures.at_once, "{:.0f}".format),
        ]
        return [[name, *((write(span.low), write(span.high)) if span else ("", ""))] for name, span, write in rows]

    def _per_frame(self, span: Span | None) -> Span | None:
        return span and Span(low=span.low / self.frames, high=span.high / self.frames)


def estimate(
    jobfile: JobFile,
    number: int,
    config: FarmConfig,
    *,
    here: bool,
    frame: int | None,
    count: int | None,
    time_on_farm: TimeOnFarm,
    say: Callable[[str], None],
) -> Estimate:
    """Estimate a row's whole render; `frame`, `count` and `here` ask for a measurement even if there is an earlier one.

    Raises RenderError for what `process` would refuse, and where nothing was measured or can be.
    """
    (render,), (renders, _) = jobfile.chosen([number]), jobfile.read()
    found = inspection.inspect(render.blend)
    plan.check_version(found, config.blender_version)
    wanted = plan.plan(render, found, renders=renders)
    chosen = chosen_frames(wanted.frames, frame, count)
    # What another farm took, the one of this machine say, tells nothing of this one.
    of_farm = [other for other in renders if runs.farm_tag(other.run) == config.tag]
    earlier = None if here or frame is not None or count else pace.seconds_a_frame(render, of_farm)
    if earlier:
        measure = Measure(seconds=(earlier,), said=f"A frame took {earlier:.1f} s in earlier runs on this farm.")
    elif here:
        seconds, device = timing.time_here(render, chosen, wanted.settings, say)
        said = f"{_measured(chosen, seconds)} on this machine ({device})"
        said += "." if config.endpoint_url else ", which is not the farm's host: that may be much faster or slower."
        measure = Measure(seconds=tuple(seconds), said=said, alone=bool(config.endpoint_url))
    else:
        seconds = time_on_farm(render, found, wanted.settings, chosen)
        measure = Measure(seconds=tuple(seconds), said=f"{_measured(chosen, seconds)} on the farm.")
    market, doubts = (_local(config, measure), []) if config.endpoint_url else _market(config)
    sizes = [len(chunk) for chunk in wanted.chunks]
    figures = calculate(sizes, measure.seconds, market)
    if config.endpoint_url:
        free = Span(low=0.0, high=0.0)
        figures = replace(figures, usd=free, on_demand_usd=free)
    notes = (measure.said, *doubts, *_notes(measure, market, local=bool(config.endpoint_url)))
    return Estimate(render=render, frames=sum(sizes), chunks=len(sizes), figures=figures, notes=notes)


def chosen_frames(frames: Sequence[int], frame: int | None, count: int | None) -> list[int]:
    """Choose what to measure: the frame named, else so many from the first to the last; one is the middle one.

    Raises RenderError for a frame that the render does not have.
    """
    if frame is not None and count is not None:
        raise RenderError("--frame names one frame and --frames says how many: give one of them.")
    if frame is not None:
        if frame not in frames:
            raise RenderError(f"Frame {frame} is none of the render's ({spelled(frames)}): name one of those.")
        return [frame]
    if count is None or count == 1:
        return [frames[(len(frames) - 1) // 2]]
    last = len(frames) - 1
    return [frames[index] for index in sorted({last * number // (count - 1) for number in range(count)})]


def calculate(chunks: Sequence[int], seconds: Sequence[float], market: Market) -> Figures:
    """Calculate from the frames of each chunk, the measured seconds a frame, and the farm's sizes and prices.

    Each size is taken for as fast as every other, and each host for `host_minutes` more than its chunks.
    """
    taken = Span(low=min(seconds), high=max(seconds))
    at_once = {size: min(most, len(chunks)) for size, most in market.at_once().items()}
    shares = {size.name: size.share for size in market.sizes}

    def hours(seconds: float, at_once: int) -> float:
        rounds = -(-len(chunks) // at_once)
        return market.host_minutes / 60 + rounds * max(chunks) * seconds / 3600

    def usd(size: str, price: float, seconds: float) -> float:
        return (sum(chunks) * seconds / 3600 + at_once[size] * market.host_minutes / 60) * shares[size] * price

    def span(prices: list[tuple[str, float]]) -> Span | None:
        if not prices:
            return None
        return Span(
            low=min(usd(*each, taken.low) for each in prices), high=max(usd(*each, taken.high) for each in prices)
        )

    return Figures(
        seconds=taken,
        at_once=Span(low=min(at_once.values()), high=max(at_once.values())),
        hours=Span(low=hours(taken.low, max(at_once.values())), high=hours(taken.high, min(at_once.values()))),
        usd=span([(size, price) for (size, _), price in market.spot.items()]),
        on_demand_usd=span([*market.on_demand.items()]),
    )


def _measured(frames: Sequence[int], seconds: Sequence[float]) -> str:
    taken = " and ".join(f"{each:.1f}" for each in seconds)
    return f"{'Frames' if len(frames) > 1 else 'Frame'} {spelled(frames)} took {taken} s"


def _local(config: FarmConfig, measure: Measure) -> Market:
    # A frame that had every core of this machine would share them with the other chunks.
    vcpus = config.job_vcpus if measure.alone else config.max_vcpus
    return Market(vcpus=vcpus, job_vcpus=config.job_vcpus, host_minutes=0)


def _market(config: FarmConfig) -> tuple[Market, list[str]]:
    """Ask what hosts there can be and what they cost, and say what was not told."""
    account, doubts = Account(config), []

    def asked(question: Callable[[], _Answer]) -> _Answer | None:
        try:
            return question()
        except RenderError as error:
            doubts.append(f"Not everything was told: {error}")
            return None

    sizes = asked(account.sizes) or []
    spot = asked(lambda: account.spot_now(sizes)) if sizes else None
    on_demand = asked(lambda: {size.name: account.on_demand_price(size.name) for size in sizes}) or {}
    vcpus, quota = config.max_vcpus, Farm(config).spot_quota()
    if quota and quota[1] < config.job_vcpus:
        doubts.append(
            f"No job can start: `{quota[0]}` is {quota[1]:g} vCPUs; ask for more in the Service Quotas console."
        )
    elif quota and quota[1] < vcpus:
        vcpus = int(quota[1])
        doubts.append(f"`{quota[0]}` bounds the farm to {vcpus} vCPUs, less than its max_vcpus ({config.max_vcpus}).")
    market = Market(
        vcpus=vcpus,
        job_vcpus=config.job_vcpus,
        sizes=tuple(sizes),
        spot=spot or {},
        on_demand={size: price for size, price in on_demand.items() if price is not None},
    )
    return market, doubts


def _notes(measure: Measure, market: Market, *, local: bool) -> Iterator[str]:
    if len(measure.seconds) == 1:
        yield "Frames differ: --frames 3 measures the first, the middle and the last."
    if local:
        yield LOCAL
        return
    if market.spot:
        (low, low_zone), cheapest = min(market.spot.items(), key=lambda each: each[1])
        (high, high_zone), dearest = max(market.spot.items(), key=lambda each: each[1])
        yield (
            f"Spot now, in dollars an hour: {low} in {low_zone} {cheapest:.3f}, {high} in {high_zone} {dearest:.3f}."
        )
    yield (
        f"Assumed: {market.host_minutes:g} minutes of each host for starting, pulling the image and being stopped "
        "(docs/cost.md), every size as fast as the others, and as many hosts at once as the farm may have."
    )
    yield LEFT_OUT
