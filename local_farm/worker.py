"""One attempt at one job: a real process, in a folder and an environment of its own, its output in a log stream."""

from __future__ import annotations

import contextlib
import os
import selectors
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_farm import launcher
from local_farm.jobs import EXITED
from local_farm.logs import LogGroupMissingError, LogStream

CLONE = Path(__file__).resolve().parent.parent
WORKER_COMMAND = (sys.executable, "-P", "-m", "render_worker")

_DRAIN_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an attempt ended, in the words of DescribeJobs' AttemptDetail; no exit code where no process started."""

    exit_code: int | None
    reason: str | None
    status_reason: str


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where and as what every worker of one farm runs."""

    endpoint_url: str
    region: str
    folder: Path
    """Attempts get their folders in here."""
    command: Sequence[str] = WORKER_COMMAND
    blender: str | None = None
    """Path of the `blender` program, or None for the `bpy` module."""

    def environment(self, folder: Path, job: Mapping[str, str]) -> dict[str, str]:
        """Build a worker's whole environment: of the user's own variables, only PATH gets in.

        HOME is the attempt's folder, so neither the user's AWS settings nor Blender's preferences are read. What points
        at the emulator and at the attempt's folders comes last: the job cannot change it.
        """
        base = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(folder),
            "TMPDIR": str(folder / "tmp"),
            "PYTHONPATH": str(CLONE),
            "PYTHONUNBUFFERED": "1",
        }
        fixed = {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_EC2_METADATA_DISABLED": "true",
            # Side by side on one machine, jobs cannot share the container's /tmp/render_output and /tmp/render_work.
            "RENDER_OUTPUT": str(folder / "render_output"),
            "RENDER_WORK": str(folder / "work"),
            # What the volume of a host is to its containers.
            "RENDER_CACHE": str(self.folder / "cache"),
        }
        if self.blender is not None:
            fixed["RENDER_BLENDER"] = self.blender
        return base | dict(job) | fixed


class Worker:
    """The thread that starts one process, reads its output and waits for its end."""

    def __init__(
        self,
        workplace: Workplace,
        *,
        environment: Mapping[str, str],
        log_group: str,
        log_stream: str,
        started: Callable[[], None],
        ended: Callable[[Outcome], None],
    ) -> None:
        self._thread = threading.Thread(target=self._run, name=log_stream, daemon=True)
        self._workplace = workplace
        self._environment = environment
        self._log_group = log_group
        self._log_stream = log_stream
        self._started = started
        self._ended = ended
        self._lock = threading.Lock()
        self._launcher: subprocess.Popen[bytes] | None = None
        self._order: bytes | None = None

    def start(self) -> None:
        """Begin; `started` and `ended` are called later, from another thread."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the attempt is over."""
        self._thread.join()

    def _run(self) -> None:
        try:
            log = LogStream(region=self._workplace.region, group=self._log_group, stream=self._log_stream)
        except LogGroupMissingError:
            self._ended(_not_started("failed to initialize logging driver: The specified log group does not exist."))
            return
        try:
            process = self._launch()
        except OSError as error:
            self._ended(_not_started(str(error)))
            return
        self._started()
        _copy(process, log)
        code = process.wait()
        with self._lock:
            self._launcher = None
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._ended(Outcome(exit_code=code, reason=None, status_reason=EXITED))

    def terminate(self) -> None:
        """Send the worker SIGTERM, as soon as there is one."""
        self._give(b"T")

    def kill(self) -> None:
        """Kill the worker's whole process group, as soon as there is one."""
        self._give(b"")

    def _give(self, order: bytes) -> None:
        with self._lock:
            self._order = order
            self._pass_on()

    def _pass_on(self) -> None:
        stdin = self._launcher.stdin if self._launcher is not None else None
        if self._order is None or stdin is None or stdin.closed:
            return
        with contextlib.suppress(BrokenPipeError):
            if self._order:
                stdin.write(self._order)
            else:
                stdin.close()

    def _launch(self) -> subprocess.Popen[bytes]:
        folder = self._workplace.folder / self._log_stream.rpartition("/")[2]
        for name in ("tmp", "work", "render_output"):
            (folder / name).mkdir(parents=True)
        with self._lock:
            self._launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", launcher.__file__, str(folder), *self._workplace.command],
                env=self._workplace.environment(folder, self._environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
            self._pass_on()
            return self._launcher


def _not_started(why: str) -> Outcome:
    # The words of the ECS agent, which retry rules look at:
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cannot-start-container-errors.html
    return Outcome(
        exit_code=None, reason=f"CannotStartContainerError: {why}"[:255], status_reason="Task failed to start"
    )


def _copy(process: subprocess.Popen[bytes], log: LogStream) -> None:
    if process.stdout is None:
        return
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if selector.select(timeout=_DRAIN_S):
                output = os.read(process.stdout.fileno(), 64 * 1024)
                if not output:
                    break
                log.write(output)
            elif process.poll() is not None:
                # A process that left the worker's group holds the pipe open still; the attempt is over all the same.
                break
    log.close()
