"""A results bucket that holds some reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from render_worker import contract
from render_worker.contract import Report


def buckets_with(run: str, reports: Sequence[Report]) -> Any:
    """Give the client's buckets as they are where workers have left these reports of a run."""
    named = {contract.report_name(each.chunk, each.attempt): replace(each, run=run) for each in reports}
    return SimpleNamespace(
        report_names=lambda _: list(named),
        reports=lambda _, names: [(name, named[name].to_json().encode()) for name in names],
    )
