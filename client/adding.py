"""Adding a render: what was not given is taken from the `.blend`, what was given is checked against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from client import config, frames, inspection, package, places, plan
from client.errors import RenderError
from client.jobfile import EDITABLE_COLUMNS, FILE_SEPARATOR, JobFile, Render

_FROM_SCENE = ("startframe", "endframe", "step", "xres", "yres", "percentage", "samples")


@dataclass(frozen=True, kw_only=True)
class Added:
    """The new row, what will be rendered in a few words, what goes along, and what the user should know of it.

    `files` counts the files of the package, the `.blend` among them; `size` is their bytes.
    """

    render: Render
    summary: str
    files: int
    size: int
    warnings: list[str]


def add(jobfile: JobFile, blend: Path, given: Mapping[str, object], extra: Sequence[Path]) -> Added:
    """Add a row for the file. `given` has what the user gave of the row's editable cells, blend and files apart.

    Raises RenderError, and adds nothing, when the file cannot be opened or does not hold what was given.
    """
    renders, _ = jobfile.read()
    path = jobfile.resolve(str(blend.expanduser().absolute()))
    try:
        return _add(jobfile, path, given, extra, renders)
    except RenderError as error:
        raise RenderError(f"{path.name} was not added: {error}") from None


def _add(
    jobfile: JobFile, blend: Path, given: Mapping[str, object], extra: Sequence[Path], renders: Sequence[Render]
) -> Added:
    files = [jobfile.spell(path) for path in extra]
    if any(FILE_SEPARATOR in path for path in files):
        raise RenderError(f"The path of an additional file holds a `{FILE_SEPARATOR}`: rename it.")
    found = inspection.inspect(blend)
    cells = {
        **dict.fromkeys(EDITABLE_COLUMNS),
        **given,
        "blend": jobfile.spell(blend),
        "files": FILE_SEPARATOR.join(files),
    }
    if found:
        _fill(cells, found)
    if cells["breaksize"] is None:
        cells["breaksize"] = frames.DEFAULT_BREAKSIZE
    draft = jobfile.draft(cells)
    wanted = plan.plan(draft, found, renders=renders)
    contents = package.collect(draft.blend, draft.files, found)
    warnings = [*_version_warnings(found), *_package_warnings(draft, contents)]
    return Added(
        render=jobfile.add(cells),
        summary=_summary(draft, wanted),
        files=len(contents.places),
        size=contents.size,
        warnings=warnings,
    )


def _fill(cells: dict[str, object], found: inspection.Inspection) -> None:
    wanted = cells["scene"]
    scene = found.scene(wanted if isinstance(wanted, str) else None)
    cells["scene"] = scene.name
    for name in _FROM_SCENE:
        if cells[name] is None:
            cells[name] = getattr(scene, name)


def _version_warnings(found: inspection.Inspection | None) -> list[str]:
    """Check against the farm in use where one is configured. Raises RenderError for a file from a newer Blender."""
    if found is None:
        return ["No Blender was found on this machine, so nothing was checked: install one, or look twice."]
    if places.config_file().exists():
        plan.check_version(found, config.load().blender_version)
    return []


def _package_warnings(draft: Render, contents: package.Package) -> list[str]:
    told = [f"{path} is not sent: {reason}." for path, reason in contents.left_out.items()]
    if told:
        count = "1 file or folder is" if len(told) == 1 else f"{len(told)} files or folders are"
        refusal = "" if draft.allow_missing else ", so `render process` refuses it until its allow_missing is yes"
        told.append(f"{count} not sent of what it refers to{refusal}.")
    return told


def _summary(draft: Render, wanted: plan.Plan) -> str:
    count = len(wanted.chunks)
    parts = [f"frames {frames.spelled(wanted.frames)} in {count} {'chunks' if count > 1 else 'chunk'}"]
    if draft.xres and draft.yres:
        parts.append(f"{draft.xres}x{draft.yres} at {draft.percentage or 100} %")
    if draft.samples:
        parts.append(f"{draft.samples} samples")
    return ", ".join(parts)
