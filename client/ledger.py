"""What the farm last said of each row, beside the job file: `joblist.csv.journal`.

A spreadsheet that was opened an hour ago saves the farm's columns as they were then, and so would have a render that
runs submitted again. The ledger is written before the job file, so it knows better; it also keeps what was learned
while a program holds the job file or the power fails between the two.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from client import disk

_SPARE_LINES = 100
"""So many lines that say nothing any more, and one for each row, are kept before the ledger is written anew."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A row as it was last written: its `blend` cell, to know the row by, and the farm's own cells."""

    blend: str
    cells: Mapping[str, str]


class Ledger:
    """One line of JSON for each change of a row; the last one of an id counts."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[int, Entry | None]:
        """Give the entries by id, None for a row that was told to be gone; a line cut short by a crash says nothing."""
        entries: dict[int, Entry | None] = {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (FileNotFoundError, UnicodeDecodeError):
            return entries
        for line in lines:
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                data = json.loads(line)
                cells = {str(name): str(cell) for name, cell in data["cells"].items()}
                entries[int(data["id"])] = Entry(blend=str(data["blend"]), cells=cells) if cells else None
        if len(lines) > 2 * len(entries) + _SPARE_LINES:
            with suppress(OSError):
                disk.write(self.path, "\n".join(_line(number, entry) for number, entry in entries.items()))
        return entries

    def write(self, number: int, entry: Entry | None) -> None:
        """Write down how a row stands, or with None that it is gone, so that it outlasts the power. Raises OSError."""
        with self.path.open("a", encoding="utf-8") as file:
            # A line that was cut short ends here, and not within this one.
            file.write(("\n" if file.tell() else "") + _line(number, entry))
            file.flush()
            os.fsync(file.fileno())


def _line(number: int, entry: Entry | None) -> str:
    return json.dumps({"id": number, "blend": entry.blend if entry else "", "cells": entry.cells if entry else {}})
