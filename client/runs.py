"""Run ids: which farm a run went to, and names that AWS Batch takes."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timezone

from client.jobfile import Render

_RUN = re.compile(r".+-[0-9]{8}-[0-9]{6}-(?P<farm>[0-9a-f]{6})-[0-9a-f]{6}")
_LONGEST_NAME = 60


def new_run(render: Render, farm_tag: str) -> str:
    """Make the id of a new run of a row: readable, unique, ASCII, and a Batch job name."""
    name = re.sub(r"[^A-Za-z0-9]+", "_", render.blend.stem).strip("_")[:_LONGEST_NAME] or "render"
    now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
    return f"{name}-{render.id}-{now}-{farm_tag}-{secrets.token_hex(3)}"


def farm_tag(run: str) -> str:
    """Give the tag of the farm that a run went to; empty when the cell holds no run id of ours."""
    match = _RUN.fullmatch(run)
    return match["farm"] if match else ""
