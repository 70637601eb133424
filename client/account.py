"""The account around the farm: its jobs' logs, its hosts, prices and limits. With `client.farm`, all that asks AWS."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from client.config import FarmConfig
from client.farm import Connection, MissingError, told
from render_worker import contract

_IDS_PER_CALL = 100


@dataclass(frozen=True, kw_only=True)
class ChunkJob:
    """The Batch job of one chunk: its status, Batch's reason, and the log stream of each attempt that has one."""

    status: str
    reason: str
    streams: tuple[str, ...]

    @property
    def ended(self) -> bool:
        """Whether no further attempt will come."""
        return self.status in {"SUCCEEDED", "FAILED"}


class Account:
    """What the account says of one farm. Every method raises RenderError, or UnreachableError when nothing answers."""

    def __init__(self, config: FarmConfig) -> None:
        self.config = config
        self._connection = Connection(region=config.region, profile=config.profile, endpoint_url=config.endpoint_url)

    @cached_property
    def _batch(self) -> Any:
        return self._connection.client("batch")

    @cached_property
    def _logs(self) -> Any:
        return self._connection.client("logs")

    def chunk_job(self, run: str, chunk: int) -> ChunkJob | None:
        """Give the latest job of a run's chunk; None when Batch knows none, as it does about 7 days after its end.

        A retry is a job of its own with chunks of its own, so all of the run's jobs are looked at.
        https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html
        """
        with told(f"the jobs of {run}", self._connection, self.config.stack_name):
            pages = self._batch.get_paginator("list_jobs").paginate(
                jobQueue=self.config.job_queue, filters=[{"name": "JOB_NAME", "values": [run]}]
            )
            listed = sorted((job for page in pages for job in page["jobSummaryList"]), key=_created, reverse=True)
            for job in self._described([job["jobId"] for job in listed]):
                first, size = _first_chunk(job), job.get("arrayProperties", {}).get("size")
                if first <= chunk < first + (size or 1):
                    if size:
                        (job,) = self._described([f"{job['jobId']}:{chunk - first}"])  # noqa: PLW2901 -- its child
                    return _chunk_job(job)
        return None

    def log_page(self, stream: str, token: str | None) -> tuple[list[str], str]:
        """Give the log's lines after a token, from its start without one, and the token of what follows.

        The same token comes back at the log's end so far; a page may be empty and yet not be the last. None is left
        where the log group has forgotten the stream (MissingError).
        https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
        """
        after = {"nextToken": token} if token else {}
        with told("the log", self._connection, self.config.stack_name):
            page = self._logs.get_log_events(
                logGroupName=self.config.log_group, logStreamName=stream, startFromHead=True, **after
            )
        return [event["message"] for event in page["events"]], page["nextForwardToken"]

    def log_retention_days(self) -> int | None:
        """Give for how many days the farm keeps logs; None when it keeps them for ever."""
        with told("the log group", self._connection, self.config.stack_name):
            pages = self._logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=self.config.log_group)
            for page in pages:
                for group in page["logGroups"]:
                    if group["logGroupName"] == self.config.log_group:
                        days: int | None = group.get("retentionInDays")
                        return days
        raise MissingError(f"AWS has no log group {self.config.log_group} (any more).")

    def _described(self, ids: list[str]) -> list[Any]:
        """Describe jobs in the order of their ids; those that Batch does not know are left out."""
        found: dict[str, Any] = {}
        for start in range(0, len(ids), _IDS_PER_CALL):
            answer = self._batch.describe_jobs(jobs=ids[start : start + _IDS_PER_CALL])
            found |= {job["jobId"]: job for job in answer["jobs"]}
        return [found[each] for each in ids if each in found]


def _created(job: Any) -> int:
    created: int = job["createdAt"]
    return created


def _first_chunk(job: Any) -> int:
    environment = job.get("container", {}).get("environment", [])
    return next((int(each["value"]) for each in environment if each["name"] == contract.FIRST_CHUNK_VARIABLE), 0)


def _chunk_job(job: Any) -> ChunkJob:
    # An attempt that runs is not among the attempts yet, only in the job's own container.
    containers = [*(attempt.get("container", {}) for attempt in job.get("attempts", [])), job.get("container", {})]
    streams = [container["logStreamName"] for container in containers if container.get("logStreamName")]
    reason = job.get("statusReason") or ""
    return ChunkJob(status=job["status"], reason=reason, streams=tuple(dict.fromkeys(streams)))
