"""What follows when a watched run ends: a notice for who has gone away, and the user's own command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.errors import RenderError
from client.jobfile import Render, Status
from client.process import Outcome


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a watched run ended; `failed` counts also the rows that were refused or cannot be read."""

    jobfile: Path
    success: int
    failed: int
    cancelled: int
    frames: int
    """Frames that are on this machine."""

    @classmethod
    def of(cls, jobfile: Path, renders: Sequence[Render], outcome: Outcome) -> Ending:
        """Count what the last pass left."""
        counts = Counter(render.status for render in renders)
        return cls(
            jobfile=jobfile.absolute(),
            success=counts[Status.SUCCESS],
            failed=len(outcome.failed | outcome.refused) + outcome.broken,
            cancelled=counts[Status.CANCELLED],
            frames=sum(render.frames_done for render in renders),
        )

    @property
    def title(self) -> str:
        """Give the notice's title."""
        return f"{self.jobfile.name}: {'failures' if self.failed else 'done'}"

    @property
    def text(self) -> str:
        """Give the notice's text."""
        counts = {"Success": self.success, "Failed": self.failed, "Cancelled": self.cancelled}
        return ", ".join(f"{count} {word}" for word, count in counts.items() if count) or "nothing to render"

    def environment(self) -> dict[str, str]:
        """Give what the user's command finds in its environment."""
        return {
            "RENDER_JOBFILE": str(self.jobfile),
            "RENDER_STATUS": "failed" if self.failed else "done",
            "RENDER_SUCCESS": str(self.success),
            "RENDER_FAILED": str(self.failed),
            "RENDER_CANCELLED": str(self.cancelled),
            "RENDER_FRAMES": str(self.frames),
        }


def execute(command: str, ending: Ending) -> None:
    """Run the user's command, if there is one, in their shell. Raises RenderError when it fails.

    What it prints goes to standard error, since standard output holds the table.
    """
    if not command:
        return
    shell = os.environ.get("SHELL") if os.name == "posix" else None
    try:
        ended = subprocess.run(  # noqa: S602 -- the command is the user's, and none of ours is put into it
            command,
            shell=True,
            executable=shell or None,
            env={**os.environ, **ending.environment()},
            stdout=sys.stderr,
            check=False,
        )
    except OSError as error:
        raise RenderError(f"The command of --exec did not start ({shell or 'the shell'}: {error.strerror}).") from None
    if ended.returncode:
        raise RenderError(f"The command of --exec ended with exit code {ended.returncode}.")
