"""Where a render stands while it is followed: what a live screen, and a line in a pipe, show of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from client.jobfile import Render


@dataclass(frozen=True, kw_only=True)
class Chunks:
    """How many of a run's chunks wait for a host, are being started on one, render, are done and have failed."""

    waiting: int = 0
    starting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A row, and what is known of its run beyond the row. None means not known, or not yet."""

    render: Render
    chunks: Chunks = field(default_factory=Chunks)
    reclaims: int = 0
    """Attempts that Spot took back, as far as their chunks have ended since."""
    lost_minutes: float = 0.0
    """Minutes of hosts that those attempts cost and that gave no frame."""
    seconds_a_frame: float | None = None
    seconds_left: float | None = None
    """Until the last frame, if frames come on as fast as until now."""
    usd: float | None = None
    """Dollars of the attempts that have reported."""
    usd_to_completion: float | None = None
    """Dollars that the missing frames will cost if they are like those rendered."""
    waits_for: str = ""
    """Why no chunk runs yet, in a few words (`a Spot host (capacity)`); empty once one does."""
    waits_since: datetime | None = None
