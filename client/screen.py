"""What a person sees: data on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from client.jobfile import RESTING, Render, Status
from client.standing import Standing

_DATES = ("submitted_at",)


def out(text: str) -> None:
    """Print data."""
    print(text)


def out_line(text: str) -> None:
    """Print a line that somebody else wrote, at once; what could steer a terminal becomes a space."""
    print("".join(each if each.isprintable() or each == "\t" else " " for each in text), flush=True)


def note(text: str) -> None:
    """Say what was done."""
    print(text, file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Say what wants the user's attention."""
    print(f"Warning: {text}", file=sys.stderr, flush=True)


def show_renders(renders: Sequence[Render], *, dates: bool) -> None:
    """Show the job file: a table on a terminal, tab-separated lines in a pipe."""
    columns = ["id", "blend", "scene", "frames", "step", "chunk", "size", "%", "samples", "status", "done", "error"]
    rows = [_cells(render) for render in renders]
    if dates:
        columns.insert(-1, "submitted")
        for row, render in zip(rows, renders, strict=True):
            row.insert(-1, render.submitted_at)
    _table(columns, rows)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Show any table the same way."""
    _table(columns, rows)


def show_json(data: object) -> None:
    """Print data for programs."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def render_data(render: Render) -> Mapping[str, object]:
    """Give a row for --json."""
    return {**{name: value for name, value in vars(render).items() if name != "line"}, "status": render.status.value}


def size_of(count: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004 -- the step between units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


class Lines:
    """Tells a pass line by line, for pipes and for single passes."""

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Say what was done."""
        note(text)

    def warn(self, text: str) -> None:
        """Say what wants the user's attention."""
        warn(text)

    def reading(self, render: Render, read: int, total: int) -> None:
        """Pass over it: a line for each block would bury the rest."""

    def sending(self, render: Render, sent: int, total: int) -> None:
        """Pass over it, for the same reason."""

    def fetched(self, render: Render, files: int) -> None:
        """Say how many files have come, and how many frames are here."""
        count = f"{files} files" if files > 1 else "1 file"
        note(f"{render.label}: fetched {count}; {render.frames_done} of {render.frames_total} frames are here")

    def stands(self, standing: Standing) -> None:
        """Pass over it: the table shows where the rows stand."""


class Live:
    """Tells passes on a terminal: a bar for each render in flight, with what happens above the bars."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("frames  {task.fields[status]}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._tasks: dict[int, TaskID] = {}

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Say what was done."""
        self._progress.console.print(escape(text))

    def warn(self, text: str) -> None:
        """Say what wants the user's attention."""
        self._progress.console.print(f"[yellow]Warning:[/yellow] {escape(text)}")

    def reading(self, render: Render, read: int, total: int) -> None:
        """Show how many bytes of the package were looked through."""
        self._show(render, f"reading {size_of(read)} of {size_of(total)}")

    def sending(self, render: Render, sent: int, total: int) -> None:
        """Show how many bytes of the package are on the farm."""
        self._show(render, f"uploading {size_of(sent)} of {size_of(total)}")

    def fetched(self, render: Render, files: int) -> None:
        """Move the row's bar at once: it counts what has come."""
        self.stands(Standing(render=render))

    def stands(self, standing: Standing) -> None:
        """Move the row's bar."""
        render = standing.render
        if render.id in self._tasks or render.status not in RESTING:
            self._show(render, render.status.value)
        if render.status in RESTING and render.id in self._tasks:
            self._progress.stop_task(self._tasks[render.id])

    def _show(self, render: Render, status: str) -> None:
        if render.id not in self._tasks:
            self._tasks[render.id] = self._progress.add_task(escape(f"{render.id} {render.blend.stem}"), status="")
        total = render.frames_total or None
        self._progress.update(self._tasks[render.id], completed=render.frames_done, total=total, status=escape(status))


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much is done of what takes a while: a bar on a terminal, nothing in a pipe."""
    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(escape(what), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def listener(*, live: bool) -> Lines | Live:
    """Give bars where a person watches a terminal, lines everywhere else."""
    return Live() if live and sys.stderr.isatty() else Lines()


def _cells(render: Render) -> list[str]:
    def text(value: object) -> str:
        return "" if value is None else str(value)

    start, end = text(render.startframe), text(render.endframe)
    return [
        str(render.id),
        render.blend.name,
        text(render.scene),
        f"{start}-{end}" if start or end else "",
        text(render.step),
        text(render.breaksize),
        f"{text(render.xres)}x{text(render.yres)}" if render.xres or render.yres else "",
        text(render.percentage),
        text(render.samples),
        render.status.value,
        f"{render.frames_done}/{render.frames_total}" if render.frames_total else "",
        render.error,
    ]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(" ".join(cell.split()) for cell in row))
        return
    table = Table(*columns, header_style="bold", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(escape, row), style="red" if Status.FAILED.value in row else "")
    Console(highlight=False).print(table)
