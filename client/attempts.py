"""The attempts at a run's chunks: when each ran, on which host, and how it ended.

The worker's reports tell most of it. A host that Spot takes back leaves no report; Batch tells of its attempt, until it
forgets the job about 7 days after its end. https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html
"""

from __future__ import annotations

import re
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from itertools import groupby

from client.farm import Farm, Job, JobAttempt
from render_worker.contract import ExitCode, FrameReport, Host, Report

_RECLAIMED = "Host EC2"
"""How Batch's reason begins where the instance itself went away: Host EC2 (instance i-0a1b) terminated.

https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
"""
_INSTANCE = re.compile(r"instance (i-[0-9a-f]+)")
FORGOTTEN = "it left no report, and Batch no longer knows it"


class Ending(Enum):
    """How an attempt ended."""

    DONE = "done"
    """The chunk was complete."""
    FAILED = "failed"
    """For a cause that another attempt cannot mend: the scene, a hook, the GPU, a missing file."""
    RECLAIMED = "reclaimed"
    """AWS took the Spot host back."""
    CUT_OFF = "cut off"
    """Any other end before the chunk was complete: stopped, out of time or memory, S3 or the network away."""


LOST = {Ending.RECLAIMED, Ending.CUT_OFF}
"""Ends after which the chunk's next attempt goes on."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt (from 1) at one chunk (from 0) that has ended; times are UTC, None where nobody knows them."""

    chunk: int
    attempt: int
    started: datetime | None
    finished: datetime | None
    ending: Ending
    reason: str
    """The worker's own words or Batch's; empty where it is done."""
    frames: tuple[FrameReport, ...]
    """What it rendered and uploaded, as far as it could report."""
    skipped: tuple[int, ...] | None
    """Frames that earlier attempts had finished; None where it left no report."""
    host: Host

    @property
    def seconds(self) -> float:
        """Give the seconds that it held its host; 0 where they are unknown."""
        if self.started is None or self.finished is None:
            return 0.0
        return max((self.finished - self.started).total_seconds(), 0.0)


def attempts(farm: Farm, jobs: Iterable[Job], reports: Sequence[Report]) -> tuple[Attempt, ...]:
    """Give a run's attempts in the order of their chunks, from its reports and from its jobs (`Farm.jobs_of`).

    Batch is asked only about chunks that failed or had more than one attempt; without jobs it is not asked.
    """
    by_chunk: dict[int, dict[int, Report]] = defaultdict(dict)
    for report in reports:
        by_chunk[report.chunk][report.attempt] = report
    again = {chunk for chunk, found in by_chunk.items() if max(found) > 1}
    told: dict[int, list[JobAttempt]] = {}
    for job in jobs:
        failed = farm.failed_chunks(job) if job.status == "FAILED" or job.children.get("FAILED") else {}
        asked = sorted(failed.keys() | (again & {*job.chunks}))
        told = {**farm.attempts(job, asked), **told} if asked else told
    return tuple(
        _attempt(chunk, number, by_chunk[chunk].get(number), _nth(told.get(chunk, []), number))
        for chunk in sorted(by_chunk.keys() | told.keys())
        for number in range(1, max([*by_chunk[chunk], len(told.get(chunk, []))]) + 1)
    )


def seconds_a_frame(attempts: Iterable[Attempt]) -> float | None:
    """Give the median of the seconds that a frame took to render; None before the first."""
    seconds = [frame.seconds for attempt in attempts for frame in attempt.frames]
    return statistics.median(seconds) if seconds else None


def lost_seconds(attempts: Sequence[Attempt]) -> float:
    """Give the seconds of hosts that reclaimed and cut-off attempts held and that gave no frame.

    Such an attempt seldom can say what it finished. So what the chunk's next report found finished counts for it, each
    frame at the run's median. Attempts are in the order in which `attempts` gives them.
    """
    median = seconds_a_frame(attempts) or 0.0
    lost = 0.0
    for _, of_chunk in groupby(attempts, key=lambda attempt: attempt.chunk):
        held, finished = 0.0, 0
        for attempt in of_chunk:
            if attempt.skipped is not None:
                lost += max(held - max(len(attempt.skipped) - finished, 0) * median, 0.0)
                held, finished = 0.0, len(attempt.skipped) + len(attempt.frames)
            if attempt.ending in LOST:
                held += max(attempt.seconds - len(attempt.frames) * median, 0.0)
        lost += held
    return lost


def _nth(told: Sequence[JobAttempt], number: int) -> JobAttempt | None:
    return told[number - 1] if number <= len(told) else None


def _attempt(chunk: int, number: int, report: Report | None, told: JobAttempt | None) -> Attempt:
    reason = told.reason if told else FORGOTTEN
    instance = _INSTANCE.search(reason)
    if report is None:
        return Attempt(
            chunk=chunk,
            attempt=number,
            started=told.started if told else None,
            finished=told.finished if told else None,
            ending=_ending(told.exit_code if told else None, reason),
            reason=reason,
            frames=(),
            skipped=None,
            host=Host(instance_id=instance[1]) if instance else Host(),
        )
    started, finished = (datetime.fromtimestamp(at, timezone.utc) for at in (report.started, report.finished))
    ending = _ending(report.exit_code, reason)
    return Attempt(
        chunk=chunk,
        attempt=number,
        started=started,
        finished=finished,
        ending=ending,
        reason=reason if ending is Ending.RECLAIMED else report.error or "",
        frames=report.frames,
        skipped=report.skipped,
        host=report.host,
    )


def _ending(exit_code: int | None, reason: str) -> Ending:
    if exit_code == ExitCode.DONE:
        return Ending.DONE
    if reason.startswith(_RECLAIMED):
        return Ending.RECLAIMED
    return Ending.FAILED if exit_code in {ExitCode.FAILED, ExitCode.NO_GPU, ExitCode.MISSING} else Ending.CUT_OFF
