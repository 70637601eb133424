"""What is made of a render's frames for people to look at, and which of it is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from client.errors import RenderError
from client.frames import spelled
from client.frames_folder import FramesFolder
from client.jobfile import Render, Status

if TYPE_CHECKING:
    from client.pictures.movie import Movie

# What reads and makes pictures takes long to import, so each function imports what it needs of it.
# ruff: noqa: PLC0415


class Listener(Protocol):
    """Who hears what was made, and what could not be."""

    def say(self, text: str) -> None:
        """Hear what was done."""

    def warn(self, text: str) -> None:
        """Hear what wants the user's attention."""


def after_success(render: Render, folder: FramesFolder, listener: Listener) -> None:
    """Make the contact sheet, and the movie where the row wants one; what cannot be made is a warning and no more."""
    from client.pictures.contact_sheet import contact_sheet
    from client.pictures.movie import movie

    try:
        listener.say(f"{render.label}: its contact sheet is {contact_sheet(folder)}")
    except RenderError as error:
        listener.warn(f"{render.label} has no contact sheet: {error}")
    if not render.movie:
        return
    try:
        listener.say(f"{render.label}: making a movie of its {len(folder.wanted)} frames")
        made = movie(folder, lambda done, total: None)  # noqa: ARG005 -- nobody watches
    except RenderError as error:
        listener.warn(f"{render.label} has no movie: {error}")
    else:
        listener.say(f"{render.label}: its movie is {made.path}")
        if missing := missing_of(render, made):
            listener.warn(missing)


def make_movie(render: Render, told: Callable[[int, int], None], fps: float | None = None) -> Movie:
    """Make the movie of what is here; `told` hears how many frames are done, and of how many. Raises RenderError."""
    from client.pictures.movie import movie

    return movie(_folder(render), told, fps)


def missing_of(render: Render, made: Movie) -> str:
    """Say what the movie lacks; nothing where it has every frame."""
    if not made.missing:
        return ""
    count, which = len(made.missing), spelled(made.missing)
    return f"{render.label}: its movie lacks {count} of its frames ({which}); the one before stands in for a gap."


def shown(render: Render, frame: int | None, *, sheet: bool) -> Path:
    """Give the file to look at: the contact sheet, the frame of that number, or the frame that came last.

    A sheet that is not there, or of a render that goes on, is made. Raises RenderError where there is nothing.
    """
    from client.pictures.contact_sheet import NAME, contact_sheet
    from client.pictures.picture import frame_files

    folder = _folder(render)
    if sheet:
        path = folder.path / NAME
        return path if path.is_file() and render.status is Status.SUCCESS else contact_sheet(folder)
    files = {number: path for number, path in frame_files(folder.path).items() if not path.is_symlink()}
    if not files:
        raise RenderError(f"{render.label} has no frame here yet: run `render process`.")
    if frame is None:
        return max(files.values(), key=lambda path: path.stat().st_mtime_ns)
    if frame not in files:
        raise RenderError(f"{render.label} has no frame {frame} here: it has {spelled(files)}.")
    return files[frame]


def _folder(render: Render) -> FramesFolder:
    folder = FramesFolder.of(render, render.run) if render.run else None
    if folder is None:
        raise RenderError(f"{render.label} has no frames here yet: run `render process`.")
    return folder
