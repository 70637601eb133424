"""The job file: a CSV of renders that people edit in a spreadsheet, and that is never left half written.

RFC 4180 in UTF-8. What people may have done to it (other columns and another order of them, blank lines, a BOM, CR LF)
survives; every change is made under a lock to the newest content, cell by cell, beside the file and then moved over it.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Literal

from filelock import FileLock, Timeout

from client import disk
from client.errors import RenderError
from client.ledger import Entry, Ledger

# fmt: off
EDITABLE_COLUMNS = (
    "id", "blend", "description", "scene", "camera", "startframe", "endframe", "step", "breaksize",
    "xres", "yres", "percentage", "samples", "files",
)
OPTIONAL_COLUMNS = ("review", "autoexec", "allow_missing", "max_cost", "movie")
FARM_COLUMNS = (
    "status", "frames_done", "frames_total", "error", "run", "job_id", "submitted_at", "finished_at",
    "render_seconds", "cost_usd",
)
# fmt: on
COLUMNS = (*EDITABLE_COLUMNS, *OPTIONAL_COLUMNS, *FARM_COLUMNS)
"""Those of a new file; one that lacks an optional column gets it when a row is to hold something in it."""
AUTO: Final = "auto"
"""In the `breaksize` cell: chunks as long as what was measured of earlier runs suggests (client/pace.py)."""
FILE_SEPARATOR = ";"
"""Between the paths of the `files` cell."""

_NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.0*)?")
_PLAIN_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_LOCK_SECONDS = 30
_STEERING = ("status", "run", "job_id")
"""The farm's columns by which `process` decides what to do with a row."""


class Status(str, Enum):
    """Where a render stands."""

    PENDING = "Pending"
    """Not submitted, or set back by the user, who wants a fresh run."""
    UPLOADED = "Uploaded"
    """Its package and manifest are on the farm; the job may or may not have been submitted."""
    SCHEDULED = "Scheduled"
    """Batch has the job; no chunk runs yet."""
    RUNNING = "Running"
    """At least one chunk runs or has run."""
    RENDERED = "Rendered"
    """Every chunk succeeded; frames may still have to be fetched."""
    FETCHING = "Fetching"
    """The last frames are on their way."""
    SUCCESS = "Success"
    """Every frame of the range is on this machine's disk."""
    FAILED = "Failed"
    """At least one chunk failed; the error cell says why. Finished frames are kept."""
    CANCELLED = "Cancelled"
    """Stopped on request. Finished frames are kept."""


RESTING = {Status.SUCCESS, Status.FAILED, Status.CANCELLED}
"""What `process` leaves alone."""


@dataclass(frozen=True, kw_only=True)
class Render:
    """One row. None in a setting means as the `.blend` says; `line` counts the file's rows, the names' row being 1."""

    line: int
    id: int
    blend: Path
    description: str
    scene: str | None
    camera: str | None
    startframe: int | None
    endframe: int | None
    step: int | None
    breaksize: int | Literal["auto"] | None
    xres: int | None
    yres: int | None
    percentage: int | None
    samples: int | None
    files: tuple[Path, ...]
    review: int | None
    """Every so many frames are rendered before the others."""
    autoexec: bool
    """Whether Python that the `.blend` holds may run on the farm."""
    allow_missing: bool
    """Whether it may be rendered without files that it refers to."""
    max_cost: float | None = None
    """Dollars at which nothing more of it is started; None without a limit."""
    movie: bool = False
    """Whether a movie is made of its frames when all are here."""
    status: Status
    frames_done: int
    frames_total: int
    error: str
    run: str
    job_id: str
    submitted_at: str
    finished_at: str
    render_seconds: float
    """What the frames of the last run took on the farm; 0 for unknown."""
    cost_usd: float | None = None
    """What they cost; None for unknown."""

    @property
    def label(self) -> str:
        """How messages call it: the row's id and the file's name."""
        return f"Render {self.id} ({self.blend.name})"


@dataclass(frozen=True, kw_only=True)
class BrokenRow:
    """A row that cannot be used until a person mends it; `reason` is a sentence."""

    line: int
    reason: str


class ChangedError(RenderError):
    """A row is no longer as it was read, and what was to be written of it does not hold any more."""


@dataclass
class _Sheet:
    """The file's content as it is, so that it can be written back as it was."""

    rows: list[list[str]]
    bom: bool
    newline: str

    @property
    def names(self) -> list[str]:
        return [name.strip() for name in self.rows[0]]

    def cells(self, row: list[str]) -> dict[str, str]:
        return dict(zip(self.names, (*row, *[""] * len(self.names)), strict=False))

    def set(self, row: list[str], changes: Mapping[str, object]) -> None:
        self.rows[0] += [name for name in OPTIONAL_COLUMNS if name not in self.names and changes.get(name)]
        names = self.names
        changes = {name: value for name, value in changes.items() if name in names or value}
        row.extend([""] * (len(names) - len(row)))
        for name, value in changes.items():
            row[names.index(name)] = written(value)

    def text(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out, lineterminator=self.newline)
        writer.writerows(self.rows)
        return ("\ufeff" if self.bom else "") + out.getvalue()


class JobFile:
    """One job file. Every method reads it anew, since a person may have saved it meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS)
        self._pass_lock = FileLock(f"{path}.process.lock", timeout=0)
        self._ledger = Ledger(path.with_name(path.name + ".journal"))

    def create(self) -> None:
        """Make the file with its row of names; raises RenderError when it is there already."""
        with self._locked():
            if self.path.exists():
                raise RenderError(
                    f"{self.path} is there already and was left as it is: add to it with `render add`, or name "
                    "another file with -j."
                )
            self._write(_Sheet(rows=[list(COLUMNS)], bom=False, newline="\r\n"))

    def read(self) -> tuple[list[Render], list[BrokenRow]]:
        """Give the rows that can be used and those that cannot. Raises RenderError when the file itself cannot."""
        with self._locked():
            return self._parse(self._load())

    def names(self) -> dict[int, str]:
        """Give ids and file names as the file now has them, without waiting for a command that holds it."""
        return {render.id: render.blend.name for render in self._parse(_read_sheet(self.path))[0]}

    def chosen(self, ids: Sequence[int]) -> list[Render]:
        """Give the rows with these ids. Raises RenderError when one is not there or cannot be used."""
        renders, broken = self.read()
        found = {render.id: render for render in renders}
        for number in ids:
            if number not in found:
                known = ", ".join(map(str, found)) or "none"
                reasons = "".join(f" {row.reason}" for row in broken)
                raise RenderError(f"{self.path} has no render {number}: it has {known}.{reasons}")
        return [found[number] for number in ids]

    def add(self, cells: Mapping[str, object]) -> Render:
        """Append a row and give it the next free id."""
        with self._locked():
            sheet = self._load()
            row: list[str] = []
            number = self._next_id(sheet)
            sheet.set(row, {**cells, "id": number, "status": Status.PENDING})
            # A file ended by blank lines keeps them at its end.
            at = len(sheet.rows)
            while at > 1 and not any(sheet.rows[at - 1]):
                at -= 1
            sheet.rows.insert(at, row)
            self._write(sheet)
            renders, broken = self._parse(sheet)
        for wrong in broken:
            if wrong.line == at + 1:
                raise RenderError(wrong.reason)
        return next(render for render in renders if render.id == number)

    def draft(self, cells: Mapping[str, object]) -> Render:
        """Give the row that these cells would make, without adding it; raises RenderError for a value of no use."""
        sheet = _Sheet(rows=[list(COLUMNS)], bom=False, newline="\n")
        row: list[str] = []
        sheet.set(row, {**cells, "id": 1})
        try:
            return self._render(2, sheet, row)
        except RenderError as error:
            raise RenderError(f"{error}.") from None

    def settle(self) -> list[str]:
        """Name the rows that a person typed without an id, and mend what a spreadsheet's old copy overwrote.

        Gives a sentence for each row that was mended, and for each that is gone although its job goes on.
        """
        with self._locked():
            sheet, mended = self._load_mended()
            unnamed = [row for row in sheet.rows[1:] if any(row) and not sheet.cells(row)["id"].strip()]
            for row in unnamed:
                sheet.set(row, {"id": self._next_id(sheet)})
            told = [
                f"Render {number} of {self.path.name} was not as the farm knows it, since an old copy was saved or a "
                "command was cut off; its columns from status on are right again (for a fresh run, set only its status "
                "to Pending)."
                for number in mended
            ]
            told += self._forget_gone(sheet)
            if unnamed or mended:
                self._write(sheet)
            return told

    def update(self, render: Render, changes: Mapping[str, object]) -> Render:
        """Change cells of one row and give the row as it now is.

        The ledger beside the file has them first, so that the next command knows them also when the file cannot be
        replaced because a spreadsheet holds it; RenderError says so. Raises it too when the row is gone, and
        ChangedError when somebody, in a spreadsheet or by another command, gave the row another status, run or job
        since it was read.
        """
        with self._locked():
            sheet = self._load()
            row = _row_of(sheet, render.id)
            if row is None:
                raise RenderError(
                    f"{render.label} is no longer in {self.path.name}; what the client learned of it: "
                    f"{json.dumps({name: written(value) for name, value in changes.items()})}."
                )
            if _steering(sheet.cells(row)) != (render.status, render.run, render.job_id):
                raise ChangedError(f"{render.label} was changed by somebody else meanwhile: run the command again.")
            sheet.set(row, changes)
            cells = sheet.cells(row)
            entry = Entry(blend=cells["blend"], cells={name: cells[name] for name in FARM_COLUMNS})
            # Before the file, and never passed over: what the ledger said before would win over the file.
            with _unwritten(self.path):
                self._ledger.write(render.id, entry)
            self._write(sheet)
            renders, _ = self._parse(sheet)
        return next((found for found in renders if found.id == render.id), render)

    @contextmanager
    def one_pass(self, *, wait: bool = False) -> Iterator[None]:
        """Keep every other `process` off this file, so that no render is submitted twice and no frame fetched twice.

        Raises RenderError when another is at work, unless it is to be waited for.
        """
        with _unwritable(self.path):
            try:
                self._pass_lock.acquire(timeout=-1 if wait else 0)
            except Timeout:
                raise RenderError(
                    f"Another `render process` is at work on {self.path}: wait for it, or stop it first."
                ) from None
        try:
            yield
        finally:
            self._pass_lock.release()

    def resolve(self, cell: str) -> Path:
        """Give the file that a path in a cell means: relative ones are relative to the job file's folder."""
        return Path(os.path.abspath(Path(self.path.absolute().parent, Path(cell).expanduser())))  # noqa: PTH100 -- keeps symlinks

    def spell(self, path: Path) -> str:
        """Write a path for a cell: relative when it lies below the job file's folder, so that both move together."""
        path, folder = Path(os.path.abspath(path)), self.path.absolute().parent  # noqa: PTH100 -- keeps symlinks
        if path.is_relative_to(folder):
            relative = path.relative_to(folder).as_posix()
            return f"./{relative}" if _is_formula(relative) else relative
        return str(path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with _unwritable(self.path):
            try:
                self._lock.acquire()
            except Timeout:
                raise RenderError(f"Another command has held {self.path} for {_LOCK_SECONDS} s: try again.") from None
        try:
            yield
        finally:
            self._lock.release()

    def _load(self) -> _Sheet:
        return self._load_mended()[0]

    def _load_mended(self) -> tuple[_Sheet, list[int]]:
        """Read the file and put right what an old copy of it says of the farm's columns; give those rows' ids too."""
        sheet = _read_sheet(self.path)
        known, mended = self._ledger.read(), []
        for row in sheet.rows[1:]:
            cells = sheet.cells(row)
            number = _as_int(cells["id"])
            entry = known.get(number) if number is not None else None
            if number is None or not entry or _is_fresh_run(cells, entry.cells):
                continue
            if entry.blend != cells["blend"]:
                if _status(cells) is Status.PENDING and not cells["run"].strip():
                    # Another file for a row that was submitted meanwhile: its run is known, so that it is stopped.
                    sheet.set(row, {name: entry.cells.get(name, "") for name in ("run", "job_id")})
                continue
            if any(cells[name].strip() != entry.cells.get(name, "").strip() for name in _STEERING):
                mended.append(number)
            # Also a number or a date that a spreadsheet spelled its own way.
            sheet.set(row, {name: entry.cells.get(name, "") for name in FARM_COLUMNS})
        return sheet, mended

    def _forget_gone(self, sheet: _Sheet) -> list[str]:
        """Tell, once, of rows that a person deleted, or an old copy lacks, while their jobs go on at a price."""
        here = {_as_int(sheet.cells(row)["id"]) for row in sheet.rows[1:]}
        resting = {status.value for status in RESTING} | {Status.PENDING.value}
        told = []
        for number, entry in self._ledger.read().items():
            if entry is None or number in here:
                continue
            with suppress(OSError):
                self._ledger.write(number, None)
            if entry.cells.get("status") not in resting:
                told.append(
                    f"Render {number} ({Path(entry.blend).name}) is no longer in {self.path.name}, but its run "
                    f"{entry.cells.get('run')} may go on: end its job {entry.cells.get('job_id')} in the Batch console."
                )
        return told

    def _next_id(self, sheet: _Sheet) -> int:
        """Give an id that no row has, nor ever had, so that no row inherits what the ledger knows of another."""
        used = {_as_int(sheet.cells(row)["id"]) or 0 for row in sheet.rows[1:]}
        return max(used | set(self._ledger.read()), default=0) + 1

    def _parse(self, sheet: _Sheet) -> tuple[list[Render], list[BrokenRow]]:
        renders: list[Render] = []
        broken: list[BrokenRow] = []
        lines: dict[int, int] = {}
        for line, row in enumerate(sheet.rows[1:], start=2):
            if not any(cell.strip() for cell in row):
                continue
            try:
                render = self._render(line, sheet, row)
                if render.id in lines:
                    raise RenderError(
                        f"it has the id {render.id} that row {lines[render.id]} has too; empty its id cell, and its "
                        "cells from status on, to make it a render of its own"
                    )
            except RenderError as error:
                broken.append(BrokenRow(line=line, reason=f"Row {line} of {self.path.name} is passed over: {error}."))
            else:
                lines[render.id] = line
                renders.append(render)
        return renders, broken

    def _render(self, line: int, sheet: _Sheet, row: list[str]) -> Render:
        if any(cell.strip() for cell in row[len(sheet.names) :]):
            raise RenderError(
                f"it has {len(row)} cells where the file has {len(sheet.names)} columns; put quotes around a text "
                "that holds a comma"
            )
        cells = {name: cell.strip() for name, cell in sheet.cells(row).items()}
        if not cells["id"]:
            raise RenderError("it has no id yet; `render process` gives it one")
        if not cells["blend"]:
            raise RenderError("its blend cell is empty; name the .blend to render")
        status = _status(cells)
        if status is None:
            raise RenderError(
                f"its status {cells['status']!r} is unknown; use {', '.join(known.value for known in Status)}"
            )
        return Render(
            line=line,
            id=_positive(cells, "id") or 0,
            blend=self.resolve(cells["blend"]),
            description=cells["description"],
            scene=cells["scene"] or None,
            camera=cells["camera"] or None,
            startframe=_number(cells, "startframe"),
            endframe=_number(cells, "endframe"),
            step=_positive(cells, "step"),
            breaksize=_breaksize(cells),
            xres=_positive(cells, "xres"),
            yres=_positive(cells, "yres"),
            percentage=_positive(cells, "percentage"),
            samples=_positive(cells, "samples"),
            files=tuple(self.resolve(path.strip()) for path in cells["files"].split(FILE_SEPARATOR) if path.strip()),
            review=_positive({"review": "", **cells}, "review"),
            autoexec=_truth(cells, "autoexec"),
            allow_missing=_truth(cells, "allow_missing"),
            max_cost=_dollars(cells, "max_cost"),
            movie=_truth(cells, "movie"),
            status=status,
            # The farm's own cells are rewritten from what the farm says, so nothing in them breaks a row.
            frames_done=int(_amount(cells["frames_done"]) or 0),
            frames_total=int(_amount(cells["frames_total"]) or 0),
            error=cells["error"],
            run=cells["run"],
            job_id=cells["job_id"],
            submitted_at=cells["submitted_at"],
            finished_at=cells["finished_at"],
            render_seconds=_amount(cells["render_seconds"]) or 0.0,
            cost_usd=_amount(cells["cost_usd"]),
        )

    def _write(self, sheet: _Sheet) -> None:
        with _unwritten(self.path):
            disk.write(self.path, sheet.text())


def written(value: object) -> str:
    """Spell a value for a cell, so that no spreadsheet runs it as a formula (CWE-1236)."""
    text = "" if value is None else value.value if isinstance(value, Enum) else str(value)
    text = re.sub(r"[\x00-\x08\x0b-\x1f]", " ", text)
    return f"'{text}" if _is_formula(text) else text


def _is_formula(text: str) -> bool:
    return text[:1] in {"=", "+", "-", "@", "\t"} and not _PLAIN_NUMBER.fullmatch(text)


def _read_sheet(path: Path) -> _Sheet:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RenderError(f"There is no job file {path}: make one with `render init`, or name yours with -j.") from None
    except OSError as error:
        raise RenderError(f"{path} cannot be read ({error.strerror}): close the program that holds it.") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise RenderError(f"{path} is not UTF-8: in the spreadsheet, save it as `CSV UTF-8 (comma delimited)`.")
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise RenderError(f"{path} is not a CSV ({error}): mend it in a text editor, or restore a copy.") from None
    names = [name.strip() for name in rows[0]] if rows else []
    if len(names) == 1 and names[0].count(";") > 1:
        raise RenderError(f"{path} has semicolons between its cells: save it as `CSV UTF-8 (comma delimited)`.")
    missing = [name for name in (*EDITABLE_COLUMNS, *FARM_COLUMNS) if name not in names]
    if missing:
        raise RenderError(
            f"{path} has no column {', '.join(missing)}: put the name back into its first row (`render init -j "
            "new.csv` makes a file with all of them)."
        )
    double = sorted({name for name in names if names.count(name) > 1 and name in COLUMNS})
    if double:
        raise RenderError(f"{path} has the column {', '.join(double)} twice: rename one of them.")
    return _Sheet(rows=rows, bom=content.startswith(b"\xef\xbb\xbf"), newline="\r\n" if "\r\n" in text else "\n")


def _row_of(sheet: _Sheet, number: int) -> list[str] | None:
    for row in sheet.rows[1:]:
        if _as_int(sheet.cells(row)["id"]) == number:
            return row
    return None


def _is_fresh_run(cells: Mapping[str, str], known: Mapping[str, str]) -> bool:
    """Tell whether the user wishes a fresh run: Pending beside the latest run, which no older copy of the file has."""
    return _status(cells) is Status.PENDING and cells["run"] == known.get("run")


def _status(cells: Mapping[str, str]) -> Status | None:
    with suppress(ValueError):
        return Status(cells["status"].strip().capitalize() or Status.PENDING.value)
    return None


def _steering(cells: Mapping[str, str]) -> tuple[Status | None, str, str]:
    return _status(cells), cells["run"].strip(), cells["job_id"].strip()


def _as_int(cell: str) -> int | None:
    # A spreadsheet may have made 4.0 of 4.
    return int(float(cell)) if _NUMBER.fullmatch(cell.strip()) else None


def _number(cells: Mapping[str, str], name: str) -> int | None:
    if not cells[name]:
        return None
    value = _as_int(cells[name])
    if value is None:
        raise RenderError(f"its {name} is {cells[name]!r}; write a whole number")
    return value


def _positive(cells: Mapping[str, str], name: str) -> int | None:
    value = _number(cells, name)
    if value is not None and value < 1:
        raise RenderError(f"its {name} is {value}; write a number of 1 or more")
    return value


def _amount(cell: str) -> float | None:
    return float(cell) if re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", cell) else None


def _breaksize(cells: Mapping[str, str]) -> int | Literal["auto"] | None:
    if cells["breaksize"].lower() == AUTO:
        return AUTO
    return _positive(cells, "breaksize")


def _dollars(cells: Mapping[str, str], name: str) -> float | None:
    text = cells.get(name, "")
    if not text:
        return None
    if not _PLAIN_NUMBER.fullmatch(text) or float(text) <= 0:
        raise RenderError(f"its {name} is {text!r}; write dollars such as 2.50, or nothing for no limit")
    return float(text)


def _truth(cells: Mapping[str, str], name: str) -> bool:
    value = cells.get(name, "").lower()
    if value not in {"", "yes", "no", "true", "false", "1", "0"}:
        raise RenderError(f"its {name} is {cells[name]!r}; write yes or no")
    return value in {"yes", "true", "1"}


@contextmanager
def _unwritten(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RenderError(
            f"{path} cannot be written ({error.strerror}): close the program that holds it, or free the disk, and run "
            "the command again; what was learned is kept."
        ) from None


@contextmanager
def _unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RenderError(
            f"The folder {path.parent} cannot be written ({error.strerror}): put the job file where it can be."
        ) from None
