"""Rendering again: what is missing of a run, or the frames that the user names."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from client import fetch, frames, pace, runs
from client.errors import RenderError
from client.farm import Farm
from client.frames_folder import FramesFolder
from client.jobfile import RESTING, JobFile, Render, Status
from render_worker.contract import frame_of

EARLIER_FOLDER = "earlier"
"""Within the folder of frames: those that were rendered again on request."""


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What the next pass submits: the frames to render again, and how many finished ones that saves."""

    render: Render
    again: list[int]
    saved: int


def retry(jobfile: JobFile, farm: Farm, render: Render, named: Collection[int] | None) -> Retried:
    """Prepare a run to render again the frames that are missing, or those named; `process` then submits them.

    The run stays the same, its finished frames too. Named frames that are here are kept aside. Raises RenderError when
    the run still goes on, is of another farm, or has nothing to render again.
    """
    folder = _check(farm, render)
    listing = farm.frames(render.run)
    fetch.fetch_frames(farm, render.run, listing, folder, lambda: None)
    finished = {frame for frame in map(frame_of, listing) if frame is not None} | folder.frames
    unknown = sorted(set(named or ()) - folder.wanted)
    if unknown:
        raise RenderError(f"{render.label}: frames {frames.spelled(unknown)} are none of the run's.")
    again = sorted(folder.wanted - finished if named is None else named)
    if not again:
        raise RenderError(f"{render.label} has all of its {len(folder.wanted)} frames: name some with --frames.")
    manifest = farm.manifest(render.run)
    if named is not None:
        farm.delete_frames(render.run, [name for name in listing if frame_of(name) in named])
        _set_aside(folder.path, named)
    chunks = frames.chunks(again, pace.breaksize(render, [render], len(again)))
    farm.put_manifest(replace(manifest, chunks=(*manifest.chunks, *chunks), first_chunk=len(manifest.chunks)))
    changes = {"status": Status.UPLOADED, "error": "", "submitted_at": "", "finished_at": ""}
    done = len(folder.wanted) - len(again)
    return Retried(render=jobfile.update(render, {**changes, "frames_done": done}), again=again, saved=done)


def _check(farm: Farm, render: Render) -> FramesFolder:
    if render.status not in RESTING:
        raise RenderError(f"{render.label} is {render.status.value}: cancel it first, or wait for it.")
    if runs.farm_tag(render.run) != farm.config.tag:
        raise RenderError(
            f"{render.label} has no run in the farm {farm.config.stack_name}: set its status to Pending to render it."
        )
    folder = FramesFolder.of(render, render.run)
    if folder is None:
        raise RenderError(f"{render.label} has no folder of frames here: set its status to Pending to render it.")
    return folder


def _set_aside(folder: Path, named: Collection[int]) -> None:
    """Keep the frames as they are until now, also when a frame is rendered again more than once."""
    aside = folder / EARLIER_FOLDER
    for path in list(folder.iterdir()):
        if frame_of(path.name) in named:
            with suppress(FileExistsError):
                aside.mkdir()
            place, number = aside / path.name, 1
            while place.exists():
                number += 1
                place = aside / f"{path.stem}-{number}{path.suffix}"
            path.replace(place)
