"""The files that a reference stands for: tiles, numbered series and whole folders."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from client.errors import RenderError
from client.inspection import Kind, Reference
from render_worker.contract import MAX_FILES, series_of

_TILE = re.compile("<UDIM>|<UVTILE>")


@dataclass(frozen=True, kw_only=True)
class Expansion:
    """The files that are there, and what is not: a file, a tile, or the pattern or folder of which there is nothing."""

    files: list[Path]
    missing: list[Path]


def expand(reference: Reference) -> Expansion:
    """Find the files of a reference. Raises RenderError for a folder that cannot be read or holds too much."""
    path = reference.path
    if reference.kind is Kind.TILES:
        tiles = [path.with_name(_TILE.sub(tile, path.name)) for tile in reference.tiles]
        return Expansion(
            files=[tile for tile in tiles if tile.is_file()], missing=[tile for tile in tiles if not tile.is_file()]
        )
    if reference.kind is Kind.SERIES:
        found = _series(path, reference.numbers)
    elif path.is_dir():
        found = files_below(path)
    else:
        found = [path] if path.is_file() and reference.kind is not Kind.FOLDER else []
    return Expansion(files=found, missing=[] if found else [path])


def files_below(folder: Path) -> list[Path]:
    """List every file below a folder, through links to other folders too, each folder once.

    Raises RenderError when the folder cannot be read, or holds more files than a package may.
    """
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        # A link may lead back up.
        folders[:] = sorted(name for name in folders if _identity(Path(place, name)) not in seen)
        seen |= {_identity(Path(place, name)) for name in folders}
        found += [path for path in (Path(place, name) for name in sorted(names)) if path.is_file()]
        if len(found) > MAX_FILES:
            raise RenderError(f"{folder} holds more than {MAX_FILES:,} files, which is more than a package may.")
    return found


def _series(path: Path, numbers: tuple[int, int] | None) -> list[Path]:
    series = series_of(path.name)
    if series is None or not path.parent.is_dir():
        return [path] if path.is_file() else []
    try:
        names = sorted(found.name for found in path.parent.iterdir())
    except OSError as error:
        _refuse(error)
    matches = [(match, name) for name in names if (match := series.fullmatch(name))]
    first, last = numbers or (0, float("inf"))
    return [path.with_name(name) for match, name in matches if first <= int(match[1]) <= last]


def _identity(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _refuse(error: OSError) -> NoReturn:
    raise RenderError(f"{error.filename} cannot be read ({error.strerror}): restore it and try again.") from None
