"""Fetching: finished frames and hooks' output come to this machine's disk, each whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from client.farm import PARALLEL, Farm
from client.frames_folder import FramesFolder
from render_worker import contract

OUTPUT_FOLDER = "output"
"""Within the folder of frames: what the hooks left in the output folder."""


def fetch_frames(farm: Farm, run: str, listing: dict[str, int], folder: FramesFolder, got: Callable[[], None]) -> int:
    """Fetch what the listing (name to size) has and the disk has not, and give the number of files; `got` hears each.

    Raises RenderError at the first that fails; those that came before stay.
    """

    def arrived(name: str) -> None:
        folder.arrived(name)
        got()

    return _fetch(farm, contract.frames_prefix(run), listing, folder.path, arrived)


def fetch_output(farm: Farm, run: str, folder: FramesFolder) -> int:
    """Fetch what the run's hooks left in the output folder and give the number of files."""
    return _fetch(farm, contract.output_prefix(run), farm.outputs(run), folder.path / OUTPUT_FOLDER, lambda _: None)


def _fetch(farm: Farm, prefix: str, listing: dict[str, int], folder: Path, got: Callable[[str], None]) -> int:
    wanted = [(name, folder / place) for name, place in _places(listing) if not _is_here(folder / place, listing[name])]
    with ThreadPoolExecutor(PARALLEL) as pool:
        waiting = {pool.submit(farm.download, prefix + name, path): name for name, path in wanted}
        try:
            for future in as_completed(waiting):
                future.result()
                got(waiting[future])
        finally:
            pool.shutdown(cancel_futures=True)
    return len(wanted)


def _places(listing: dict[str, int]) -> list[tuple[str, Path]]:
    """Give each object its place; a name that would leave the folder or hide in it is nobody's frame."""
    found = []
    for name in listing:
        try:
            place = contract.checked_path(name)
        except contract.ContractError:
            continue
        if not any(part.startswith(".") for part in place.parts):
            found.append((name, Path(place)))
    return found


def _is_here(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
