"""The folder of a render's frames on this machine: `~/rendering/finished_renders/<name>/`.

A folder belongs to one run, or to runs that complete each other; a fresh run of the same row gets a folder of its own,
so that no finished frame is ever overwritten or mixed with another's.
"""

from __future__ import annotations

import bisect
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from client import disk, places
from client.buckets import PARTIAL, Buckets
from client.digests import Content, digest_of
from client.errors import RenderError
from client.jobfile import Render
from client.reports import Reports
from render_worker.contract import Report, frame_of

DEFAULT_FPS = 24.0
"""Frames a second where no Blender told the scene's own."""
_RECORD = ".render.json"
_FETCHED = ".fetched.jsonl"
_REPORTS = ".reports.jsonl"
_AT_ONCE = 64
"""Files that have come are written down so many at a time; those that a crash leaves out are read anew."""


class FramesFolder:
    """One folder: the runs that fill it, the frames that it shall hold, the scene's frame rate, and what has come."""

    def __init__(self, path: Path, runs: Sequence[str], wanted: Iterable[int], fps: float | None = None) -> None:
        self.path = path
        self.runs = tuple(runs)
        self.wanted = frozenset(wanted)
        self.reports = Reports(path / _REPORTS)
        self._unsaved: list[str] = []
        self.fps = float(fps or DEFAULT_FPS)

    @classmethod
    def new(cls, render: Render, run: str, wanted: Iterable[int], fps: float | None = None) -> FramesFolder:
        """Claim a folder that no other run has."""
        number = 1
        while True:
            path = _path(render, number)
            with _unwritable(path), suppress(FileExistsError):
                path.mkdir(parents=True)
                break
            number += 1
        folder = cls(path, [run], wanted, fps)
        folder._record()
        return folder

    @classmethod
    def of(cls, render: Render, run: str) -> FramesFolder | None:
        """Find the folder that a run fills."""
        return next((folder for folder in _folders(render) if run in folder.runs), None)

    def joined_by(self, run: str) -> FramesFolder:
        """Let one more run fill what is missing."""
        folder = FramesFolder(self.path, [*self.runs, run], self.wanted, self.fps)
        folder._record()
        return folder

    @cached_property
    def fetched(self) -> dict[str, Content]:
        """What has come, by name, and is on the disk, or was until the user deleted it."""
        with _unwritable(self.path):
            found = dict(_read(self.path / _FETCHED))
            for name in _listed(self.path):
                if frame_of(name) is not None and name not in found:
                    # A command was killed after the file had its name, and before that was written down.
                    found[name] = digest_of(self.path / name)
                    self._unsaved.append(name)
        return found

    @cached_property
    def frames(self) -> set[int]:
        """The frames that have come."""
        return {frame for frame in map(frame_of, self.fetched) if frame is not None}

    @property
    def complete(self) -> bool:
        """Whether every frame that it shall hold has come."""
        return self.wanted <= self.frames

    @property
    def done(self) -> int:
        """How many of the frames that it shall hold have come."""
        return len(self.wanted & self.frames)

    @property
    def deleted(self) -> list[int]:
        """Frames that have come and are gone: the user's wish, which only a retry overrules."""
        here = {frame_of(name) for name in _listed(self.path)}
        return sorted((self.frames & self.wanted) - here)

    @contextmanager
    def receiving(self) -> Iterator[Callable[[str, Content], None]]:
        """Take in files: each is written down once it is sure to outlast the power, also when a later one fails."""

        def arrived(name: str, content: Content) -> None:
            self._count(name, content)
            self._unsaved.append(name)
            if len(self._unsaved) >= _AT_ONCE:
                self._save()

        with _unwritable(self.path):
            for name in _listed(self.path):
                if name.startswith(PARTIAL):
                    (self.path / name).unlink(missing_ok=True)
        try:
            yield arrived
        finally:
            self._save()

    def forget(self, names: Collection[str]) -> None:
        """Take files for not fetched, so that they are fetched when the farm has them."""
        with _unwritable(self.path), (self.path / _FETCHED).open("a", encoding="utf-8") as file:
            for name in names:
                self.fetched.pop(name, None)
                file.write(json.dumps({"name": name}) + "\n")
        self.__dict__.pop("frames", None)
        self.__dict__.pop("missing_names", None)

    @cached_property
    def missing_names(self) -> list[str]:
        """How the names of the frames begin that have not come, in the order of the bucket's keys."""
        return sorted(f"{frame:04}" for frame in self.wanted - self.frames)

    def _count(self, name: str, content: Content) -> None:
        frame = frame_of(name)
        if frame is not None and frame not in self.frames:
            self.frames.add(frame)
            start = f"{frame:04}"
            at = bisect.bisect_left(self.missing_names, start)
            if self.missing_names[at : at + 1] == [start]:
                del self.missing_names[at]
        self.fetched[name] = content

    def _save(self) -> None:
        if not self._unsaved:
            return
        lines = [
            json.dumps({"name": name, "size": content.size, "digest": content.digest}) + "\n"
            for name, content in ((name, self.fetched[name]) for name in self._unsaved)
        ]
        with _unwritable(self.path):
            disk.outlast_power(self.path)
            with (self.path / _FETCHED).open("a", encoding="utf-8") as file:
                file.writelines(lines)
        self._unsaved.clear()

    def _record(self) -> None:
        with _unwritable(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"runs": self.runs, "frames": sorted(self.wanted), "fps": self.fps})
            disk.write(self.path / _RECORD, text)


class Folders:
    """The folders of a job file's runs, each found and read once while its render is followed."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[FramesFolder, int]] = {}

    def of(self, render: Render) -> FramesFolder | None:
        """Find the folder of the row's run; one that another command has written to since is read anew."""
        folder, size = self._found.pop(render.run, (None, 0))
        if folder is None or _size(folder) != size:
            folder = FramesFolder.of(render, render.run)
        if folder:
            self.keep(render.run, folder)
        return folder

    def keep(self, run: str, folder: FramesFolder) -> None:
        """Remember a folder as it is now."""
        self._found[run] = (folder, _size(folder))

    def forget(self, run: str) -> None:
        """Let go of what a run that rests takes in memory."""
        self._found.pop(run, None)


def reports_of(buckets: Buckets, render: Render) -> list[Report]:
    """Give the reports of the row's run, also where its folder is gone. Raises RenderError as `Buckets` does."""
    folder = FramesFolder.of(render, render.run)
    return (folder.reports if folder else Reports(None)).of(buckets, render.run)


def _size(folder: FramesFolder) -> int:
    try:
        return (folder.path / _FETCHED).stat().st_size
    except OSError:
        return 0


def _read(path: Path) -> Iterator[tuple[str, Content]]:
    """Read what was written down; a line that a crash cut short says nothing."""
    known: dict[str, Content] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError, AttributeError):
                said: Mapping[str, object] = json.loads(line)
                name = str(said["name"])
                known.pop(name, None)
                if "digest" in said:
                    known[name] = Content(str(said["digest"]), int(str(said["size"])))
    yield from known.items()


@contextmanager
def _unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RenderError(
            f"The folder {path} cannot be written ({error.strerror}): free the disk, or set RENDER_HOME to "
            "another place."
        ) from None


def _path(render: Render, number: int) -> Path:
    name = _name(render)
    return places.finished_renders() / (name if number == 1 else f"{name}-{number}")


def _name(render: Render) -> str:
    stem = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", render.blend.stem).strip(". ") or "render"
    return f"{stem}-{render.id}"


def _folders(render: Render) -> list[FramesFolder]:
    """List the folders that runs of this row have claimed, the oldest first; the user may have deleted some."""
    named, top = re.compile(re.escape(_name(render)) + "(?:-([0-9]{1,9}))?"), places.finished_renders()
    numbers = [int(match[1] or 1) for name in _listed(top) if (match := named.fullmatch(name))]
    folders: list[FramesFolder] = []
    for path in (_path(render, number) for number in sorted(numbers)):
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((path / _RECORD).read_text(encoding="utf-8"))
            folders.append(FramesFolder(path, record["runs"], record["frames"], record.get("fps")))
    return folders


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 -- 10,000 Paths are slow
    except OSError:
        return []
