"""The live screen of a watch: where each render stands, a line for each, and what happens above them.

A line never wraps. A narrow terminal shows fewer columns, a low one fewer renders and counts the rest.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live as Region
from rich.text import Text

from client import wording
from client.jobfile import RESTING, Render, Status
from client.standing import Chunks, Standing

_FOOTER = "Ctrl-C stops watching; the renders go on."
_GAP = "  "
_INDENT = "    "
_LINES_ABOVE = 2
"""Of the terminal, left for the latest message."""


class Live:
    """Tells passes on a terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._standings: dict[int, Standing] = {}
        self._sending: tuple[int, str] | None = None
        """Id of the row that is uploaded, and how far that is."""
        self._began: tuple[int, str, float, int] = (0, "", 0.0, 0)
        """Id of that row, what is done with its bytes, since when, and how many of them were done then."""
        self._footer = _FOOTER
        # Standard output holds data and is none of this screen's.
        self._region = Region(
            self, console=self._console, refresh_per_second=4, redirect_stdout=False, vertical_overflow="crop"
        )

    def __enter__(self) -> Live:
        self._region.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._footer = ""
        self._region.stop()

    def say(self, text: str) -> None:
        """Say what was done."""
        self._above(Text(wording.printable(text, keep="\n")))

    def warn(self, text: str) -> None:
        """Say what wants the user's attention."""
        self._above(Text.assemble(("Warning:", "yellow"), " ", wording.printable(text, keep="\n")))

    def reading(self, render: Render, read: int, total: int) -> None:
        """Show how many bytes of the package were looked through."""
        self._show_bytes(render, "reading", read, total)

    def sending(self, render: Render, sent: int, total: int) -> None:
        """Show how many bytes of the package are on the farm."""
        self._show_bytes(render, "uploading", sent, total)

    def fetched(self, render: Render, files: int) -> None:
        """Move the row's bar at once: it counts what has come."""
        known = self._standings.get(render.id)
        self._standings[render.id] = replace(known, render=render) if known else Standing(render=render)

    def stands(self, standing: Standing) -> None:
        """Show where the row stands."""
        self._sending = None
        self._standings[standing.render.id] = standing

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # A list made at once: passes add rows while the region's own thread draws.
        rows = [(standing, self._note(standing)) for standing in list(self._standings.values())]
        if rows:
            ascii_only = options.ascii_only or options.legacy_windows
            yield from _screen(rows, options.max_width, options.size.height, self._footer, ascii_only=ascii_only)

    def _show_bytes(self, render: Render, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if self._began[:2] != (render.id, what):
            self._began = (render.id, what, now, done)
        _, _, since, before = self._began
        self._standings.setdefault(render.id, Standing(render=render))
        self._sending = (render.id, f"{what} {wording.transfer(done, total, done - before, now - since)}")

    def _note(self, standing: Standing) -> str:
        sending = self._sending
        if sending and sending[0] == standing.render.id:
            return sending[1]
        return wording.one_line(standing.render.error) or wording.wait(standing)

    def _above(self, text: Text) -> None:
        # The terminal wraps it, so that a long path can be copied in one piece.
        self._console.print(text, soft_wrap=True)


_Row = tuple[Standing, str]  # and its note: an error, what it waits for, or how far its upload is


def _screen(rows: Sequence[_Row], width: int, height: int, footer: str, *, ascii_only: bool) -> Iterator[Text]:
    """Draw the rows in their file's order; where they do not fit, what runs or failed comes first."""
    total = _total([standing for standing, _ in rows]) if len(rows) > 1 else None
    room = max(height - _LINES_ABOVE - 1 - bool(total) - bool(footer), 2)
    crowded = len(rows) + sum(bool(note) for _, note in rows) > room
    shown = _most_important(rows, room - 1) if len(rows) > room else rows
    grid = _Grid([*(standing for standing, _ in shown), *([total] if total else [])], width, ascii_only=ascii_only)
    yield grid.header()
    for standing, note in shown:
        yield from grid.lines(standing, note, crowded=crowded)
    if len(shown) < len(rows):
        folded = Counter(standing.render.status for standing, _ in rows)
        folded.subtract(standing.render.status for standing, _ in shown)
        counts = [f"{folded[status]} {status.value}" for status in reversed(Status) if folded[status]]
        yield grid.line(f"{_INDENT}and {', '.join(counts)}")
    if total:
        yield grid.total(total)
    if footer:
        yield grid.line(footer, "dim")


def _most_important(rows: Sequence[_Row], room: int) -> list[_Row]:
    """Choose what runs, then what failed, then what waits; what rests well is left to be counted."""

    def rank(row: _Row) -> int:
        status = row[0].render.status
        if row[0].chunks.running or status in {Status.RUNNING, Status.RENDERED, Status.FETCHING}:
            return 0
        return 1 if status is Status.FAILED else 2

    rests_well = RESTING - {Status.FAILED}
    return sorted((row for row in rows if row[0].render.status not in rests_well), key=rank)[:room]


def _total(rows: Sequence[Standing]) -> Standing:
    """Add the rows up; the time left is the longest of theirs, since they render side by side."""
    return Standing(
        render=replace(
            rows[0].render,
            blend=Path(f"{len(rows)} renders"),
            frames_done=sum(row.render.frames_done for row in rows),
            frames_total=sum(row.render.frames_total for row in rows),
        ),
        chunks=Chunks(
            waiting=sum(row.chunks.waiting for row in rows),
            starting=sum(row.chunks.starting for row in rows),
            running=sum(row.chunks.running for row in rows),
            failed=sum(row.chunks.failed for row in rows),
        ),
        reclaims=sum(row.reclaims for row in rows),
        lost_minutes=sum(row.lost_minutes for row in rows),
        seconds_left=max((row.seconds_left for row in rows if row.seconds_left is not None), default=None),
        usd=_sum(row.usd for row in rows),
        usd_to_completion=_sum(row.usd_to_completion for row in rows),
    )


@dataclass(frozen=True)
class _Column:
    """A column of the screen. Narrow terminals keep those of the lowest rank."""

    title: str
    rank: int
    cell: Callable[[Standing], str]
    least: int = 0
    """Cells to which it may be shortened; 0 for not at all: a number that is cut short is another number."""
    most: int = 16
    """Cells that it never exceeds, whatever a row holds."""
    left: bool = False
    """Whether it is aligned at its left."""


_NUMBER = _Column("id", 0, lambda row: str(row.render.id))
_NAME = _Column("render", 0, lambda row: wording.one_line(row.render.blend.stem), least=8, most=24, left=True)
_BAR = _Column("", 6, lambda _: "", least=8, most=24)
_STATUS = _Column("status", 0, lambda row: row.render.status.value, left=True)
_PROGRESS = (
    _NUMBER,
    _NAME,
    _BAR,
    _Column("frames", 0, lambda row: f"{row.render.frames_done}/{row.render.frames_total}"),
    _STATUS,
)
_FIGURES = (
    _Column("run", 4, lambda row: _count(row.chunks.running)),
    _Column("wait", 5, lambda row: _count(row.chunks.waiting)),
    _Column("start", 10, lambda row: _count(row.chunks.starting)),
    _Column("fail", 7, lambda row: _count(row.chunks.failed)),
    _Column("reclaims", 9, lambda row: wording.reclaims(row.reclaims, row.lost_minutes)),
    _Column("a frame", 11, lambda row: wording.duration(row.seconds_a_frame)),
    _Column("left", 2, lambda row: wording.duration(row.seconds_left)),
    _Column("spent", 3, lambda row: wording.dollars(row.usd)),
    _Column("to come", 8, lambda row: wording.dollars(row.usd_to_completion)),
)
"""What a row has once its chunks are known; before that, its note stands there."""
_ALL = (*_PROGRESS, *_FIGURES)
_Said = Callable[[_Column], tuple[str, str]]  # a column's text and style


class _Grid:
    """The columns that fit: of those that say anything, the ones that matter most."""

    def __init__(self, standings: Sequence[Standing], width: int, *, ascii_only: bool) -> None:
        self._width = width
        self._ascii = ascii_only
        self._cells: dict[_Column, int] = {}
        wished = {column: self._wished(column, standings) for column in _ALL}
        spare = width + len(_GAP)
        for column in sorted(wished, key=lambda column: column.rank):
            cells = min(wished[column], column.least or column.most)
            if cells + len(_GAP) > spare:
                break
            if cells:
                self._cells[column] = cells
                spare -= cells + len(_GAP)
        for column in (_NAME, _BAR):
            if column in self._cells:
                more = max(min(wished[column] - self._cells[column], spare), 0)
                self._cells[column] += more
                spare -= more

    def header(self) -> Text:
        """Name the columns."""
        return self._joined(_ALL, lambda column: (column.title, "bold"))

    def lines(self, standing: Standing, note: str, *, crowded: bool) -> Iterator[Text]:
        """Draw a row. Its note stands beside it where no figure does, or no line is free; else below it."""
        said = self._said_of(standing)
        progress = self._joined(_PROGRESS, said)
        room = self._width - progress.cell_len - len(_GAP)
        style = wording.colour(standing.render.status.value) if standing.render.error else "dim"
        has_figures = any(said(column)[0] for column in _FIGURES if column in self._cells)
        is_beside = not standing.chunks.running if crowded else not has_figures and cell_len(note) <= room
        if note and is_beside:
            yield progress.append(_GAP).append(self._cut(note, room), style)
            return
        yield self._joined(_ALL, said)
        if note and not crowded:
            yield self.line(_INDENT + note, style)

    def total(self, standing: Standing) -> Text:
        """Draw the sums, which have no id and no status."""
        said = self._said_of(standing)
        return self._joined(_ALL, lambda column: ("" if column in {_NUMBER, _STATUS} else said(column)[0], "bold"))

    def line(self, text: str, style: str = "") -> Text:
        """Draw a line that is in no column."""
        return Text(self._cut(text, self._width), style, no_wrap=True, overflow="crop")

    def _wished(self, column: _Column, standings: Sequence[Standing]) -> int:
        cells = max(cell_len(self._text(column, standing)) for standing in standings)
        return min(max(cells, len(column.title)), column.most) if cells else 0

    def _text(self, column: _Column, standing: Standing) -> str:
        if column is _BAR:
            return self._bar(standing.render, self._cells.get(_BAR, _BAR.most))
        if column is _STATUS:
            return wording.signed(standing.render.status.value, ascii_only=self._ascii)
        return column.cell(standing)

    def _said_of(self, standing: Standing) -> _Said:
        colour = wording.colour(standing.render.status.value)
        return lambda column: (self._text(column, standing), colour if column in {_BAR, _STATUS} else "")

    def _joined(self, columns: Sequence[_Column], said: _Said) -> Text:
        line = Text(no_wrap=True, overflow="crop")
        for column in columns:
            if column not in self._cells:
                continue
            text, style = said(column)
            text = self._cut(text, self._cells[column])
            pad = " " * (self._cells[column] - cell_len(text))
            line.append(_GAP if line else "")
            line.append(text + pad if column.left else pad + text, style)
        return line

    def _bar(self, render: Render, cells: int) -> str:
        full, empty = "#-" if self._ascii else "━─"
        filled = min(cells * render.frames_done // max(render.frames_total, 1), cells)
        return full * filled + empty * (cells - filled)

    def _cut(self, text: str, cells: int) -> str:
        return wording.cut(text, cells, ".." if self._ascii else "…")


def _count(number: int) -> str:
    return str(number) if number else ""


def _sum(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None
