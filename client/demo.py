"""The whole way on this machine: the local farm, a sample scene, frames on disk."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from client import adding, config, local, places
from client.errors import RenderError
from client.farm import Farm
from client.frames_folder import FramesFolder
from client.jobfile import JobFile, Status
from client.passes import Listener
from client.watch import watch

_SAMPLE = Path(__file__).parents[1] / "examples" / "sample.blend"
_BREAKSIZE = 4


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What the demo gave, and how long it took with the farm's start."""

    folder: Path
    frames: int
    seconds: float
    jobfile: Path


def run(listener: Listener) -> Demo:
    """Start the local farm, render the sample and give its frames. Raises RenderError when any step fails."""
    began = time.monotonic()
    local.up(listener.say)
    jobfile = JobFile(places.render_home() / "demo" / "joblist.csv")
    jobfile.path.parent.mkdir(parents=True, exist_ok=True)
    if not jobfile.path.exists():
        jobfile.create()
    added = adding.add(jobfile, _SAMPLE, {"description": "demo", "breaksize": _BREAKSIZE}, [])
    listener.say(f"{added.render.label}: {added.summary}")
    watch(jobfile, Farm(config.load()), listener)
    render = next(render for render in jobfile.read()[0] if render.id == added.render.id)
    folder = FramesFolder.of(render, render.run)
    if render.status is not Status.SUCCESS or folder is None:
        raise RenderError(f"The demo did not finish: {render.error or render.status.value}; see {jobfile.path}.")
    return Demo(folder=folder.path, frames=len(folder.wanted), seconds=time.monotonic() - began, jobfile=jobfile.path)
