"""What a `.blend` holds, as the user's own Blender (or the module `bpy`) tells."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from client.errors import RenderError

MARK = "@blend "
"""What the probe puts before its answer, among all that Blender prints."""

_PROBE = Path(__file__).with_name("blend_probe.py")
_PATIENCE_SECONDS = 600
# Plain, zstd-compressed (3.0 and later) and gzip-compressed (before) files; what follows is for Blender alone to read.
_FIRST_BYTES = (b"BLENDER", b"\x28\xb5\x2f\xfd", b"\x1f\x8b")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A scene of the file; frames, pixels and percent as Blender's own fields, `fps` in frames a second.

    `samples` is None where it has none.
    """

    name: str
    camera: str | None
    cameras: list[str]
    marker_cameras: bool
    startframe: int
    endframe: int
    step: int
    fps: float
    xres: int
    yres: int
    percentage: int
    engine: str
    samples: int | None
    format: str
    is_movie: bool


class Kind(str, Enum):
    """What a reference names."""

    FILE = "file"
    FOLDER = "folder"
    """A cache, all of it needed."""
    TILES = "tiles"
    """A pattern with `<UDIM>` or `<UVTILE>`."""
    SERIES = "series"
    """One of the numbered files of a sequence."""
    FIXED = "fixed"
    """A file whose path can only be changed in Blender."""
    BESIDE = "beside"
    """A file that a cache names itself, relative to its own place."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One thing outside the `.blend` that it, or a library that it links, names.

    `text` is what is said there (`//tex/wood.png`), `path` where that is on this machine, `owner` the file that says
    it, None for the `.blend`. `numbers` are the first and last used of a series, None where that is not known; `tiles`
    are what `<UDIM>` or `<UVTILE>` stand for.
    """

    text: str
    path: Path
    kind: Kind
    owner: Path | None = None
    numbers: tuple[int, int] | None = None
    tiles: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What a `.blend` holds. Versions are (major, minor); `references` are there or missing."""

    blender: tuple[int, int]
    saved_by: tuple[int, int]
    active_scene: str
    scenes: list[Scene]
    references: list[Reference]

    def scene(self, name: str | None) -> Scene:
        """Give the scene of that name, or the one that was active when the file was saved; raises RenderError."""
        wanted = name or self.active_scene
        for scene in self.scenes:
            if scene.name == wanted:
                return scene
        names = ", ".join(scene.name for scene in self.scenes)
        raise RenderError(f"The file has no scene {wanted!r}: it has {names}.")


def find_blender() -> list[str] | None:
    """Give the command that runs a Python script in Blender, or None where this machine has no Blender."""
    if importlib.util.find_spec("bpy"):
        return [sys.executable]
    program = shutil.which("blender") or next((str(path) for path in _usual_places() if path.exists()), None)
    if program is None:
        return None
    return [program, "--background", "--factory-startup", "--disable-autoexec", "--python"]


def blender_version(command: list[str]) -> str | None:
    """Ask a Blender that `find_blender` gave for its version (`5.0.1`); None when it does not tell."""
    if len(command) == 1:
        from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 -- doctor alone asks

        try:
            return version("bpy")
        except PackageNotFoundError:
            return None
    try:
        ended = subprocess.run(
            [command[0], "--version"], capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return next((line.split()[1] for line in ended.stdout.splitlines() if line.startswith("Blender ")), None)


def inspect(blend: Path) -> Inspection | None:
    """Ask Blender what the file holds; None where this machine has no Blender.

    Raises RenderError when the file is not there or is no `.blend` that Blender can open.
    """
    _check_first_bytes(blend)
    blender = find_blender()
    if blender is None:
        return None
    separator = ["--"] if len(blender) > 1 else []
    facts = _ask([*blender, str(_PROBE), *separator, str(blend)], blend)
    if "error" in facts:
        raise RenderError(
            f"Blender cannot open {blend}: {facts['error']}; restore a copy (Blender keeps one as .blend1)."
        )
    return Inspection(
        blender=(facts["blender"][0], facts["blender"][1]),
        saved_by=(facts["saved_by"][0], facts["saved_by"][1]),
        active_scene=facts["active_scene"],
        scenes=[Scene(**scene) for scene in facts["scenes"]],
        references=[_reference(said) for said in facts["references"]],
    )


def _reference(said: dict[str, Any]) -> Reference:
    return Reference(
        text=said["text"],
        path=Path(said["path"]),
        kind=Kind(said["kind"]),
        owner=Path(said["owner"]) if said["owner"] else None,
        numbers=(said["numbers"][0], said["numbers"][1]) if said["numbers"] else None,
        tiles=tuple(said["tiles"]),
    )


def _ask(command: list[str], blend: Path) -> dict[str, Any]:
    """Run the probe; a process of its own, since a broken file can take Blender down with it."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        try:
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                timeout=_PATIENCE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise RenderError(f"Blender did not open {blend} within {_PATIENCE_SECONDS // 60} minutes.") from None
        except OSError as error:
            raise RenderError(f"Blender cannot be started ({command[0]}: {error.strerror}).") from None
        log.seek(0)
        answer = next((line for line in log if line.startswith(MARK)), None)
        if answer is None:
            raise RenderError(
                f"Blender ended with exit code {ended.returncode} while it opened {blend}: the file is damaged; "
                "restore a copy (Blender keeps one as .blend1)."
            )
    facts: dict[str, Any] = json.loads(answer.removeprefix(MARK))
    return facts


def _check_first_bytes(blend: Path) -> None:
    try:
        with blend.open("rb") as file:
            first = file.read(8)
    except FileNotFoundError:
        raise RenderError(f"There is no file {blend}: check its path.") from None
    except OSError as error:
        raise RenderError(f"{blend} cannot be read ({error.strerror}): name a .blend file that you may read.") from None
    if not first.startswith(_FIRST_BYTES):
        raise RenderError(f"{blend} is not a .blend file: name a file that Blender saved.")


def _usual_places() -> list[Path]:
    """List where Blender's installers put it when they leave PATH alone, the newest version first."""
    if sys.platform == "darwin":
        return [Path("/Applications/Blender.app/Contents/MacOS/Blender")]
    if sys.platform == "win32":
        foundation = Path(os.environ.get("PROGRAMFILES", "C:/Program Files"), "Blender Foundation")
        return sorted(foundation.glob("Blender */blender.exe"), reverse=True)
    return []
