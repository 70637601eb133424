"""The package of a render: the `.blend`, all that it refers to, and the files that the user added."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from client.digests import Digests
from client.errors import RenderError
from client.expansion import expand, files_below
from client.inspection import Inspection, Kind, Reference
from client.layout import Layout
from render_worker.contract import MAX_FILES, ContractError, PackageFile, checked_place


@dataclass(frozen=True, kw_only=True)
class Package:
    """Which file of this machine goes to which place on the worker, `/` between its parts.

    `left_out` is what the `.blend` refers to that cannot be sent, each with the reason. `remap` is the manifest's.
    """

    blend: str
    places: dict[str, Path]
    left_out: dict[Path, str]
    remap: dict[str, str] = field(default_factory=dict)

    def check_complete(self, *, allow_missing: bool) -> None:
        """Raise RenderError when something is left out and that is not allowed: no pink frame is paid for."""
        if self.left_out and not allow_missing:
            path, reason = next(iter(self.left_out.items()))
            more = f" (and {len(self.left_out) - 1} more)" if len(self.left_out) > 1 else ""
            raise RenderError(
                f"It refers to {path}{more}, which cannot be sent: {reason}; or set its allow_missing to yes."
            )

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(_size(path) for path in self.places.values())


def collect(blend: Path, extra: tuple[Path, ...], inspection: Inspection | None) -> Package:
    """Gather the package. Raises RenderError for a file that is not there or a name that no worker can take."""
    references = inspection.references if inspection else []
    layout = Layout(blend, references)
    package = Package(blend=layout.place(blend), places={}, left_out={})
    _put(package.places, package.blend, blend)
    beside = PurePosixPath(package.blend).parent
    for path in extra:
        found = files_below(path) if path.is_dir() else [path]
        for file in found:
            _put(package.places, (beside / file.relative_to(path.parent).as_posix()).as_posix(), file)
    for reference in references:
        _refer(package, layout, reference)
    return package


def digested(package: Package, digests: Digests, read: Callable[[int], None]) -> list[tuple[Path, PackageFile]]:
    """Give each file with its digest and size; `read` hears of bytes. Raises RenderError when one cannot be read."""
    contents = digests.of(package.places.values(), read)
    return [
        (path, PackageFile(path=place, digest=contents[path].digest, size=contents[path].size))
        for place, path in package.places.items()
    ]


def _refer(package: Package, layout: Layout, reference: Reference) -> None:
    """Add the files of a reference, or the reason why one of them stays here."""
    found = expand(reference)
    for path in found.missing:
        package.left_out[path] = "it is missing; restore it"
    if not found.files:
        return
    remapping = layout.remapping(reference)
    if remapping and reference.kind is Kind.FIXED:
        package.left_out[reference.path] = (
            "only a relative path to it would work there; use File > External Data > Make Paths Relative"
        )
        return
    place = PurePosixPath(layout.place(reference.path))
    if _is_plain(str(place)):
        package.remap.update(remapping)
    for path in found.files:
        name = (place.parent / path.relative_to(reference.path.parent).as_posix()).as_posix()
        if _is_plain(name):
            _put(package.places, name, path)
        else:
            package.left_out[path] = "its name is one that no worker takes; rename it"


def _is_plain(place: str) -> bool:
    try:
        checked_place(place)
    except ContractError:
        return False
    return True


def _put(places: dict[str, Path], place: str, path: Path) -> None:
    if not path.is_file():
        raise RenderError(f"There is no file {path}: restore it, or take it out of the render's files.")
    try:
        checked_place(place)
    except ContractError as error:
        raise RenderError(f"{path} cannot be sent: {error}.") from None
    taken = places.setdefault(place, path)
    if taken != path and not path.samefile(taken):
        raise RenderError(f"{path} and {taken} would both be {place} on the worker: rename one.")
    if len(places) > MAX_FILES:
        raise RenderError(f"It needs more than {MAX_FILES:,} files, which is more than a package may hold.")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise RenderError(f"{path} cannot be read ({error.strerror}): restore it and try again.") from None
