"""The farm as the client sees it: its stack, its queue and, in `client.buckets`, its buckets."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from client.buckets import Buckets
from client.config import FarmConfig
from client.connection import BusyError, Connection, MissingError, told
from client.errors import RenderError
from render_worker import contract

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient

_SUBMIT_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds, more or less, before a submission that Batch put off is tried again."""
_IDS_PER_CALL = 100
# https://docs.aws.amazon.com/servicequotas/latest/userguide/gs-request-quota.html; codes as the console shows them.
_SPOT_QUOTAS = {"gpu": ("L-3819A6DF", "All G and VT Spot Instance Requests")}
_SPOT_QUOTAS["cpu"] = ("L-34B43A08", "All Standard Spot Instance Requests")

# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
_USABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A Batch job as DescribeJobs shows it; `children` counts an array's children by status, and is empty otherwise.

    Its chunks are numbered in the manifest from `first_chunk` on.
    """

    id: str
    status: str
    reason: str
    children: dict[str, int]
    first_chunk: int

    @property
    def ended(self) -> bool:
        """Whether every chunk has ended."""
        return self.status in {"SUCCEEDED", "FAILED"}

    @property
    def chunks(self) -> range:
        """The numbers of its chunks in the manifest."""
        return range(self.first_chunk, self.first_chunk + (sum(self.children.values()) or 1))

    @property
    def started(self) -> bool:
        """Whether any chunk has run; an array's own status is PENDING while its children run."""
        ran = ("RUNNING", "SUCCEEDED", "FAILED")
        return self.status in ran or any(self.children.get(status) for status in ran)

    @property
    def waits(self) -> bool:
        """Whether any chunk has not started yet."""
        waiting = ("SUBMITTED", "PENDING", "RUNNABLE")
        return any(self.children.get(status) for status in waiting) if self.children else self.status in waiting


@dataclass(frozen=True, kw_only=True)
class JobAttempt:
    """An attempt that has ended, as Batch tells of it; the times are None where its container never started.

    https://docs.aws.amazon.com/batch/latest/APIReference/API_AttemptDetail.html
    """

    started: datetime | None
    finished: datetime | None
    exit_code: int | None
    reason: str


def read_stack(stack_name: str, connection: Connection) -> FarmConfig:
    """Read a farm's stack. Raises RenderError when there is none of that name, or it is not a render farm."""
    client = connection.client("cloudformation")
    region = client.meta.region_name
    where = "the local farm" if connection.endpoint_url else f"region {region}"
    try:
        with told("the stack", connection):
            stack = client.describe_stacks(StackName=stack_name)["Stacks"][0]
    except MissingError:
        raise RenderError(
            f"There is no stack {stack_name} in {where}: check the name and --region, or deploy it with `cdk deploy`."
        ) from None
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}
    if stack["StackStatus"] not in _USABLE:
        raise RenderError(
            f"The stack {stack_name} is in state {stack['StackStatus']}: wait while something is IN_PROGRESS, else see "
            "its events in the CloudFormation console and run `cdk deploy` again."
        )
    try:
        return FarmConfig(
            stack_name=stack_name,
            stack_id=stack["StackId"],
            region=region,
            profile=connection.profile,
            endpoint_url=connection.endpoint_url,
            source_bucket=outputs["SourceBucket"],
            results_bucket=outputs["ResultsBucket"],
            job_queue=outputs["JobQueue"],
            job_definition=outputs["JobDefinition"],
            log_group=outputs["LogGroup"],
            device=outputs["Device"],
            blender_version=outputs["BlenderVersion"],
            contract_version=int(outputs["ContractVersion"]),
            source_expiry_days=int(outputs["SourceExpiryDays"]),
            job_vcpus=int(outputs["JobVcpus"]),
            max_vcpus=int(outputs["MaxVcpus"]),
        )
    except (KeyError, ValueError) as error:
        raise RenderError(
            f"The stack {stack_name} in {where} is not a render farm of this version (output {error}): name another, "
            "or deploy it anew with `cdk deploy`."
        ) from None


class Farm:
    """One farm's buckets and queue. Every method raises RenderError, or UnreachableError when nothing answers."""

    def __init__(self, config: FarmConfig) -> None:
        self.config = config
        self._connection = Connection(region=config.region, profile=config.profile, endpoint_url=config.endpoint_url)
        self.buckets = Buckets(config, self._connection)

    @cached_property
    def _batch(self) -> BatchClient:
        client: BatchClient = self._connection.client("batch")
        return client

    @cached_property
    def _batch_once(self) -> BatchClient:
        """Give a client that sends each request once, whatever becomes of it."""
        client: BatchClient = self._connection.client("batch", attempts=1)
        return client

    def spot_quota(self) -> tuple[str, float] | None:
        """Give name and value, in vCPUs, of the Spot quota that bounds this farm; None when it may not be read."""
        code, name = _SPOT_QUOTAS[self.config.device]
        with suppress(RenderError), self._told("the Spot quota"):
            client = self._connection.client("service-quotas")
            answer = client.get_service_quota(ServiceCode="ec2", QuotaCode=code)
            return name, float(answer["Quota"]["Value"])
        return None

    def submit(self, run: str, chunks: int, *, first_chunk: int = 0) -> str:
        """Submit a job for so many of the run's chunks, an array where they are several, and give its id.

        What Batch put off is tried again. What it may have taken, since the connection was lost before its answer, is
        not, for SubmitJob has no idempotency token:
        https://docs.aws.amazon.com/batch/latest/APIReference/API_SubmitJob.html
        """
        array: Any = {"arrayProperties": {"size": chunks}} if chunks > 1 else {}
        environment = {contract.RUN_VARIABLE: run, contract.FIRST_CHUNK_VARIABLE: str(first_chunk)}
        overrides: Any = {"environment": [{"name": name, "value": value} for name, value in environment.items()]}
        for pause in (*_SUBMIT_PAUSES, None):
            try:
                with self._told(f"the job {run}"):
                    answer = self._batch_once.submit_job(
                        jobName=run,
                        jobQueue=self.config.job_queue,
                        jobDefinition=self.config.job_definition,
                        containerOverrides=overrides,
                        **array,
                    )
                break
            except BusyError:
                if pause is None:
                    raise
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 -- no secret
        return answer["jobId"]

    def find_job(self, run: str) -> tuple[str, datetime] | None:
        """Look up the run's latest job by its name, with when Batch took it; None when it knows none."""
        found = self._named(run)
        if not found:
            return None
        latest = max(found, key=lambda job: int(job["createdAt"]))
        return latest["jobId"], datetime.fromtimestamp(latest["createdAt"] / 1000, timezone.utc)

    def jobs(self, ids: Iterable[str]) -> dict[str, Job]:
        """Describe jobs by id; those that Batch has not yet, or no longer, are left out."""
        wanted = list(ids)
        found: dict[str, Job] = {}
        for start in range(0, len(wanted), _IDS_PER_CALL):
            with self._told("the jobs"):
                answer = self._batch.describe_jobs(jobs=wanted[start : start + _IDS_PER_CALL])
            for job in answer["jobs"]:
                children = job.get("arrayProperties", {}).get("statusSummary", {})
                found[job["jobId"]] = Job(
                    id=job["jobId"],
                    status=job["status"],
                    reason=_reason(job),
                    children={status: count for status, count in children.items() if count},
                    first_chunk=_first_chunk(job),
                )
        return found

    def jobs_of(self, run: str) -> list[Job]:
        """Describe all jobs of a run that Batch knows, the latest first: each retry has one of its own."""
        listed = self._named(run)
        found = self.jobs(job["jobId"] for job in sorted(listed, key=lambda job: -job["createdAt"]))
        return list(found.values())

    def attempts(self, job: Job, chunks: Iterable[int]) -> dict[int, list[JobAttempt]]:
        """Give the attempts that have ended at some of a job's chunks, in their order, as far as Batch knows them."""
        ids = {f"{job.id}:{chunk - job.first_chunk}" if job.children else job.id: chunk for chunk in chunks}
        wanted = list(ids)
        found: dict[int, list[JobAttempt]] = {}
        for start in range(0, len(wanted), _IDS_PER_CALL):
            with self._told("the attempts"):
                answer = self._batch.describe_jobs(jobs=wanted[start : start + _IDS_PER_CALL])
            found |= {ids[each["jobId"]]: [*map(_job_attempt, each.get("attempts", []))] for each in answer["jobs"]}
        return found

    def failed_chunks(self, job: Job) -> dict[int, str]:
        """Give the chunks that failed, each with Batch's reason."""
        if not job.children:
            return {job.first_chunk: job.reason} if job.status == "FAILED" else {}
        failed: dict[int, str] = {}
        with self._told("the failed jobs"):
            pages = self._batch.get_paginator("list_jobs").paginate(arrayJobId=job.id, jobStatus="FAILED")
            for page in pages:
                for child in page["jobSummaryList"]:
                    failed[job.first_chunk + child["arrayProperties"]["index"]] = _reason(child)
        return failed

    def log_tail(self, job: Job, chunk: int, lines: int) -> list[str]:
        """Give the last lines of the log of the latest attempt at a chunk; none when it has no log, or no longer."""
        child = f"{job.id}:{chunk - job.first_chunk}" if job.children else job.id
        with suppress(RenderError), self._told("the log"):
            described = self._batch.describe_jobs(jobs=[child])["jobs"]
            stream = described[0].get("container", {}).get("logStreamName") if described else None
            if stream:
                client = self._connection.client("logs")
                answer = client.get_log_events(
                    logGroupName=self.config.log_group, logStreamName=stream, limit=lines, startFromHead=False
                )
                return [event["message"] for event in answer["events"]]
        return []

    def stop(self, job_id: str, reason: str) -> None:
        """End a job and all its children, running or not."""
        with self._told("the job"):
            self._batch.terminate_job(jobId=job_id, reason=reason)

    def cancel_waiting(self, job_id: str, reason: str) -> None:
        """Cancel a job, or those of its children, that have not started; what runs goes on.

        https://docs.aws.amazon.com/batch/latest/APIReference/API_CancelJob.html
        """
        with self._told("the job"):
            self._batch.cancel_job(jobId=job_id, reason=reason)

    def _named(self, run: str) -> list[Any]:
        with self._told(f"the jobs of {run}"):
            pages = self._batch.get_paginator("list_jobs").paginate(
                jobQueue=self.config.job_queue, filters=[{"name": "JOB_NAME", "values": [run]}]
            )
            return [job for page in pages for job in page["jobSummaryList"]]

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        with told(what, self._connection, self.config.stack_name):
            yield


def _first_chunk(job: Any) -> int:
    environment = job.get("container", {}).get("environment", [])
    return next((int(each["value"]) for each in environment if each["name"] == contract.FIRST_CHUNK_VARIABLE), 0)


def _job_attempt(told: Any) -> JobAttempt:
    started, finished = (
        datetime.fromtimestamp(told[name] / 1000, timezone.utc) if told.get(name) else None
        for name in ("startedAt", "stoppedAt")
    )
    container = told.get("container", {})
    return JobAttempt(
        started=started,
        finished=finished,
        exit_code=container.get("exitCode"),
        reason=told.get("statusReason") or container.get("reason") or "",
    )


def _reason(job: Any) -> str:
    """Give the last attempt's reason, which says more than the job's own, and the job's own where there is none."""
    attempts = job.get("attempts", [])
    container = (attempts[-1] if attempts else job).get("container", {})
    parts = [container.get("reason"), job.get("statusReason")]
    exit_code = container.get("exitCode")
    reason = "; ".join(dict.fromkeys(part for part in parts if part))
    return f"{reason} (exit code {exit_code})" if exit_code else reason
