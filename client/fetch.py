"""Fetching: finished frames and hooks' output come to this machine's disk, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from client.buckets import PARTIAL, Buckets
from client.connection import PARALLEL
from client.digests import Content, digest_of
from client.frames_folder import FramesFolder
from render_worker import contract
from render_worker.contract import Report

OUTPUT_FOLDER = "output"
"""Within the folder of frames: what the hooks left in the output folder."""


def fetch_frames(
    buckets: Buckets, run: str, listing: Mapping[str, int], folder: FramesFolder, got: Callable[[], None]
) -> int:
    """Fetch what the listing (name to size) has and has not come before; give the number of files, `got` hears each.

    A frame that came and was deleted by the user since does not come again. Raises RenderError at the first that
    fails; those that came before stay.
    """
    known = folder.fetched
    new = [name for name, size in listing.items() if name not in known or known[name].size != size]
    wanted = {name: folder.path / place for name, place in _places(new)}
    if not wanted:
        return 0
    with folder.receiving() as arrived:

        def keep(name: str, content: Content) -> None:
            arrived(name, content)
            got()

        _fetch(buckets, contract.frames_prefix(run), listing, wanted, keep)
    return len(wanted)


def fetch_output(buckets: Buckets, run: str, folder: FramesFolder) -> int:
    """Fetch what the run's hooks left in the output folder and give the number of files."""
    listing, place = buckets.outputs(run), folder.path / OUTPUT_FOLDER
    for partial in place.rglob(f"{PARTIAL}*"):
        partial.unlink(missing_ok=True)
    wanted = {name: place / path for name, path in _places(listing) if not _is_here(place / path, listing[name])}
    _fetch(buckets, contract.output_prefix(run), listing, wanted, lambda *_: None)
    return len(wanted)


def not_as_reported(folder: FramesFolder, reports: Collection[Report]) -> list[str]:
    """Name the files that have come with another content than every worker that rendered them has reported."""
    reported: dict[str, set[tuple[int, str]]] = {}
    for report in reports:
        for frame in report.frames:
            for file in frame.files:
                reported.setdefault(file.name, set()).add((file.size, file.digest))
    here = folder.fetched
    return [
        name for name, told in reported.items() if name in here and (here[name].size, here[name].digest) not in told
    ]


def _fetch(
    buckets: Buckets,
    prefix: str,
    listing: Mapping[str, int],
    wanted: Mapping[str, Path],
    arrived: Callable[[str, Content], None],
) -> None:
    def bring(name: str, path: Path) -> Content:
        # A command was killed after it had brought it, or the user has it already.
        return digest_of(path) if _is_here(path, listing[name]) else buckets.fetch(prefix + name, path)

    with ThreadPoolExecutor(PARALLEL) as pool:
        waiting = {pool.submit(bring, name, path): name for name, path in wanted.items()}
        try:
            for future in as_completed(waiting):
                arrived(waiting.pop(future), future.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _places(names: Iterable[str]) -> list[tuple[str, Path]]:
    """Give each object its place; a name that would leave the folder or hide in it is nobody's frame."""
    found = []
    for name in names:
        try:
            place = contract.checked_path(name)
        except contract.ContractError:
            continue
        if not any(part.startswith(".") for part in place.parts):
            found.append((name, Path(place)))
    return found


def _is_here(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
