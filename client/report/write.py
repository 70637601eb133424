"""The report of a render: one file for a browser, which an artist keeps or sends to a client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from client import disk
from client.errors import RenderError
from client.frames_folder import FramesFolder
from client.jobfile import Render
from client.report.facts import gather
from client.report.page import page
from client.report.thumbnails import thumbnails

NAME = "report.html"


def write(render: Render, path: Path | None, say: Callable[[str], None]) -> Path:
    """Write the page of a render, into the folder of its frames unless a path is given; `say` hears how far it is.

    Raises RenderError when there is no such folder, or nothing can be written there.
    """
    folder = FramesFolder.of(render, render.run) if render.run else None
    if path is None and folder is None:
        raise RenderError(
            f"{render.label} has no folder of frames on this machine: run `render process`, or name a file for the "
            "report with -o."
        )
    path = (path or (folder.path if folder else Path()) / NAME).absolute()
    facts = gather(render, folder)
    text = page(facts, *thumbnails(facts.files, say))
    try:
        disk.write(path, text)
    except OSError as error:
        raise RenderError(f"The report {path} cannot be written ({error.strerror}): name another with -o.") from None
    return path
