"""Writing to this machine's disk so that a killed command or a failing power leaves the old content or the new."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Replace a file's content, whole or not at all, and keep who may read it. Raises OSError.

    Only one command may write a file at a time. A link stays one: what it points to is replaced.
    """
    path = path.resolve()
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(path.stat().st_mode if path.exists() else 0o644)
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    outlast_power(path.parent)


def outlast_power(folder: Path) -> None:
    """Have the names within a folder on the disk; Windows has no such call, and needs none. Raises OSError."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
