"""AWS Batch jobs as the API shows them: plain jobs, array jobs and their children.

Nothing here starts or stops anything; the scheduler moves jobs from state to state, under its own lock.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_farm.limits import JOB_STATUSES, RetryStrategy

if TYPE_CHECKING:
    from moto.batch.models import JobQueue

BEFORE_STARTING = frozenset({"SUBMITTED", "PENDING", "RUNNABLE"})
ENDED = frozenset({"SUCCEEDED", "FAILED"})

EXITED = "Essential container in task exited"
"""The statusReason of every job whose container ran to its own end, well or not."""


def now_ms() -> int:
    """Give the time in Batch's unit: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What SubmitJob and the job definition say together; the children of an array share one."""

    name: str
    queue: JobQueue
    """moto's job queue, whose compute environments say how much may run."""
    definition_arn: str
    container: dict[str, Any]
    """JobDetail's `container`, without what an attempt adds."""
    environment: dict[str, str]
    vcpus: float
    retry: RetryStrategy
    retry_strategy: dict[str, Any]
    timeout_s: int | None
    log_group: str
    log_prefix: str
    parameters: dict[str, str]
    tags: dict[str, str]

    @property
    def definition_name(self) -> str:
        """The job definition's name, without its revision."""
        return self.definition_arn.rpartition("/")[2].partition(":")[0]


class Job:
    """A plain job, or a child of an array. Light: an array can have 10,000."""

    __slots__ = (
        "attempts",
        "cancelled",
        "created_at",
        "id",
        "index",
        "latest",
        "parent",
        "sequence",
        "started_at",
        "status",
        "status_reason",
        "stopped_at",
        "submission",
        "terminated",
    )

    def __init__(
        self,
        job_id: str,
        submission: Submission,
        *,
        sequence: int = 0,
        parent: ArrayJob | None = None,
        index: int | None = None,
    ) -> None:
        self.id = job_id
        self.submission = submission
        self.sequence = sequence
        self.parent = parent
        self.index = index
        self.status = "SUBMITTED" if parent is None else "PENDING"
        self.status_reason: str | None = None
        self.created_at = now_ms()
        self.started_at: int | None = None
        self.stopped_at: int | None = None
        self.attempts: tuple[dict[str, Any], ...] = ()
        """Attempts that have ended; one that runs is in `latest` alone, as on AWS."""
        self.latest: dict[str, Any] = {}
        """What the latest attempt adds to the job's container; never changed, only replaced."""
        self.cancelled = False
        self.terminated = False

    @property
    def arn(self) -> str:
        """The job's ARN, in its queue's partition, region and account."""
        return f"{self.submission.queue.arn.partition(':job-queue/')[0]}:job/{self.id}"

    def move(self, status: str, reason: str | None = None) -> None:
        """Change the state; where the job is an array's child, its parent's counts and state follow."""
        if self.parent is not None:
            self.parent.count(self.status, status)
        self.status = status
        self.status_reason = reason
        if status in ENDED:
            self.stopped_at = now_ms()
        if self.parent is not None:
            self.parent.follow()

    def summary(self) -> dict[str, Any]:
        """Give ListJobs' JobSummary.

        https://docs.aws.amazon.com/batch/latest/APIReference/API_JobSummary.html
        """
        return given(
            jobArn=self.arn,
            jobId=self.id,
            jobName=self.submission.name,
            jobDefinition=self.submission.definition_arn,
            createdAt=self.created_at,
            startedAt=self.started_at,
            stoppedAt=self.stopped_at,
            status=self.status,
            statusReason=self.status_reason,
            container={key: self.latest[key] for key in ("exitCode", "reason") if key in self.latest} or None,
            arrayProperties=self._array_properties(),
        )

    def detail(self) -> dict[str, Any]:
        """Give DescribeJobs' JobDetail.

        https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html
        """
        submission = self.submission
        return self.summary() | given(
            jobQueue=submission.queue.arn,
            attempts=list(self.attempts),
            dependsOn=[],
            parameters=submission.parameters,
            retryStrategy=submission.retry_strategy,
            timeout=None if submission.timeout_s is None else {"attemptDurationSeconds": submission.timeout_s},
            container=submission.container | self.latest,
            tags=submission.tags,
            platformCapabilities=["EC2"],
            isCancelled=self.cancelled,
            isTerminated=self.terminated,
        )

    def _array_properties(self) -> dict[str, Any] | None:
        return None if self.index is None else {"index": self.index}


class ArrayJob(Job):
    """The parent of an array: PENDING while children run, never RUNNING itself.

    https://docs.aws.amazon.com/batch/latest/userguide/array_jobs.html
    """

    __slots__ = ("_counted_at", "_counts", "_end_reason", "children")

    def __init__(self, job_id: str, submission: Submission, *, sequence: int, size: int) -> None:
        super().__init__(job_id, submission, sequence=sequence)
        self.children = [
            Job(f"{job_id}:{index}", submission, sequence=index, parent=self, index=index) for index in range(size)
        ]
        self._counts = Counter({"PENDING": size})
        self._counted_at = self.created_at
        self._end_reason = "Array Child Job failed"

    def count(self, before: str, after: str) -> None:
        """Note that one child went from one state to another."""
        self._counts[before] -= 1
        self._counts[after] += 1
        self._counted_at = now_ms()

    def follow(self) -> None:
        """End the parent once every child has ended."""
        if self.status not in ENDED and self._counts["SUCCEEDED"] + self._counts["FAILED"] == len(self.children):
            if self._counts["FAILED"]:
                self.move("FAILED", self._end_reason)
            else:
                self.move("SUCCEEDED")

    def end_with(self, reason: str) -> None:
        """Say what the parent's statusReason will be if it fails."""
        self._end_reason = reason

    def _array_properties(self) -> dict[str, Any]:
        return {
            "size": len(self.children),
            "statusSummary": {status: self._counts[status] for status in JOB_STATUSES},
            "statusSummaryLastUpdatedAt": self._counted_at,
        }


def given(**members: object) -> dict[str, Any]:
    """Make an object of the API, without the members that are None."""
    return {key: value for key, value in members.items() if value is not None}
