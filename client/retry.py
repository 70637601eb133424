"""Rendering again: what is missing of a run, or the frames that the user names."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from client import fetch, frames, pace, runs
from client.errors import RenderError
from client.farm import Farm
from client.frames_folder import FramesFolder
from client.jobfile import RESTING, JobFile, Render, Status
from render_worker.contract import Manifest, Report, frame_of

EARLIER_FOLDER = "earlier"
"""Within the folder of frames: those that were rendered again on request."""


@dataclass(frozen=True, kw_only=True)
class Retried:
    """What the next pass submits: the frames to render again.

    `saved` counts the finished ones, `fetched` the files that the farm still had and that came once more.
    """

    render: Render
    again: list[int]
    saved: int
    fetched: int


def retry(jobfile: JobFile, farm: Farm, render: Render, named: Collection[int] | None) -> Retried:
    """Prepare a run to render again the frames that are missing, or those named; `process` then submits them.

    The run stays the same, its finished frames too; what was deleted here is fetched again if the farm has it. Named
    frames that are here are kept aside. Raises RenderError when the run still goes on, is of another farm, or has
    nothing to render again or to fetch.
    """
    folder, buckets = _check(farm, render), farm.buckets
    listing = buckets.frames(render.run)
    folder.forget([name for name in folder.fetched if not (folder.path / name).exists()])
    fetched = fetch.fetch_frames(buckets, render.run, listing, folder, lambda: None)
    unknown = sorted(set(named or ()) - folder.wanted)
    if unknown:
        raise RenderError(f"{render.label}: frames {frames.spelled(unknown)} are none of the run's.")
    again = sorted(folder.wanted - folder.frames if named is None else named)
    done = len(folder.wanted) - len(again)
    if not again:
        if not fetched:
            raise RenderError(f"{render.label} has all of its {len(folder.wanted)} frames: name some with --frames.")
        return Retried(render=render, again=[], saved=done, fetched=fetched)
    manifest = buckets.manifest(render.run)
    _check_package(farm, render, manifest)
    if named is not None:
        names = _files_of(folder, folder.reports.of(buckets, render.run), named)
        _set_aside(folder, names)
        buckets.delete_frames(render.run, sorted(names & listing.keys()))
    chunks = frames.chunks(again, pace.breaksize(render, [render], len(again)))
    buckets.put_manifest(replace(manifest, chunks=(*manifest.chunks, *chunks), first_chunk=len(manifest.chunks)))
    changes = {"status": Status.UPLOADED, "error": "", "submitted_at": "", "finished_at": "", "frames_done": done}
    return Retried(render=jobfile.update(render, changes), again=again, saved=done, fetched=fetched)


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


def _check_package(farm: Farm, render: Render, manifest: Manifest) -> None:
    """Raise RenderError when the farm has let go of an input file, or soon will: no host is paid to find that out."""
    sizes = {file.digest: file.size for file in manifest.files}
    if gone := sizes.keys() - farm.buckets.kept(sizes):
        name = next(file.path for file in manifest.files if file.digest in gone)
        raise RenderError(
            f"{render.label}: the farm no longer keeps {name} of its package long enough: set its status to Pending to "
            "upload and render it anew."
        )


def _files_of(folder: FramesFolder, reports: Iterable[Report], named: Collection[int]) -> set[str]:
    """Name all files of frames: a frame's main one, and its views, layers and file outputs as the workers told."""
    told = {file.name for report in reports for each in report.frames if each.frame in named for file in each.files}
    return told | {name for name in folder.fetched if frame_of(name) in named}


def _set_aside(folder: FramesFolder, names: Iterable[str]) -> None:
    """Keep the frames as they are until now, also when a frame is rendered again more than once."""
    aside, here = folder.path / EARLIER_FOLDER, sorted(folder.fetched.keys() & {*names})
    try:
        for name in here:
            if (path := folder.path / name).exists():
                place = _free_place(aside / name)
                place.parent.mkdir(parents=True, exist_ok=True)
                path.replace(place)
    except OSError as error:
        raise RenderError(
            f"{path} cannot be moved to {aside} ({error.strerror}): close the program that holds it."
        ) from None
    folder.forget(here)


def _free_place(wanted: Path) -> Path:
    place, number = wanted, 1
    while place.exists():
        number += 1
        place = wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")
    return place
