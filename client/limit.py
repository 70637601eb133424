"""The most that a render may cost, as its row says."""

from __future__ import annotations

from collections.abc import Callable

from client import cost
from client.farm import Farm
from client.frames_folder import reports_of
from client.jobfile import Render

_REACHED = "Its max_cost of "


def reached(farm: Farm, render: Render, warn: Callable[[str], None]) -> str:
    """Say in a sentence that a run has cost its row's `max_cost`; nothing while it has not, or has no limit.

    Counts attempts that have ended: one that runs has not told its host and time yet. `warn` hears of those without a
    known price, which the limit cannot hold.
    """
    if render.max_cost is None or farm.config.endpoint_url:
        return ""
    usd, unknown = cost.spent(farm.config, reports_of(farm.buckets, render))
    if unknown:
        warn(f"{render.label}: the price of {unknown} attempts is unknown, so its max_cost counts without them.")
    if usd < render.max_cost:
        return ""
    return (
        f"{_REACHED}{render.max_cost:.2f} dollars is reached ({usd:.2f} so far): what had not started was cancelled, "
        "finished frames are kept; raise max_cost and run `render retry` for the rest."
    )


def stopped(render: Render) -> bool:
    """Say whether the row tells that its limit was reached."""
    return render.error.startswith(_REACHED)
