"""The local farm's server process, started by `local_farm.daemon.up`: `python -m local_farm HOME PORT`.

It writes how its start goes to standard output, one JSON object a line (`progress` or `error`), and closes it when the
farm is up; everything else goes to standard error. SIGTERM or SIGINT end it and its workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from local_farm.blender import find_blender
from local_farm.daemon import STACK_NAME, Files
from local_farm.errors import LocalFarmError

_LOCK_S = 10.0


class _StopRequested(BaseException):
    """SIGTERM or SIGINT came."""


def _request_stop(_signal: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not interrupt the workers' end.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    raise _StopRequested


def _say(**message: str) -> None:
    # Whoever started the farm may be gone; a farm that nobody knows of must not go on, so the broken pipe ends it.
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def _serve(files: Files, port: int, lifetime: FileLock) -> None:
    lifetime.acquire(timeout=_LOCK_S)
    with contextlib.ExitStack() as undo:
        blender = find_blender()
        _say(progress=f"found {blender}")

        # Only now, with the template on its way beside: these imports bring all of moto and take seconds.
        from local_farm.stack import StackSettings, Synthesis, create_stack  # noqa: PLC0415

        synthesis = Synthesis(
            StackSettings(stack_name=STACK_NAME, blender_version=blender.version, cpus=os.cpu_count() or 1)
        )
        undo.callback(synthesis.close)
        _say(progress="starting AWS on this machine and making the farm's template")
        from local_farm.server import REGION, Server  # noqa: PLC0415

        files.jobs.mkdir(exist_ok=True)
        token = secrets.token_hex(16)
        server = Server(folder=files.jobs, token=token, port=port, blender=blender.program)
        server.start()
        undo.callback(server.stop)
        template = synthesis.template()
        _say(progress=f"creating the stack {STACK_NAME}")
        create_stack(endpoint_url=server.endpoint_url, region=REGION, stack_name=STACK_NAME, template=template)
        synthesis.close()
        state = {
            "endpoint_url": server.endpoint_url,
            "region": REGION,
            "pid": os.getpid(),
            "token": token,
            "blender": str(blender),
        }
        undo.callback(files.state.unlink, missing_ok=True)
        unfinished = files.state.with_suffix(".new")
        unfinished.write_text(json.dumps(state), encoding="utf-8")
        unfinished.replace(files.state)
        _say(progress=f"the farm answers at {server.endpoint_url}")
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        while True:
            signal.pause()


def main(home: str, port: str) -> None:
    """Run the farm until it is told to stop; never returns."""
    # The parent of the process that serves ends at once, so the farm belongs to nobody who could leave it a zombie.
    if os.fork():
        os._exit(0)
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, _request_stop)
    files = Files(Path(home))
    # Never released: it must be free once the process is gone, and not a moment sooner.
    lifetime = FileLock(files.lifetime)
    code = 1
    try:
        _serve(files, int(port), lifetime)
    except (_StopRequested, BrokenPipeError):
        code = 0
    except LocalFarmError as error:
        _say(error=str(error))
    except Timeout:
        _say(error="another local farm of this folder is just starting or ending; try again")
    except Exception:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
