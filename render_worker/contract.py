"""What client and worker agree on: names of keys and variables, the manifest, the report, the exit codes.

Neither side may know more of the other than this module says. It needs nothing but the standard library.
"""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum
from pathlib import PurePosixPath
from typing import Any

CONTRACT_VERSION = 1
"""Version of everything in this module. A manifest of another version is refused by the worker."""

SOURCE_BUCKET_VARIABLE = "RENDER_SOURCE_BUCKET"
RESULTS_BUCKET_VARIABLE = "RENDER_RESULTS_BUCKET"
DEVICE_VARIABLE = "RENDER_DEVICE"
RUN_VARIABLE = "RENDER_RUN"
FIRST_CHUNK_VARIABLE = "RENDER_FIRST_CHUNK"
"""Chunk of the job's first child: 0, or where the chunks begin that a retry added to the manifest."""
CHUNK_VARIABLE = "RENDER_CHUNK"
FRAMES_VARIABLE = "RENDER_FRAMES"
OUTPUT_VARIABLE = "RENDER_OUTPUT"
CACHE_VARIABLE = "RENDER_CACHE"
HOST_FILE = "host.json"
"""In the folder of RENDER_CACHE: what the host says of itself."""

ARRAY_INDEX_VARIABLE = "AWS_BATCH_JOB_ARRAY_INDEX"
ATTEMPT_VARIABLE = "AWS_BATCH_JOB_ATTEMPT"

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
"""A run id is an AWS Batch job name too.

https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
"""

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_REPORT_BYTES = 64 * 1024 * 1024
MAX_FILES = 100_000
MAX_FRAMES = 1_000_000
MAX_FRAME = 1_048_574
"""Blender's largest frame number; its animations start at 0 or later.

https://docs.blender.org/api/current/bpy.types.Scene.html#bpy.types.Scene.frame_end
"""
MAX_ARRAY_SIZE = 10_000
"""Children of one array job.

https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
"""
MAX_CHUNKS = 100 * MAX_ARRAY_SIZE
"""Chunks of a manifest: those of its first job, and those that each retry added."""
MAX_ATTEMPTS = 10
"""Attempts of one job.

https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
"""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_LONGEST_PATH = 1024
_LONGEST_NAME = 255
_LONGEST_REFERENCE = 4096
_END_OF_TIME = 253_402_214_400
"""Unix seconds of the last day that Python's dates have; no number that is not one is below it."""
# What Linux, macOS and Windows all take as the name of a file.
_PATH_PART = re.compile(r'[^\x00-\x1f\x7f/\\:*?"<>|]{1,255}')
# A package travels to Linux alone, which takes more; a backslash would be a slash to Blender.
_PACKAGE_PART = re.compile(r"[^\x00-\x1f\x7f/\\]+")
_FRAME_FILE = re.compile(r"([0-9]{4,7})\.[A-Za-z0-9]{2,4}")


class ExitCode(IntEnum):
    """How the worker ends. The job definition's retry rules read these numbers."""

    DONE = 0
    FAILED = 1
    """What another attempt cannot mend: the input, the scene, a hook."""
    NO_GPU = 3
    """A GPU farm gave this job no GPU that can render the scene."""
    MISSING = 4
    """Files that the scene needs are missing, and the render is strict."""
    PASSING = 75
    """What may have passed by the next attempt (sysexits.h's EX_TEMPFAIL): S3, the network, a full disk."""


class ContractError(ValueError):
    """A manifest, report or name that this side must not use; the message is one sentence for the user."""


def file_key(digest: str) -> str:
    """Key in the source bucket of the content with this SHA-256."""
    return f"files/{digest}"


def manifest_key(run: str) -> str:
    """Key in the source bucket of a run's manifest."""
    return f"runs/{run}/manifest.json"


def frames_prefix(run: str) -> str:
    """Prefix in the results bucket of a run's frames."""
    return f"runs/{run}/frames/"


def output_prefix(run: str) -> str:
    """Prefix in the results bucket of what a run's hooks left in the output folder."""
    return f"runs/{run}/output/"


def reports_prefix(run: str) -> str:
    """Prefix in the results bucket of a run's reports."""
    return f"runs/{run}/reports/"


def report_name(chunk: int, attempt: int) -> str:
    """Name below the reports' prefix of the report of one attempt (from 1) at one chunk (from 0)."""
    return f"{chunk}-{attempt}.json"


def report_key(run: str, chunk: int, attempt: int) -> str:
    """Key in the results bucket of the report of one attempt at one chunk."""
    return reports_prefix(run) + report_name(chunk, attempt)


def frame_of(name: str) -> int | None:
    """Give the frame number of a frame's file name as Blender names it (`0001.png`); None for any other name."""
    match = _FRAME_FILE.fullmatch(name)
    return int(match[1]) if match else None


def checked_path(path: str) -> PurePosixPath:
    """Give a relative path that stays below the folder it will be joined to, on every operating system.

    Raises ContractError for an absolute or empty path, one with `..`, a drive, a backslash or a control character.
    """
    parts = path.split("/")
    if len(path) > _LONGEST_PATH or not all(_PATH_PART.fullmatch(part) for part in parts) or {".", ".."} & {*parts}:
        raise ContractError(f"the path {path!r} is not a plain relative path; rename the file")
    return PurePosixPath(path)


def checked_place(path: str) -> PurePosixPath:
    """Give a path of the package, below the folder that the worker makes for it, with any name that Linux can hold.

    Raises ContractError for an absolute or empty path, one with `..`, a backslash or a control character, and for a
    name of more than 255 bytes (NAME_MAX).
    """
    parts = path.split("/")
    plain = all(_PACKAGE_PART.fullmatch(part) for part in parts) and not {".", ".."} & {*parts}
    if not plain or len(path) > _LONGEST_PATH or not all(0 < _bytes(part) <= _LONGEST_NAME for part in parts):
        raise ContractError(f"the path {path!r} is not a plain relative path; rename the file")
    return PurePosixPath(path)


def remap_key(text: str, owner: str) -> str:
    """Spell what a file of the package at place `owner` says of another one, as both sides look it up.

    A relative text (`//../tex/wood.png`) becomes relative to the package; any other stays, with slashes as separators.
    """
    plain = text.replace("\\", "/")
    if not text.startswith("//"):
        return plain
    return "//" + posixpath.normpath(posixpath.join(posixpath.dirname(owner), plain[2:]))


def series_of(name: str) -> re.Pattern[str] | None:
    """Give what the names of all files of a numbered series match, with their number as the group; None for no series.

    As Blender does, it takes the last digits before the suffix for the number.
    """
    stem, dot, suffix = name.rpartition(".")
    found = re.fullmatch(r"(.*?)([0-9]+)([^0-9]*)", stem if dot else name)
    if found is None:
        return None
    digits = len(found[2])
    number = rf"[0-9]{{{digits}}}|[1-9][0-9]{{{digits},}}"
    return re.compile(re.escape(found[1]) + f"({number})" + re.escape(found[3] + dot + (suffix if dot else "")))


@dataclass(frozen=True, kw_only=True)
class PackageFile:
    """One input file: its path in the package, the SHA-256 of its content and its size in bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the render overrides; None means as the file says.

    `xres` and `yres` are pixels, `percentage` is Blender's resolution percentage.
    """

    scene: str | None = None
    camera: str | None = None
    xres: int | None = None
    yres: int | None = None
    percentage: int | None = None
    samples: int | None = None
    engine: str | None = None
    format: str | None = None


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What one run renders. A retry adds chunks of frames that are missing, so a frame may be in several.

    `blend` is the `.blend`'s path in the package. `remap` says where a file or folder lies that the `.blend` or a
    library names otherwise: what it says, as `remap_key` spells it, to a path in the package.
    """

    run: str
    blend: str
    files: tuple[PackageFile, ...]
    chunks: tuple[tuple[int, ...], ...]
    first_chunk: int = 0
    """Where the chunks of the run's latest job begin."""
    settings: Settings = field(default_factory=Settings)
    strict: bool = True
    """Whether missing textures, libraries, fonts or caches fail a chunk before it renders."""
    autoexec: bool = False
    """Whether Python that the `.blend` holds may run."""
    remap: dict[str, str] = field(default_factory=dict)
    version: int = CONTRACT_VERSION

    def to_json(self) -> str:
        """Serialize for the source bucket."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Read a manifest that somebody else may have written.

        Raises ContractError with the reason when anything in it is not as this version says.
        """
        if len(text) > MAX_MANIFEST_BYTES:
            raise ContractError(f"the manifest is larger than {MAX_MANIFEST_BYTES} bytes")
        data = _json_object(text, "manifest")
        version = data.get("version")
        if version != CONTRACT_VERSION:
            older = isinstance(version, int) and version < CONTRACT_VERSION
            side = "the client (pipx upgrade blender-aws-batch)" if older else "the farm (cdk deploy)"
            raise ContractError(
                f"the manifest has version {version!r} but this worker reads version {CONTRACT_VERSION}: update {side}"
            )
        try:
            manifest = cls(
                run=data["run"],
                blend=data["blend"],
                files=tuple(PackageFile(**file) for file in data["files"]),
                chunks=tuple(tuple(chunk) for chunk in data["chunks"]),
                first_chunk=data["first_chunk"],
                settings=Settings(**data["settings"]),
                strict=data["strict"],
                autoexec=data["autoexec"],
                remap=data["remap"],
            )
        except (KeyError, TypeError) as error:
            raise ContractError(f"the manifest is not as version {CONTRACT_VERSION} says: {error}") from None
        manifest.check()
        return manifest

    def check(self) -> None:
        """Raise ContractError when a value is of a wrong type, out of bounds or unsafe."""
        if not isinstance(self.run, str) or not RUN_ID.fullmatch(self.run):
            raise ContractError(f"the run id {self.run!r} is not a Batch job name")
        if not 0 < len(self.files) <= MAX_FILES:
            raise ContractError(f"the manifest names {len(self.files)} files; 1 to {MAX_FILES} are allowed")
        for file in self.files:
            _check_file(file)
        places = {file.path for file in self.files}
        folders = _folders(places)
        if len(places) != len(self.files) or places & folders:
            raise ContractError("two files of the manifest have the same path")
        _check_remap(self.remap, places | folders)
        if not isinstance(self.blend, str) or self.blend not in places:
            raise ContractError(f"the manifest's .blend {self.blend!r} is not among its files")
        self._check_chunks()
        if not isinstance(self.strict, bool) or not isinstance(self.autoexec, bool):
            raise ContractError("the manifest's strict and autoexec are not true or false")
        for setting in fields(self.settings):
            value = getattr(self.settings, setting.name)
            wanted = int if setting.name in {"xres", "yres", "percentage", "samples"} else str
            if value is not None and (not isinstance(value, wanted) or isinstance(value, bool)):
                raise ContractError(f"the manifest's setting {setting.name} is {value!r}")

    def _check_chunks(self) -> None:
        if not 0 < len(self.chunks) <= MAX_CHUNKS:
            raise ContractError(f"the manifest has {len(self.chunks)} chunks; 1 to {MAX_CHUNKS} are allowed")
        if type(self.first_chunk) is not int or not 0 <= self.first_chunk < len(self.chunks):
            raise ContractError(f"the manifest's first_chunk is {self.first_chunk!r}")
        if not all(chunk and all(map(_is_frame, chunk)) for chunk in self.chunks):
            raise ContractError("the manifest's chunks are not lists of frame numbers")
        if any(len(set(chunk)) != len(chunk) for chunk in self.chunks):
            raise ContractError("a chunk of the manifest names a frame twice")
        if sum(map(len, self.chunks)) > MAX_FRAMES:
            raise ContractError(f"the manifest names more than {MAX_FRAMES:,} frames")


@dataclass(frozen=True, kw_only=True)
class RenderedFile:
    """One object that a frame gave: its name below the frames' prefix, size in bytes and SHA-256."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True, kw_only=True)
class FrameReport:
    """One frame that this attempt rendered and uploaded.

    `seconds` is the render alone, `memory_mib` the most memory that Blender had taken by its end.
    """

    frame: int
    seconds: float
    memory_mib: int
    files: tuple[RenderedFile, ...]


@dataclass(frozen=True, kw_only=True)
class Host:
    """The EC2 instance: id, size (`g5.xlarge`), zone (`us-east-1a`), `spot` or `on-demand`; None where it is none.

    The host itself writes this when it boots, since a job cannot ask for it (docs/security.md).
    """

    instance_id: str | None = None
    instance_type: str | None = None
    availability_zone: str | None = None
    life_cycle: str | None = None

    @classmethod
    def from_json(cls, data: object) -> Host:
        """Read what a host or a report says; what is no text is as if it were not said."""
        said = data if isinstance(data, dict) else {}
        texts = {item.name: said.get(item.name) for item in fields(cls)}
        return cls(**{name: text for name, text in texts.items() if isinstance(text, str)})


@dataclass(frozen=True, kw_only=True)
class Report:
    """What one attempt at one chunk did; `error` is a sentence, or None when it succeeded. Times are Unix seconds."""

    run: str
    chunk: int
    attempt: int
    frames: tuple[FrameReport, ...]
    skipped: tuple[int, ...]
    """Frames that an earlier attempt had finished."""
    started: float
    finished: float
    exit_code: int
    error: str | None
    blender: str | None
    device: str | None
    samples: int | None
    """Samples of a pixel, where the engine has them."""
    missing: tuple[str, ...]
    """Files that the scene refers to and the package did not bring."""
    host: Host
    version: int = CONTRACT_VERSION

    def to_json(self) -> str:
        """Serialize for the results bucket, where people read it too."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str | bytes) -> Report:
        """Read a report; raises ContractError when it is not one of this version."""
        data = _json_object(text, "report")
        try:
            frames = tuple(
                FrameReport(
                    frame=int(frame["frame"]),
                    seconds=float(frame["seconds"]),
                    memory_mib=int(frame["memory_mib"]),
                    files=tuple(
                        RenderedFile(name=str(file["name"]), size=int(file["size"]), digest=str(file["digest"]))
                        for file in frame["files"]
                    ),
                )
                for frame in data["frames"]
            )
            error, blender, device = (None if data[k] is None else str(data[k]) for k in ("error", "blender", "device"))
            report = cls(
                run=str(data["run"]),
                chunk=int(data["chunk"]),
                attempt=int(data["attempt"]),
                frames=frames,
                skipped=tuple(int(frame) for frame in data["skipped"]),
                started=float(data["started"]),
                finished=float(data["finished"]),
                exit_code=int(data["exit_code"]),
                error=error,
                blender=blender,
                device=device,
                samples=None if data["samples"] is None else int(data["samples"]),
                missing=tuple(str(path) for path in data["missing"]),
                host=Host.from_json(data["host"]),
                version=int(data["version"]),
            )
        except (KeyError, OverflowError, TypeError, ValueError) as wrong:
            raise ContractError(f"the report is not as version {CONTRACT_VERSION} says: {wrong}") from None
        report.check()
        return report

    def check(self) -> None:
        """Raise ContractError when a number is one that no attempt can have."""
        if not 0 <= self.chunk < MAX_CHUNKS or not 1 <= self.attempt <= MAX_ATTEMPTS:
            raise ContractError(f"the report is of chunk {self.chunk}, attempt {self.attempt}")
        if not all(0 <= at < _END_OF_TIME for at in (self.started, self.finished)):
            raise ContractError(f"the report's times are {self.started} and {self.finished}")
        if not all(_is_frame(each.frame) and 0 <= each.seconds < _END_OF_TIME for each in self.frames):
            raise ContractError("the report's frames are not frames with seconds")


def _json_object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise ContractError(f"the {what} is not JSON") from None
    if not isinstance(data, dict):
        raise ContractError(f"the {what} is not a JSON object")
    return data


def _check_file(file: PackageFile) -> None:
    if not isinstance(file.path, str):
        raise ContractError(f"the path {file.path!r} is not text")
    checked_place(file.path)
    if not isinstance(file.digest, str) or not _DIGEST.fullmatch(file.digest):
        raise ContractError(f"the digest of {file.path} is not a SHA-256")
    if not isinstance(file.size, int) or isinstance(file.size, bool) or file.size < 0:
        raise ContractError(f"the size of {file.path} is {file.size!r}")


def _folders(places: set[str]) -> set[str]:
    """Give every folder above these files."""
    folders: set[str] = set()
    for place in places:
        folder = posixpath.dirname(place)
        while folder and folder not in folders:
            folders.add(folder)
            folder = posixpath.dirname(folder)
    return folders


def _check_remap(remap: object, places: set[str]) -> None:
    if not isinstance(remap, dict) or len(remap) > MAX_FILES:
        raise ContractError(f"the manifest's remap is not an object of at most {MAX_FILES} places")
    for text, place in remap.items():
        if not isinstance(text, str) or not 0 < len(text) <= _LONGEST_REFERENCE or not isinstance(place, str):
            raise ContractError("the manifest's remap does not name places by texts")
        checked_place(place)
        # A sequence or a set of tiles is named by a pattern; its folder is there.
        if place not in places and posixpath.dirname(place) not in places | {""}:
            raise ContractError(f"the manifest's remap names {place!r}, which is not in the package")


def _bytes(name: str) -> int:
    """Count the bytes that a name takes on disk; 0 for one that no disk takes."""
    try:
        return len(name.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError:
        return 0


def _is_frame(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_FRAME
