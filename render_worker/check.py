"""The health command: whether this container's Blender starts, and what it would render on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import render_worker
from render_worker import blender, contract
from render_worker.contract import ExitCode
from render_worker.errors import WorkerError

_SCRIPT = Path(__file__).with_name("devices.py")


def main() -> int:
    """Print the versions and the devices that Cycles sees; 0 when Blender started, with or without a GPU."""
    print(
        f"Worker {render_worker.__version__}, contract {contract.CONTRACT_VERSION}, Python {platform.python_version()}",
        flush=True,
    )
    try:
        answer = _ask_blender()
    except WorkerError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"Blender {answer['blender']}")
    for kind, name in answer["devices"]:
        print(f"{kind}: {name}")
    if not any(kind in {"OPTIX", "CUDA"} for kind, _ in answer["devices"]):
        print("Cycles sees no GPU here: only jobs of a CPU farm can render")
    return ExitCode.DONE


def _ask_blender() -> Any:
    reading, writing = os.pipe()
    with os.fdopen(reading) as events:
        try:
            ended = subprocess.run(
                [*blender.command(_SCRIPT), str(writing)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                pass_fds=[writing],
                check=False,
            )
        except OSError as error:
            raise WorkerError(f"Blender cannot be started: {error}") from None
        finally:
            os.close(writing)
        answer = events.read()
    if not answer:
        said = (ended.stderr or ended.stdout).strip()
        raise WorkerError(f"Blender ended with exit code {ended.returncode} before it told its version: {said}")
    return json.loads(answer)
