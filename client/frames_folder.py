"""The folder of a render's frames on this machine: `~/rendering/finished_renders/<name>/`.

A folder belongs to one run, or to runs that complete each other; a fresh run of the same row gets a folder of its own,
so that no finished frame is ever overwritten or mixed with another's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from client import places
from client.errors import RenderError
from client.jobfile import Render
from render_worker.contract import frame_of

DEFAULT_FPS = 24.0
"""Frames a second where no Blender told the scene's own."""
_RECORD = ".render.json"


class FramesFolder:
    """One folder, the runs that fill it, the frames that it shall hold in the end, and the scene's frames a second."""

    def __init__(self, path: Path, runs: Sequence[str], wanted: Iterable[int], fps: float | None = None) -> None:
        self.path = path
        self.runs = tuple(runs)
        self.wanted = frozenset(wanted)
        self.fps = float(fps or DEFAULT_FPS)

    @classmethod
    def new(cls, render: Render, run: str, wanted: Iterable[int], fps: float | None = None) -> FramesFolder:
        """Claim a folder that no other run has."""
        taken = _folders(render)
        number = len(taken) + 1
        while (path := _path(render, number)).exists():
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
    def frames(self) -> set[int]:
        """The frames that are here; each file is whole, since it was moved to its name when it was complete."""
        found = map(frame_of, os.listdir(self.path)) if self.path.is_dir() else ()  # noqa: PTH208 -- 10,000 Paths are slow
        return {frame for frame in found if frame is not None}

    def arrived(self, name: str) -> None:
        """Count a file that has come, so that a folder of many thousand frames is read once in a pass."""
        frame = frame_of(name)
        if frame is not None:
            self.frames.add(frame)

    @property
    def fetched_up_to(self) -> str:
        """Name before which, in the order of the bucket's keys, every wanted frame is here; empty for none."""
        missing = self.wanted - self.frames
        return min((f"{frame:04}" for frame in missing), default="")

    def _record(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            text = json.dumps({"runs": self.runs, "frames": sorted(self.wanted), "fps": self.fps})
            beside = self.path / f"{_RECORD}.new"
            beside.write_text(text, encoding="utf-8")
            beside.replace(self.path / _RECORD)
        except OSError as error:
            raise RenderError(
                f"The folder {self.path} cannot be written ({error.strerror}): free the disk, or set RENDER_HOME to "
                "another place."
            ) from None


def _path(render: Render, number: int) -> Path:
    stem = re.sub(r'[<>:"/\\|?*\x00-\x1f]', "_", render.blend.stem).strip(". ") or "render"
    name = f"{stem}-{render.id}"
    return places.finished_renders() / (name if number == 1 else f"{name}-{number}")


def _folders(render: Render) -> list[FramesFolder]:
    """List the folders that runs of this row have claimed, the oldest first."""
    folders: list[FramesFolder] = []
    number = 1
    while (path := _path(render, number)).exists():
        with suppress(OSError, ValueError, KeyError, TypeError):
            record = json.loads((path / _RECORD).read_text(encoding="utf-8"))
            folders.append(FramesFolder(path, record["runs"], record["frames"], record.get("fps")))
        number += 1
    return folders
