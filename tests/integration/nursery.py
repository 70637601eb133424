"""Starts client processes quickly: `python -m tests.integration.nursery` forks one for each order, all imported.

An order is a line of JSON on standard input: the command line, its folder and variables, by how many seconds its clock
is wrong, and at which write to the disk it dies (0 for never). The answer is a line with its process id, and when it
has ended another with its exit code (negative for a signal), what it said, and how many writes it made.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from botocore.loaders import JSONFileLoader
from typer.testing import CliRunner

import client.cli
from client import inspection, screen, watch
from client.connection import Connection
from client.pictures import contact_sheet

_PRELOADED = (contact_sheet, screen, watch)
_WRITING = os.O_WRONLY | os.O_RDWR
_TORN_BYTES = 10


class Writes:
    """Counts what changes the disk below a folder, and kills this process just before the one that it was told."""

    def __init__(self, folder: Path, dies_at: int) -> None:
        self.count = 0
        self._folder = str(folder)
        self._dies_at = dies_at
        self._sync = os.fsync
        os.fsync = self.sync  # type: ignore[assignment]
        sys.addaudithook(self._hear)

    def sync(self, handle: int) -> None:
        """Sync a file; where the process dies here, the end of it had not reached the disk."""
        state = os.fstat(handle)
        if stat.S_ISREG(state.st_mode):  # a folder shows to others what it holds, synced or not
            if self.count + 1 == self._dies_at:
                os.ftruncate(handle, max(0, state.st_size - _TORN_BYTES))
            self._tick()
        self._sync(handle)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING
        changes = event in {"os.rename", "os.remove", "os.mkdir", "os.truncate"}
        path = str(arguments[0])
        if (opens or changes) and path.startswith(self._folder) and not path.endswith(".lock"):
            self._tick()

    def _tick(self) -> None:
        self.count += 1
        if self.count == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)


def _live(order: dict[str, Any], said: Any, counted: Any) -> None:
    """Be the client, in a process of its own."""
    os.environ.update(order["variables"])
    os.chdir(order["folder"])
    os.dup2(said.fileno(), 1)
    os.dup2(said.fileno(), 2)
    real = time.time
    time.time = lambda: real() + order["clock"]
    inspection.find_blender = lambda: None  # its answers are no part of what is killed here, and it takes a second
    writes = Writes(Path(order["variables"]["HOME"]), order["dies_at"])
    sys.argv = ["render", *order["words"]]
    code = 0
    try:
        client.cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        print(f"Traceback: {error!r}", flush=True)
        code = 99
    sys.stdout.flush()
    os.write(counted.fileno(), str(writes.count).encode())
    os._exit(code)


def _warm() -> None:
    """Have all imported, and what botocore knows of the services read, once for all clients."""
    CliRunner().invoke(client.cli.app, ["describe", "-j", "nothing.csv"])
    JSONFileLoader.load_file = cache(JSONFileLoader.load_file)  # type: ignore[method-assign]
    for service in ("s3", "batch"):
        Connection(region="us-east-1", endpoint_url="http://localhost:9").client(service)


def main() -> None:
    """Take orders until the input ends."""
    _warm()
    for line in sys.stdin:
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as counted:
            child = os.fork()
            if not child:
                _live(json.loads(line), said, counted)
            print(json.dumps({"pid": child}), flush=True)
            _, status = os.waitpid(child, 0)
            said.seek(0)
            counted.seek(0)
            answer = {"code": os.waitstatus_to_exitcode(status), "said": said.read().decode(errors="replace")}
            print(json.dumps({**answer, "writes": int(counted.read() or 0)}), flush=True)


if __name__ == "__main__":
    main()
