"""The scripts that travel with a render: `pre_render.sh` and `post_render.sh`, run by bash beside the `.blend`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from render_worker.errors import WorkerError

PRE_RENDER = "pre_render.sh"
POST_RENDER = "post_render.sh"
TIMEOUT_VARIABLE = "RENDER_HOOK_SECONDS"
_TIMEOUT_SECONDS = 1800.0


def run_hook(name: str, *, folder: Path, environment: dict[str, str]) -> None:
    """Run the hook of that name if the folder of the `.blend` has it; its output goes to the log.

    It has half an hour, or the seconds that RENDER_HOOK_SECONDS names. Raises WorkerError when it ends with anything
    but 0, or is not done in time; what it started ends with it.
    """
    script = folder / name
    if not script.is_file():
        return
    seconds = float(environment.get(TIMEOUT_VARIABLE, _TIMEOUT_SECONDS))
    print(f"Running {name}", flush=True)
    with tempfile.NamedTemporaryFile(prefix="render_hook_", suffix=".sh") as unix:
        # A script that was saved on Windows ends its lines with CR LF, which bash takes for part of each command.
        unix.write(script.read_bytes().replace(b"\r\n", b"\n"))
        unix.flush()
        process = subprocess.Popen(
            ["bash", unix.name],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=sys.stdout.fileno(),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise WorkerError(f"{name} was stopped after {seconds:g} s; {TIMEOUT_VARIABLE} gives it longer") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code:
        raise WorkerError(f"{name} failed with exit code {code}; its output is in the log")
