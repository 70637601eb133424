"""What a person sees: data on standard output, everything else on standard error.

This module prints, and `client/live.py` where a terminal is watched; no other does.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from client import notice, wording
from client.jobfile import RESTING, Render, Status
from client.standing import Standing

if TYPE_CHECKING:
    from client.live import Live

_CANNOT_MOVE = {"dumb", "unknown"}
_STEPS = 4
"""So many lines at most tell of a render's frames."""
_JUST_SUBMITTED = (Status.SCHEDULED, "", 0, 0, 0)
"""What a line would say of a row whose submission was told already."""


def out(text: str) -> None:
    """Print data."""
    print(text)


def out_line(text: str) -> None:
    """Print a line that somebody else wrote, at once; what could steer a terminal becomes a space."""
    print(wording.printable(text, keep="\t"), flush=True)


def note(text: str) -> None:
    """Say what was done."""
    print(wording.printable(text, keep="\n\t"), file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Say what wants the user's attention."""
    note(f"Warning: {text}")


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
    _table(columns, list(rows))


def show_json(data: object) -> None:
    """Print data for programs."""
    print(json.dumps(data, indent=2, ensure_ascii=False, default=str))


def render_data(render: Render) -> Mapping[str, object]:
    """Give a row for --json."""
    return {**{name: value for name, value in vars(render).items() if name != "line"}, "status": render.status.value}


class Lines:
    """Tells passes line by line, for pipes and for single passes: a line where something has changed."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, ...]] = {}

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
        """Pass over it: where the row stands is told next."""

    def stands(self, standing: Standing) -> None:
        """Say where the row stands when that is news; Success and Failed were told with their reasons."""
        render = standing.render
        steps = _STEPS * render.frames_done // max(render.frames_total, 1)
        stands = (render.status, standing.waits_for, steps, standing.chunks.failed, standing.reclaims)
        is_old = render.status in RESTING or stands == _JUST_SUBMITTED
        known = self._known.get(render.id, stands if is_old else None)
        self._known[render.id] = stands
        if stands != known and render.status not in {Status.SUCCESS, Status.FAILED}:
            note(f"{render.label}: {', '.join(_news(standing))}")


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show how much is done of what takes a while: a bar on a terminal, nothing in a pipe."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=30), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(escape(what), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def listener(*, live: bool) -> Lines | Live:
    """Give the live screen where a person watches a terminal that can move its cursor, lines everywhere else."""
    if not live or not sys.stderr.isatty() or os.environ.get("TERM", "").lower() in _CANNOT_MOVE:
        return Lines()
    from client.live import Live

    return Live()


def show_end(listener: Lines | Live, renders: Sequence[Render]) -> None:
    """Show the rows at a watch's end, unless the live screen has left them on the same terminal."""
    if isinstance(listener, Lines) or not sys.stdout.isatty():
        show_renders(renders, dates=False)


def call(title: str, text: str) -> None:
    """Call back who watched: the terminal's bell and a notice on the desktop, if there is a terminal at all."""
    if not sys.stderr.isatty():
        return
    print("\a", end="", file=sys.stderr, flush=True)
    notice.show(title, text)


def _news(standing: Standing) -> Iterator[str]:
    render, chunks = standing.render, standing.chunks
    yield render.status.value
    if render.frames_total:
        yield f"{render.frames_done} of {render.frames_total} frames are here"
    if standing.waits_for:
        yield wording.wait(standing)
    if chunks.failed:
        yield f"{chunks.failed} {'chunks' if chunks.failed > 1 else 'chunk'} failed"
    if standing.reclaims:
        yield f"Spot reclaims: {wording.reclaims(standing.reclaims, standing.lost_minutes)}"
    if left := wording.duration(standing.seconds_left):
        yield f"{left} left"
    if spent := wording.dollars(standing.usd):
        yield f"{spent} so far"
    if to_come := wording.dollars(standing.usd_to_completion):
        yield f"{to_come} to come"


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


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            print("\t".join(map(wording.one_line, row)))
        return
    from rich.console import Console

    from client.table import fitted

    console = Console(highlight=False)
    shown = fitted(columns, rows, console)
    console.print(shown.table)
    if shown.left_out:
        note(f"No room for {', '.join(shown.left_out)}: widen the terminal, or read them with `| less -S`.")
