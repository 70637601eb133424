"""What one pass over the job file works with, and who hears of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

from client import runs
from client.farm import Farm, Job
from client.frames_folder import Folders, FramesFolder
from client.jobfile import JobFile, Render
from client.outlook import Outlook
from client.standing import Standing


class Listener(Protocol):
    """Who hears what happens; the command line shows it."""

    def say(self, text: str) -> None:
        """Hear what was done."""

    def warn(self, text: str) -> None:
        """Hear what wants the user's attention."""

    def reading(self, render: Render, read: int, total: int) -> None:
        """Hear how many bytes of the package were looked through on this machine."""

    def sending(self, render: Render, sent: int, total: int) -> None:
        """Hear how many bytes of the package are on the farm."""

    def fetched(self, render: Render, files: int) -> None:
        """Hear how many files have come; the row's `frames_done` counts the frames."""

    def stands(self, standing: Standing) -> None:
        """Hear where the row now stands."""


@dataclass
class Pass:
    """The job file with its rows as they were read, the farm, and the jobs as Batch described them just before."""

    jobfile: JobFile
    farm: Farm
    listener: Listener
    folders: Folders
    outlook: Outlook
    renders: Sequence[Render] = ()
    jobs: dict[str, Job] = field(default_factory=dict)
    others_run: bool = False
    """Whether a chunk of any of them runs."""
    succeeded: list[tuple[Render, FramesFolder]] = field(default_factory=list)
    """Renders that came to Success in this pass, with their folders."""
    failed_chunks: dict[str, int] = field(default_factory=dict)
    """Of how many failed chunks of a run it was told."""

    def is_ours(self, render: Render) -> bool:
        """Say whether the row's run went to the farm in use."""
        return runs.farm_tag(render.run) == self.farm.config.tag


def now() -> str:
    """Give the time (UTC) as the job file's cells hold it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
