"""The most that a render may cost, as its row says."""

from __future__ import annotations

from collections.abc import Callable

from client import cost
from client.account import Account
from client.farm import Farm
from client.frames_folder import reports_of
from client.jobfile import Render

_REACHED = "Its max_cost of "


def reached(farm: Farm, render: Render, warn: Callable[[str], None]) -> str:
    """Say in a sentence that a run has cost its row's `max_cost`; nothing while it has not, or has no limit.

    Counts chunks that run too, by their time so far, so that it acts while they spend. `warn` hears of attempts without
    a known price, which the limit cannot hold.
    """
    if render.max_cost is None or farm.config.endpoint_url:
        return ""
    # Reports are read first: an attempt that ends meanwhile is counted by Batch's time, and by it alone.
    reports = reports_of(farm.buckets, render)
    spent = cost.spent(Account(farm.config), render.run, reports)
    if spent.unknown:
        warn(f"{render.label}: the price of {spent.unknown} attempts is unknown, so its max_cost counts without them.")
    if spent.usd < render.max_cost:
        return ""
    running = f", {spent.running_usd:.2f} of it by chunks that run" if spent.running_usd else ""
    return (
        f"{_REACHED}{render.max_cost:.2f} dollars is reached ({spent.usd:.2f} so far{running}): what had not started "
        "was cancelled, finished frames are kept; raise max_cost and run `render retry` for the rest."
    )


def stopped(render: Render) -> bool:
    """Say whether the row tells that its limit was reached."""
    return render.error.startswith(_REACHED)
