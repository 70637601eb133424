"""How a run goes, beyond its row: what its chunks do, what it costs, how long it will take, and why it waits.

What is asked of AWS for this is asked again only when chunks have ended since, or a minute has passed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone

from client import attempts, cost
from client.account import CAPACITY, Account
from client.errors import RenderError
from client.farm import Farm, Job
from client.frames_folder import FramesFolder
from client.jobfile import RESTING, Render
from client.standing import Chunks, Standing
from render_worker.contract import Report

_ASK_AGAIN_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """What the reports of a run tell, and how many of its chunks had ended when they were read."""

    ended: int = 0
    reclaims: int = 0
    lost_minutes: float = 0.0
    seconds_a_frame: float | None = None
    usd: float | None = None
    usd_a_frame: float | None = None


@dataclass(frozen=True)
class _Since:
    """When a run was first looked at, on this machine's steady clock, and how many frames were here then."""

    seconds: float
    frames: int


class Outlook:
    """Tells where renders stand, and remembers what it asked."""

    def __init__(self, farm: Farm) -> None:
        self._farm = farm
        self._account = Account(farm.config)
        self._prices = cost.Prices(self._account, with_on_demand=False)
        self._figures: dict[str, _Figures] = {}
        self._since: dict[str, _Since] = {}
        self._waits: tuple[float, dict[str, str]] = (float("-inf"), {})

    def standing(self, render: Render, job: Job | None, folder: FramesFolder | None, *, others_run: bool) -> Standing:
        """Tell where a row stands; `others_run` where chunks of any row do. What AWS refuses to tell is left out."""
        if render.status in RESTING or job is None:
            self._figures.pop(render.run, None)
            self._since.pop(render.run, None)
            return Standing(render=render, usd=render.cost_usd)
        figures = self._figures.get(render.run, _Figures())
        chunks = _chunks(job)
        if folder and chunks.done + chunks.failed > figures.ended:
            with suppress(RenderError):
                figures = self._asked(render, job, folder, chunks.done + chunks.failed)
                self._figures[render.run] = figures
        left = render.frames_total - render.frames_done
        return Standing(
            render=render,
            chunks=chunks,
            reclaims=figures.reclaims,
            lost_minutes=figures.lost_minutes,
            seconds_a_frame=figures.seconds_a_frame,
            seconds_left=self._seconds_left(render, left, figures.seconds_a_frame, chunks.running),
            usd=figures.usd,
            usd_to_completion=None if figures.usd_a_frame is None else figures.usd_a_frame * left,
            waits_for=self._waits_for(job, others_run=others_run),
            waits_since=_moment(render.submitted_at),
        )

    def _asked(self, render: Render, job: Job, folder: FramesFolder, ended: int) -> _Figures:
        reports = folder.reports.of(self._farm.buckets, render.run)
        # Batch need not be asked about attempts while every report is of a first one.
        found = attempts.attempts(self._farm, [job] if any(each.attempt > 1 for each in reports) else [], reports)
        usd, usd_a_frame = self._priced(reports)
        return _Figures(
            ended=ended,
            reclaims=sum(each.ending is attempts.Ending.RECLAIMED for each in found),
            lost_minutes=attempts.lost_seconds(found) / 60,
            seconds_a_frame=attempts.seconds_a_frame(found),
            usd=usd,
            usd_a_frame=usd_a_frame,
        )

    def _priced(self, reports: Sequence[Report]) -> tuple[float | None, float | None]:
        """Give the dollars of the attempts with a known price, in all and for each frame."""
        if self._farm.config.endpoint_url:
            return None, None
        priced = [(self._prices.attempt(report).usd, len(report.frames)) for report in reports]
        usd = [dollars for dollars, _ in priced if dollars is not None]
        frames = sum(count for dollars, count in priced if dollars is not None)
        return (sum(usd), sum(usd) / frames if frames else None) if usd else (None, None)

    def _seconds_left(self, render: Render, left: int, a_frame: float | None, running: int) -> float | None:
        """Go by how fast frames have come since the run was first looked at, else by how long its frames take."""
        now = time.monotonic()
        since = self._since.setdefault(render.run, _Since(now, render.frames_done))
        came = render.frames_done - since.frames
        if came > 0 and now > since.seconds:
            return left * (now - since.seconds) / came
        return left * a_frame / running if a_frame is not None and running else None

    def _waits_for(self, job: Job, *, others_run: bool) -> str:
        if job.started:
            return ""
        if not job.waits:
            return "its host to start"
        if others_run:
            return "hosts, while others render"
        if self._farm.config.endpoint_url:
            return "this machine"
        asked, reasons = self._waits
        if time.monotonic() - asked > _ASK_AGAIN_SECONDS:
            reasons = {}
            with suppress(RenderError):
                reasons = self._reasons()
            self._waits = (time.monotonic(), reasons)
        return reasons.get(job.id, reasons.get("", "a Spot host"))

    def _reasons(self) -> dict[str, str]:
        """Say why jobs wait, by their ids, and under no id what holds for those that Batch gives no reason."""
        broken = [part for part in (self._account.queue(), *self._account.environments()) if not part.works]
        quota = self._farm.spot_quota()
        if broken:
            reason = f": {broken[0].reason.rstrip('.')}" if broken[0].reason else ""
            return {"": f"{broken[0].name}, which is {broken[0].state} and {broken[0].status}{reason}"}
        if quota and quota[1] < self._farm.config.job_vcpus:
            return {"": f"quota: `{quota[0]}` is {quota[1]:g} vCPUs and a job takes {self._farm.config.job_vcpus}"}
        found = {job.id: job.reason.rstrip(".") for job in self._account.waiting() if job.reason}
        reasons = {
            each: "a Spot host (no capacity now)" if reason.startswith(CAPACITY) else reason
            for each, reason in found.items()
        }
        return {"": "its host to start" if self._account.instances() else "a Spot host", **reasons}


def _chunks(job: Job) -> Chunks:
    counts = job.children or {job.status: 1}
    return Chunks(
        waiting=sum(counts.get(status, 0) for status in ("SUBMITTED", "PENDING", "RUNNABLE")),
        starting=counts.get("STARTING", 0),
        running=counts.get("RUNNING", 0),
        done=counts.get("SUCCEEDED", 0),
        failed=counts.get("FAILED", 0),
    )


def _moment(cell: str) -> datetime | None:
    with suppress(ValueError):
        return datetime.strptime(cell, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    return None
