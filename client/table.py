"""Tables on a terminal: they fit its width without breaking a word or a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client import wording

_GAP = 2
_SHORTENED = {"blend": 8, "scene": 6, "frames": 9}
"""Names and lists, and the cells to which they may be shortened; every other cell is whole or not there."""
_PROSE = {"error": 24, "what": 24}
"""Sentences, which are wrapped between words, and the cells for which other columns go."""
_NARROWEST_PROSE = 12
_SIGNED = ("status", "is")
"""Words that say how something stands."""
_FIRST_TO_GO = (
    "step", "samples", "%", "size", "chunk", "scene", "host hours", "on-demand usd", "bytes", "files", "submitted",
    "usd a frame", "frames",
)  # fmt: skip


@dataclass(frozen=True)
class Fitted:
    """A table as wide as the terminal, and the columns that had no room."""

    table: Table
    left_out: list[str]


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], console: Console) -> Fitted:
    """Lay a table out for a terminal. Columns without any content are passed over."""
    ascii_only = console.options.ascii_only or console.legacy_windows
    cells = {name: [wording.one_line(row[at]) for row in rows] for at, name in enumerate(columns)}
    shown = {name: texts for name, texts in cells.items() if any(texts) or not rows}
    for name in shown.keys() & set(_SIGNED):
        shown[name] = [wording.signed(text, ascii_only=ascii_only) if text else "" for text in shown[name]]
    widths, left_out = _widths(shown, console.width)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, width in widths.items():
        table.add_column(name, width=width)
    mark = ".." if ascii_only else "…"
    for at in range(len(rows)):
        table.add_row(*(_cell(name, cells[name][at], shown[name][at], width, mark) for name, width in widths.items()))
    return Fitted(table=table, left_out=left_out)


def _cell(name: str, word: str, text: str, width: int, mark: str) -> Text:
    if name in _PROSE:
        return Text(text, overflow="fold")  # an id or a path is there to be copied
    return Text(wording.cut(text, width, mark), wording.colour(word) if name in _SIGNED else "", no_wrap=True)


def _widths(shown: dict[str, list[str]], width: int) -> tuple[dict[str, int], list[str]]:
    """Give each column its cells: first names and sentences give way, then whole columns."""
    wished = {name: max(map(cell_len, [*name.split(), *texts])) for name, texts in shown.items()}
    given = {name: min(cells, {**_SHORTENED, **_PROSE}.get(name, cells)) for name, cells in wished.items()}
    left_out: list[str] = []

    def spare() -> int:
        return width - sum(given.values()) - _GAP * (len(given) - 1)

    for name in _FIRST_TO_GO:
        if spare() < 0 and name in given:
            del given[name]
            left_out.append(name)
    for name in sorted(given, key=lambda name: name in _PROSE):
        least = min(given[name], _NARROWEST_PROSE) if name in _PROSE else given[name]
        given[name] = max(least, min(wished[name], given[name] + spare()))
    return given, left_out
