"""The timeline of a run as SVG: a lane for each host, with the attempts at chunks that it held."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from client.attempts import Attempt, Ending
from client.report.charts import TICKS, counted, duration, line, percent, tick
from client.report.markup import Markup, element, joined

_LANE_LABEL, _LANE_ROW, _LANE_GAP = 18, 22, 10
_MARKS = {
    Ending.RECLAIMED: (
        "M0-11 11 0 0 11-11 0z",
        "R",
        "reclaimed: AWS took the Spot host back, and the chunk went on elsewhere",
    ),
    Ending.CUT_OFF: (
        "M-9 0a9 9 0 1 0 18 0a9 9 0 1 0-18 0z",
        "C",
        "cut off: stopped, out of time or memory, or the network away",
    ),
    Ending.FAILED: ("M-8-8H8V8H-8z", "F", "failed"),
}
"""Shape, letter and meaning of each end but the good one."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A host, or where none is named one that there must have been, with its attempts in rows that do not overlap."""

    label: str
    rows: tuple[tuple[Attempt, ...], ...]


def lanes(attempts: Iterable[Attempt]) -> list[Lane]:
    """Give each host a lane, in the order in which they started; attempts without times are left out."""
    timed = sorted(
        (each for each in attempts if each.started and each.finished), key=lambda each: (each.started, each.chunk)
    )
    named: dict[str, list[Attempt]] = {}
    nameless: list[Attempt] = []
    for each in timed:
        named.setdefault(each.host.instance_id, []).append(each) if each.host.instance_id else nameless.append(each)
    found = [Lane(label=_host(on_host), rows=_packed(on_host)) for on_host in named.values()]
    found += [
        Lane(label=f"Host not named ({number})", rows=(row,)) for number, row in enumerate(_packed(nameless), start=1)
    ]
    return sorted(found, key=lambda lane: min(_start(row[0]) for row in lane.rows))


def timeline(shown: Sequence[Lane], since: datetime) -> Markup:
    """Draw the attempts over the hosts, from `since` on, which is before them all."""
    ends = [each.finished for lane in shown for row in lane.rows for each in row if each.finished]
    span = max((max(ends) - since).total_seconds(), 1.0)
    drawn: list[Markup] = []
    y = 8
    for lane in shown:
        drawn.append(element("text", lane.label, x=0, y=y + 12, class_="lane"))
        y += _LANE_LABEL
        for row in lane.rows:
            drawn.append(line(y + _LANE_ROW / 2, "grid"))
            drawn += [_attempt(each, since, span, y) for each in row]
            y += _LANE_ROW
        y += _LANE_GAP
    every = _step(span)
    ticks = [
        joined(
            element("line", x1=percent(at / span * 100), x2=percent(at / span * 100), y1=0, y2=y, class_="grid"),
            tick(_since(at), at / span * 100, y + 16),
        )
        for at in (every * number for number in range(int(span // every) + 1))
    ]
    ended = [each.ending for lane in shown for row in lane.rows for each in row]
    said = ", ".join(f"{ended.count(ending)} {ending.value}" for ending in Ending if ending in ended)
    return element(
        "svg",
        element("title", "Chunks over hosts", id="hosts-title"),
        element(
            "desc",
            f"{counted(len(shown), 'host')} in {duration(span)}; attempts at chunks: {said}. "
            "The table below has each of them.",
            id="hosts-desc",
        ),
        *ticks,
        *drawn,
        class_="plot",
        width="100%",
        height=y + 24,
        role="img",
        aria_labelledby="hosts-title hosts-desc",
    )


def legend(endings: Collection[Ending]) -> Markup:
    """Explain the marks of these ends."""
    entries = [_entry(element("rect", x=2, y=6, width=24, height=14, rx=3, class_="done"), "done")]
    entries += [
        _entry(element("svg", _mark(ending), x=14, y=13, overflow="visible"), f"{letter}: {words}")
        for ending, (_, letter, words) in _MARKS.items()
        if ending in endings
    ]
    return element("ul", *entries, class_="legend")


def _entry(mark: Markup, words: str) -> Markup:
    return element("li", element("svg", mark, width=28, height=26, aria_hidden="true"), element("span", words))


def _attempt(each: Attempt, since: datetime, span: float, y: float) -> Markup:
    start = (_start(each) - since).total_seconds() / span * 100
    width = max(each.seconds / span * 100, 0.3)
    frames = f", {counted(len(each.frames), 'frame')}" if each.frames else ""
    bar = element(
        "rect",
        element(
            "title",
            f"Chunk {each.chunk}, attempt {each.attempt}: {each.ending.value}{frames}, {duration(each.seconds)}",
        ),
        x=percent(start),
        y=y + 3,
        width=percent(width),
        height=_LANE_ROW - 6,
        rx=3,
        class_=each.ending.name.lower(),
    )
    if each.ending is Ending.DONE:
        return bar
    mark = element("svg", _mark(each.ending), x=percent(start + width), y=y + _LANE_ROW / 2, overflow="visible")
    return joined(bar, mark)


def _mark(ending: Ending) -> Markup:
    shape, letter, _ = _MARKS[ending]
    return element(
        "g",
        element("path", d=shape),
        element("text", letter, y=4, text_anchor="middle"),
        class_=f"mark {ending.name.lower()}",
    )


def _host(attempts: Sequence[Attempt]) -> str:
    host = attempts[0].host
    known = next((each.host for each in attempts if each.host.instance_type), host)
    endings = [each.ending for each in attempts]
    parts = [host.instance_id, *(f"{endings.count(each)} {each.value}" for each in _MARKS if each in endings)]
    parts += [known.instance_type, known.life_cycle]
    return " · ".join(part for part in parts if part)


def _packed(attempts: Sequence[Attempt]) -> tuple[tuple[Attempt, ...], ...]:
    """Put attempts, the earliest first, into as few rows as hold them without overlap."""
    rows: list[list[Attempt]] = []
    for each in attempts:
        free = next((row for row in rows if _end(row[-1]) <= _start(each)), None)
        if free is None:
            rows.append([each])
        else:
            free.append(each)
    return tuple(map(tuple, rows))


def _start(attempt: Attempt) -> datetime:
    assert attempt.started  # noqa: S101 -- lanes hold none without
    return attempt.started


def _end(attempt: Attempt) -> datetime:
    return _start(attempt) + timedelta(seconds=attempt.seconds)


def _step(span: float) -> float:
    """Give seconds between two ticks of a time scale."""
    steps = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
    return next((step for step in steps if span / step <= TICKS), span / TICKS)


def _since(seconds: float) -> str:
    if not seconds:
        return "0"
    if seconds < 60:  # noqa: PLR2004 -- a minute
        return f"{seconds:.0f} s"
    if seconds < 3600:  # noqa: PLR2004 -- an hour
        return f"{seconds / 60:g} min"
    return f"{seconds / 3600:.3g} h"
