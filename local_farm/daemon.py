"""Starting, finding and stopping the local farm: what the client uses.

The farm is one process that outlives the terminal. While it lives it holds the lock `server.lock`, so the lock is free
only once it is gone, however it ended. `state.json` says where it answers, and the token in it must be the one that the
endpoint gives: a process that happens to have the same id or port is not the farm.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from local_farm.errors import LocalFarmError

__all__ = ["STACK_NAME", "LocalFarm", "LocalFarmError", "down", "status", "up"]

STACK_NAME = "LocalRenderFarm"

IDENTITY_PATH = "/.well-known/local-farm"
"""Answers with the token of this start. No bucket's name begins with a dot, so no call to S3 is hidden."""

_CLONE = Path(__file__).resolve().parent.parent
_ANSWER_S = 5.0
_STOP_S = 10.0


@dataclass(frozen=True, kw_only=True)
class LocalFarm:
    """A farm that runs: where it answers, its process and log file, and a short description of its Blender."""

    endpoint_url: str
    region: str
    stack_name: str
    pid: int
    log: Path
    blender: str


@dataclass(frozen=True)
class Files:
    """The farm's files below the user's rendering folder."""

    home: Path

    @property
    def folder(self) -> Path:
        """What belongs to the local farm."""
        return self.home / "local_farm"

    @property
    def state(self) -> Path:
        """Where the farm that is up answers."""
        return self.folder / "state.json"

    @property
    def log(self) -> Path:
        """What the server writes."""
        return self.folder / "server.log"

    @property
    def jobs(self) -> Path:
        """Folders of the jobs that run."""
        return self.folder / "jobs"

    @property
    def lifetime(self) -> Path:
        """Lock that the server holds as long as it lives."""
        return self.folder / "server.lock"

    @property
    def turn(self) -> Path:
        """Lock that `up` and `down` hold while they work."""
        return self.folder / "up_down.lock"


def status(home: Path) -> LocalFarm | None:
    """Give the farm that runs for this folder, or None."""
    files = Files(home)
    try:
        state = json.loads(files.state.read_text(encoding="utf-8"))
        farm = LocalFarm(
            endpoint_url=str(state["endpoint_url"]),
            region=str(state["region"]),
            stack_name=STACK_NAME,
            pid=int(state["pid"]),
            log=files.log,
            blender=str(state["blender"]),
        )
        token = state["token"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return farm if _token(farm.endpoint_url) == token else None


def up(
    home: Path, *, port: int | None = None, progress: Callable[[str], None] = lambda _: None
) -> tuple[LocalFarm, bool]:
    """Start the farm in the background unless it runs; return it once its stack is complete, and whether it is new.

    `port` is one of the system's choice by default. `progress` gets a few words for each step.
    Raises LocalFarmError, with one sentence, when the farm cannot start.
    """
    if os.name != "posix":
        raise LocalFarmError("the local farm needs Linux or macOS: on Windows, run it in WSL")
    files = Files(home)
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LocalFarmError(f"the folder {files.folder} cannot be made: {error.strerror}") from None
    with FileLock(files.turn):
        if (running := status(home)) is not None:
            return running, False
        _clear(files)
        return _start(files, port=port or 0, progress=progress), True


def down(home: Path) -> bool:
    """Stop the farm and its workers and wait until they are gone; False where none was up."""
    files = Files(home)
    if not files.folder.is_dir():
        return False
    with FileLock(files.turn):
        running = status(home)
        if running is not None:
            _stop(files, running.pid)
        _clear(files)
        return running is not None


def _start(files: Files, *, port: int, progress: Callable[[str], None]) -> LocalFarm:
    with files.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "local_farm", str(files.home.resolve()), str(port)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            text=True,
        )
    ready = False
    try:
        with process:
            for line in process.stdout or ():
                message: dict[str, Any] = json.loads(line)
                if "error" in message:
                    raise LocalFarmError(f"the local farm did not start: {message['error']}; its log is {files.log}")
                progress(message["progress"])
        running = status(files.home)
        if running is None:
            raise LocalFarmError(f"the local farm ended while it started: see its log, {files.log}")
        ready = True
        return running
    finally:
        # The server ends by itself once nobody reads how its start goes.
        if not ready:
            _wait_gone(files, _STOP_S)


def _environment() -> dict[str, str]:
    """Give the server this process's variables, without what would send its own AWS calls elsewhere."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.upper().startswith(("AWS_", "MOTO_", "CDK_", "PYTHON")) and not name.upper().endswith("_PROXY")
    }
    return kept | {"PYTHONPATH": str(_CLONE)}


def _stop(files: Files, pid: int) -> None:
    for sent in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sent)
        if _wait_gone(files, _STOP_S):
            return
    raise LocalFarmError(f"the local farm, process {pid}, does not end: end it yourself and try again")


def _wait_gone(files: Files, seconds: float) -> bool:
    try:
        with FileLock(files.lifetime, timeout=seconds):
            return True
    except Timeout:
        return False


def _clear(files: Files) -> None:
    """Remove what a farm left that could not clear up after itself; its workers ended with it."""
    if not _wait_gone(files, _STOP_S):
        raise LocalFarmError(
            f"an earlier local farm neither answers nor ends: end the process `python -m local_farm {files.home}` "
            "and try again"
        )
    files.state.unlink(missing_ok=True)
    shutil.rmtree(files.jobs, ignore_errors=True)


def _token(endpoint_url: str) -> str | None:
    # No proxy: the endpoint is this machine's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{endpoint_url}{IDENTITY_PATH}", timeout=_ANSWER_S) as answer:
            token = json.loads(answer.read(1000))["token"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return token if isinstance(token, str) else None
