"""Files that an earlier chunk brought to the same host: one copy of each content, shared by all containers.

The folder is a volume of the host. A file is there under its digest, whole and read-only, or not at all. Of two locks
beside it, one lets the first of several chunks fetch it while others wait; the other keeps it while a chunk uses it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_ROOM_BYTES = 1 << 30
"""What eviction leaves free beside the file that is to come."""
_SMALL_BYTES = 16 << 20
"""Up to this size a chunk gets a copy of its own, which its scripts may edit."""


class Cache:
    """The shared files of one host, or of one chunk alone where no volume is mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._in_use: list[int] = []
        folder.mkdir(parents=True, exist_ok=True)

    def place(self, digest: str, size: int, path: Path, fetch: Callable[[Path], None]) -> None:
        """Put the content at a path, by `fetch` if no chunk of this host has brought it before.

        `fetch` fills the file that it is given, going on where an earlier try left it, and raises unless the content
        is right. A large file is placed as a link to the shared one, which is read-only, so that a script that edits it
        in place fails instead of changing it for others.
        """
        shared = self._folder / digest
        use = os.open(self._folder / f"{digest}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        self._in_use.append(use)
        # Held to the end of the chunk, so it must never be waited for: only eviction wants it alone, and does not wait.
        fcntl.flock(use, fcntl.LOCK_SH)
        if not _is_whole(shared, size):
            with (self._folder / f"{digest}.fetch").open("w") as fetching:
                fcntl.flock(fetching, fcntl.LOCK_EX)
                if not _is_whole(shared, size):
                    part = self._folder / f"{digest}.part"
                    self._make_room(size)
                    fetch(part)
                    part.chmod(0o444)
                    part.replace(shared)
        path.parent.mkdir(parents=True, exist_ok=True)
        if size > _SMALL_BYTES:
            path.symlink_to(shared)
        else:
            shutil.copyfile(shared, path)

    def close(self) -> None:
        """Let go of the files: they stay, and may be evicted."""
        while self._in_use:
            os.close(self._in_use.pop())

    def _make_room(self, size: int) -> None:
        """Evict what nobody uses, the longest unused first, until the file fits."""
        if shutil.disk_usage(self._folder).free > size + _ROOM_BYTES:
            return
        with_times = []
        for lock in self._folder.glob("*.lock"):
            with suppress(OSError):
                with_times.append((lock.stat().st_mtime, lock))
        for _, lock in sorted(with_times):
            if shutil.disk_usage(self._folder).free > size + _ROOM_BYTES:
                return
            _evict(lock)


def _is_whole(shared: Path, size: int) -> bool:
    return shared.exists() and shared.stat().st_size == size


def _evict(lock: Path) -> None:
    with suppress(OSError):
        handle = os.open(lock, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (lock.with_suffix(""), lock.with_suffix(".part")):
                path.unlink(missing_ok=True)
        finally:
            os.close(handle)
