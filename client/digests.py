"""SHA-256 of files on this machine, remembered by path, size and times: an unchanged gigabyte is not read again."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from client.errors import RenderError

_BLOCK = 1 << 20
_SETTLED_NS = 2_000_000_000
"""A file that changed so shortly before may change again within the same time: some disks count seconds."""
_MOST_ENTRIES = 1_000_000
"""About 200 MB; beyond it everything is forgotten, and read once more when needed."""


@dataclass(frozen=True)
class Content:
    """What a file held: its SHA-256 and its size in bytes."""

    digest: str
    size: int


class StaleError(RenderError):
    """A file does not hold what it held when its digest was read."""


class Digests:
    """The memory of one user. Without a place to keep it (a full or read-only disk), every file is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def of(self, paths: Iterable[Path], read: Callable[[int], None] = lambda _: None) -> dict[Path, Content]:
        """Give what the files hold; `read` hears of bytes as they are known, from several threads.

        Raises RenderError for the first that vanished or cannot be read.
        """
        wanted = {path: _state(path) for path in dict.fromkeys(paths)}
        found = self._remembered(wanted)
        for content in found.values():
            read(content.size)
        rest = [path for path in wanted if path not in found]
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            contents = dict(zip(rest, pool.map(lambda path: _read(path, read), rest), strict=True))
        now = time.time_ns()
        settled = {
            path: content
            for path, content in contents.items()
            if wanted[path] == _state(path) and max(wanted[path][1:]) < now - _SETTLED_NS
        }
        self._remember(wanted, settled)
        return {**found, **contents}

    def forget(self, paths: Iterable[Path]) -> None:
        """Read files anew when they are next asked for, since one turned out to hold something else."""
        with suppress(sqlite3.Error, OSError), closing(self._open()) as memory, memory:
            memory.executemany("DELETE FROM digests WHERE path = ?", [(_text(path),) for path in paths])

    def _remembered(self, wanted: dict[Path, tuple[int, int, int]]) -> dict[Path, Content]:
        found: dict[Path, Content] = {}
        with suppress(sqlite3.Error, OSError), closing(self._open()) as memory:
            for path, state in wanted.items():
                row = memory.execute(
                    "SELECT digest FROM digests WHERE path = ? AND size = ? AND modified = ? AND changed = ?",
                    (_text(path), *state),
                ).fetchone()
                if row:
                    found[path] = Content(row[0], state[0])
        return found

    def _remember(self, wanted: dict[Path, tuple[int, int, int]], contents: dict[Path, Content]) -> None:
        if not contents:
            return
        with suppress(sqlite3.Error, OSError), closing(self._open()) as memory, memory:
            if memory.execute("SELECT count(*) FROM digests").fetchone()[0] > _MOST_ENTRIES:
                memory.execute("DELETE FROM digests")
            memory.executemany(
                "INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?)",
                [(_text(path), *wanted[path], content.digest) for path, content in contents.items()],
            )

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        memory = sqlite3.connect(self._path, timeout=5)
        memory.execute(
            "CREATE TABLE IF NOT EXISTS digests"
            " (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, changed INTEGER, digest TEXT) WITHOUT ROWID"
        )
        return memory


def digest_of(path: Path) -> Content:
    """Read one file. Raises RenderError when it vanished or cannot be read."""
    return _read(path, lambda _: None)


def _text(path: Path) -> bytes:
    return os.fsencode(path)


def _state(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: Path, read: Callable[[int], None]) -> Content:
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
                read(len(block))
    except OSError as error:
        raise _unreadable(path, error) from None
    return Content(digest.hexdigest(), size)


def _unreadable(path: Path, error: OSError) -> RenderError:
    return RenderError(f"{path} cannot be read ({error.strerror}): restore it and try again.")
