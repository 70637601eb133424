"""The worker: one chunk of one run, from its manifest to its report."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from render_worker import contract, hooks
from render_worker.blender import Blender, Frame, Ready, Task
from render_worker.cache import Cache
from render_worker.contract import ExitCode, FrameReport, Host, Manifest, RenderedFile, Report
from render_worker.errors import WorkerError

if TYPE_CHECKING:
    from render_worker.buckets import Buckets

WORK_VARIABLE = "RENDER_WORK"
_DEFAULT_WORK = "/tmp/render_work"  # noqa: S108 -- a container's own /tmp; mkdtemp makes the folder below it
_DEFAULT_OUTPUT = "/tmp/render_output"  # noqa: S108 -- the place that hooks of the original project write to
_UPLOADS_AT_ONCE = 4
_LAST_SECONDS = 20.0
_MOST_OF_HOST_FILE = 4096


@dataclass(frozen=True, kw_only=True)
class Job:
    """What the environment of the container says; `attempt` counts from 1, `chunk` from 0."""

    run: str
    chunk: int
    attempt: int
    device: str
    source_bucket: str
    results_bucket: str
    output: Path
    work: Path
    cache: Path | None
    """Where the host keeps files for all its chunks; None where no volume is mounted for that."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Job:
        """Read the job definition's, the submission's and Batch's own variables; raises WorkerError."""
        try:
            job = cls(
                run=environment[contract.RUN_VARIABLE],
                # A job of one chunk is a plain job, which has no index.
                chunk=int(environment.get(contract.FIRST_CHUNK_VARIABLE, "0"))
                + int(environment.get(contract.ARRAY_INDEX_VARIABLE, "0")),
                attempt=int(environment.get(contract.ATTEMPT_VARIABLE, "1")),
                device=environment[contract.DEVICE_VARIABLE],
                source_bucket=environment[contract.SOURCE_BUCKET_VARIABLE],
                results_bucket=environment[contract.RESULTS_BUCKET_VARIABLE],
                output=Path(environment.get(contract.OUTPUT_VARIABLE, _DEFAULT_OUTPUT)),
                work=Path(environment.get(WORK_VARIABLE, _DEFAULT_WORK)),
                cache=Path(environment[contract.CACHE_VARIABLE]) if contract.CACHE_VARIABLE in environment else None,
            )
        except KeyError as error:
            raise WorkerError(f"The variable {error.args[0]} is not set; submit renders with the client") from None
        except ValueError as error:
            raise WorkerError(f"Batch's variables are not numbers: {error}") from None
        if not contract.RUN_ID.fullmatch(job.run):
            raise WorkerError(f"The run id {job.run!r} is not a Batch job name")
        if job.device not in {"gpu", "cpu"}:
            raise WorkerError(f"{contract.DEVICE_VARIABLE} is {job.device!r}; it must be gpu or cpu")
        return job


@dataclass
class Progress:
    """What an attempt has done so far, for its report."""

    started: float = field(default_factory=time.time)
    frames: list[FrameReport] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    ready: Ready | None = None


def main() -> int:
    """Render the chunk that the environment names; the exit code is one of the contract's."""
    signal.signal(signal.SIGTERM, _stopped)
    try:
        return _attempt()
    except WorkerError as error:
        return _say(error)


def _attempt() -> int:
    """Make one attempt at the chunk and report it. Raises WorkerError where there is nobody to report to."""
    job = Job.from_environment(os.environ)
    progress = Progress()
    # It takes a second to load itself, the same second in which the package is fetched.
    with Blender() as blender:
        from render_worker.buckets import Buckets  # noqa: PLC0415 -- boto3 takes its time too

        buckets = Buckets.connect(source=job.source_bucket, results=job.results_bucket)
        failure: WorkerError | None = None
        try:
            render_chunk(job, buckets, blender, progress)
        except WorkerError as error:
            failure = error
        except OSError as error:
            failure = WorkerError(f"This host refused the work: {error}", ExitCode.PASSING)
    try:
        buckets.put_report(_report(job, progress, failure))
    except WorkerError as error:
        failure = failure or error
    return _say(failure) if failure else ExitCode.DONE


def render_chunk(job: Job, buckets: Buckets, blender: Blender, progress: Progress) -> None:
    """Fetch, hook, render, hook, upload. Raises WorkerError at the first step that fails."""
    manifest = buckets.manifest(job.run)
    frames = _frames(manifest, job.chunk)
    finished = buckets.finished_frames(job.run)
    progress.skipped = [frame for frame in frames if frame in finished]
    missing = [frame for frame in frames if frame not in finished]
    _log(f"Run {job.run}, chunk {job.chunk}, attempt {job.attempt}: {len(missing)} of {len(frames)} frames to render")

    _make(job.work)
    _make(job.output)
    with tempfile.TemporaryDirectory(dir=job.work, prefix="chunk_", ignore_cleanup_errors=True) as folder:
        package, frames_folder = Path(folder, "package"), Path(folder, "frames")
        frames_folder.mkdir()
        with closing(Cache(job.cache or Path(folder, "files"))) as cache:
            buckets.fetch(manifest.files, package, cache)
            blend = package / contract.checked_place(manifest.blend)
            environment = _hook_environment(job, frames)
            hooks.run_hook(hooks.PRE_RENDER, folder=blend.parent, environment=environment)
            if missing:
                task = Task(
                    blend=blend,
                    package=package,
                    remap=manifest.remap,
                    folder=frames_folder,
                    frames=missing,
                    settings=manifest.settings,
                    device=job.device,
                    strict=manifest.strict,
                    autoexec=manifest.autoexec,
                )
                _render(blender, task, buckets, contract.frames_prefix(job.run), progress)
            hooks.run_hook(hooks.POST_RENDER, folder=blend.parent, environment=environment)
        _upload_output(job, buckets)


def _render(blender: Blender, task: Task, buckets: Buckets, prefix: str, progress: Progress) -> None:
    """Render, and upload each frame beside the rendering of the next."""
    uploads: list[Future[FrameReport]] = []
    began = time.monotonic()
    try:
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE) as pool:
            for event in blender.render(task):
                if isinstance(event, Ready):
                    progress.ready = event
                    _tell_ready(event)
                    continue
                for upload in uploads:
                    if upload.done():
                        upload.result()  # a frame that cannot be uploaded ends the chunk before it renders more
                uploads.append(pool.submit(_upload_frame, event, task.folder, buckets, prefix))
                _tell_frame(event, len(uploads), len(task.frames), time.monotonic() - began)
    finally:
        # The pool has waited for every upload by now, so what is finished is reported even when Blender failed.
        progress.frames = [upload.result() for upload in uploads if not upload.exception()]
    for upload in uploads:
        upload.result()


def _tell_ready(ready: Ready) -> None:
    samples = f" at {ready.samples} samples" if ready.samples else ""
    _log(f"Blender {ready.blender} renders on {ready.device}{samples}")
    for path in ready.missing:
        _log(f"Missing: {path}")


def _tell_frame(frame: Frame, done: int, total: int, seconds: float) -> None:
    left = seconds / done * (total - done)
    _log(f"Rendered frame {frame.frame}: {done} of {total}, {frame.seconds:.2f} s, {left:.0f} s left")


def _upload_frame(frame: Frame, folder: Path, buckets: Buckets, prefix: str) -> FrameReport:
    files = []
    for name in frame.files:
        path = folder / name
        files.append(RenderedFile(name=name, size=path.stat().st_size, digest=_digest(path)))
        buckets.upload(path, prefix + name)
        path.unlink()
    return FrameReport(frame=frame.frame, seconds=frame.seconds, memory_mib=frame.memory_mib, files=tuple(files))


def _upload_output(job: Job, buckets: Buckets) -> None:
    """Upload what the hooks left in the output folder."""
    prefix = contract.output_prefix(job.run)
    for path in sorted(job.output.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        relative = path.relative_to(job.output).as_posix()
        try:
            contract.checked_path(relative)
        except contract.ContractError as error:
            raise WorkerError(f"A hook left a file that cannot be sent back: {error}") from None
        buckets.upload(path, prefix + relative)
        _log(f"Uploaded {relative} from the output folder")


def _frames(manifest: Manifest, chunk: int) -> tuple[int, ...]:
    if not 0 <= chunk < len(manifest.chunks):
        raise WorkerError(f"The run has {len(manifest.chunks)} chunks, and this job is for chunk {chunk}")
    return manifest.chunks[chunk]


def _hook_environment(job: Job, frames: tuple[int, ...]) -> dict[str, str]:
    return {
        **os.environ,
        contract.RUN_VARIABLE: job.run,
        contract.CHUNK_VARIABLE: str(job.chunk),
        contract.FRAMES_VARIABLE: ",".join(map(str, frames)),
        contract.OUTPUT_VARIABLE: str(job.output),
    }


def _report(job: Job, progress: Progress, failure: WorkerError | None) -> Report:
    ready = progress.ready
    return Report(
        run=job.run,
        chunk=job.chunk,
        attempt=job.attempt,
        frames=tuple(progress.frames),
        skipped=tuple(progress.skipped),
        started=progress.started,
        finished=time.time(),
        exit_code=failure.exit_code if failure else ExitCode.DONE,
        error=str(failure) if failure else None,
        blender=ready.blender if ready else None,
        device=ready.device if ready else None,
        samples=ready.samples if ready else None,
        missing=tuple(ready.missing) if ready else (),
        host=_host(job),
    )


def _host(job: Job) -> Host:
    try:
        with (job.cache or job.work).joinpath(contract.HOST_FILE).open(encoding="utf-8") as file:
            return Host.from_json(json.loads(file.read(_MOST_OF_HOST_FILE)))
    except (OSError, ValueError):
        return Host()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WorkerError(f"The folder {folder} cannot be made: {error.strerror}", ExitCode.PASSING) from None


def _stopped(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Stop Blender, finish the uploads under way and leave; ECS sends SIGKILL 30 s after SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    last = threading.Timer(_LAST_SECONDS, os._exit, [int(ExitCode.PASSING)])
    last.daemon = True
    last.start()
    raise WorkerError("The job was told to stop (SIGTERM)", ExitCode.PASSING)


def _log(line: str) -> None:
    print(line, flush=True)


def _say(error: WorkerError) -> int:
    print(f"Error: {error}", file=sys.stderr, flush=True)
    return error.exit_code
