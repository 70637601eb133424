"""Blender as a child process: the program that `RENDER_BLENDER` names, or else the module `bpy` of this Python."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from render_worker.contract import ExitCode, Settings
from render_worker.errors import WorkerError

BLENDER_VARIABLE = "RENDER_BLENDER"
_SCENE_SCRIPT = Path(__file__).with_name("scene.py")
_LOG_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Task:
    """What one Blender process renders; `folder` receives the frames, `device` is `gpu` or `cpu`.

    `package` holds the files; `remap` says where in it lies what the `.blend` names otherwise (Manifest).
    """

    blend: Path
    package: Path
    remap: dict[str, str]
    folder: Path
    frames: list[int]
    settings: Settings
    device: str
    strict: bool
    autoexec: bool


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The scene is loaded; `missing` is what it refers to and the package did not bring."""

    blender: str
    device: str
    samples: int | None
    missing: list[str]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame is rendered and its files, named below the task's folder, are complete; the main one is the last.

    `seconds` is the render alone, `memory_mib` the most memory that Blender has taken so far.
    """

    frame: int
    seconds: float
    memory_mib: int
    files: list[str]


def command(script: Path = _SCENE_SCRIPT) -> list[str]:
    """Give the command that runs a script of ours in Blender, but for the number of the events' file descriptor."""
    blender = os.environ.get(BLENDER_VARIABLE)
    if blender is None:
        return [sys.executable, "-P", str(script)]
    arguments = ["--python-exit-code", "1", "--python", str(script), "--"]
    return [blender, "--background", "--factory-startup", *arguments]


class Blender:
    """One Blender process. It starts when this is made, so that it loads itself while the package is fetched.

    Its log goes to this process's own. Leaving the context kills it.
    """

    def __init__(self) -> None:
        """Start Blender; raises WorkerError when it cannot be started."""
        reading, writing = os.pipe()
        try:
            self._process = subprocess.Popen(
                [*command(), str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=[writing],
                env=_environment(),
            )
        except OSError as error:
            os.close(reading)
            raise WorkerError(f"Blender cannot be started: {error}") from None
        finally:
            os.close(writing)
        self._events = os.fdopen(reading, encoding="utf-8")
        self._log = threading.Thread(target=_copy_lines, args=(self._process.stdout,), daemon=True)
        self._log.start()

    def __enter__(self) -> Blender:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.join(_LOG_SECONDS)
        self._events.close()

    def render(self, task: Task) -> Iterator[Ready | Frame]:
        """Render the task and give what Blender tells, as it tells it.

        Raises WorkerError when it refuses the scene, or ends before every frame is rendered.
        """
        self._give(json.dumps(asdict(task), default=str))
        latest, rendered = "before its first frame", 0
        for line in self._events:
            event = json.loads(line)
            kind = event.pop("event")
            if kind == "error":
                raise WorkerError(event["message"], ExitCode(event["exit_code"]))
            if kind == "ready":
                yield Ready(**event)
                continue
            latest, rendered = f"after frame {event['frame']}", rendered + 1
            yield Frame(**event)
        code = self._process.wait()
        self._log.join(_LOG_SECONDS)
        if code or rendered < len(task.frames):
            raise WorkerError(f"Blender {_ending(code)} {latest}; its last lines are in the log above")

    def _give(self, line: str) -> None:
        pipe = self._process.stdin
        try:
            if pipe is not None:
                pipe.write(line.encode() + b"\n")
                pipe.close()
        except BrokenPipeError:
            pass  # it has ended already; its events and exit code say how


def _copy_lines(output: IO[bytes]) -> None:
    """Copy Blender's log line by line: it flushes in the middle of lines, and ours must not land there."""
    for line in output:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()


def _environment() -> dict[str, str]:
    """Keep AWS's credentials from the scene: what a `.blend` runs has no business with the buckets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "ECS_"))}


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
