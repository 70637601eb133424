"""The farm as the client sees it; only this module and `client.account` speak to AWS."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore import exceptions
from botocore.config import Config

from client.config import FarmConfig
from client.errors import RenderError, UnreachableError
from render_worker import contract
from render_worker.contract import Manifest, PackageFile, Report

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_s3 import S3Client

PARALLEL = 8
_SUBMIT_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds, more or less, before a submission that Batch put off is tried again."""
_IDS_PER_CALL = 100
_KEYS_PER_CALL = 1000
_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 6}, max_pool_connections=2 * PARALLEL)
_LOCAL_RETRIES = Config(
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=2 * PARALLEL,
    connect_timeout=5,
    proxies={},  # a proxy for the Internet does not know this machine
)
# https://docs.aws.amazon.com/servicequotas/latest/userguide/gs-request-quota.html; codes as the console shows them.
_SPOT_QUOTAS = {"gpu": ("L-3819A6DF", "All G and VT Spot Instance Requests")}
_SPOT_QUOTAS["cpu"] = ("L-34B43A08", "All Standard Spot Instance Requests")

# Batch answers 50 calls a second to all clients of an account together; what botocore's own tries did not outlast.
# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
_BUSY = {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"}
_MISSING = {"404", "ImageNotFoundException", "NoSuchEntity", "NoSuchKey"}
_MISSING |= {"RepositoryNotFoundException", "ResourceNotFoundException"}
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


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach an account: region and profile as the user named them, the endpoint for the local farm alone."""

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""

    def client(self, service: str, *, attempts: int | None = None) -> Any:
        """Make a client of an AWS service, with so many attempts at each call if given.

        Raises RenderError when the profile or the region cannot be found.
        """
        once = Config(retries={"mode": "standard", "total_max_attempts": attempts}) if attempts else Config()
        try:
            if self.endpoint_url:
                # The local farm asks for no credentials, and must never see the user's own.
                session = boto3.Session(
                    aws_access_key_id="local",
                    aws_secret_access_key="local",  # noqa: S106 -- the emulator takes any
                    region_name=self.region,
                )
                return session.client(service, endpoint_url=self.endpoint_url, config=_LOCAL_RETRIES.merge(once))  # type: ignore[call-overload]
            session = boto3.Session(profile_name=self.profile or None, region_name=self.region or None)
            return session.client(service, config=_RETRIES.merge(once))  # type: ignore[call-overload]
        except exceptions.ProfileNotFound:
            raise RenderError(
                f"There is no AWS profile {self.profile!r}: run `aws configure --profile {self.profile}`, or name "
                "another with --profile."
            ) from None
        except exceptions.NoRegionError:
            raise RenderError("No AWS region is set: give --region, or run `aws configure`.") from None


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

    @cached_property
    def _s3(self) -> S3Client:
        client: S3Client = self._connection.client("s3")
        return client

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

    def upload(self, path: Path, file: PackageFile, sent: Callable[[int], None]) -> bool:
        """Send a file's content unless the farm has it; says whether it was sent. `sent` hears of bytes as they go."""
        key = contract.file_key(file.digest)
        try:
            with self._told(path.name):
                self._s3.head_object(Bucket=self.config.source_bucket, Key=key)
        except MissingError:
            with self._told(path.name), path.open("rb") as content:
                self._s3.upload_fileobj(content, self.config.source_bucket, key, Callback=sent)
            return True
        return False

    def put_manifest(self, manifest: Manifest) -> None:
        """Write what the run renders; the last thing before its job is submitted."""
        with self._told(f"the manifest of {manifest.run}"):
            self._s3.put_object(
                Bucket=self.config.source_bucket,
                Key=contract.manifest_key(manifest.run),
                Body=manifest.to_json().encode(),
                ContentType="application/json",
            )

    def manifest(self, run: str) -> Manifest:
        """Read what the run renders."""
        with self._told(f"the manifest of {run}"):
            found = self._s3.get_object(Bucket=self.config.source_bucket, Key=contract.manifest_key(run))
            text = found["Body"].read(contract.MAX_MANIFEST_BYTES + 1)
        try:
            return Manifest.from_json(text)
        except contract.ContractError as error:
            raise RenderError(f"The manifest of {run} cannot be used: {error}.") from None

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

    def find_job(self, run: str) -> str | None:
        """Look up the id of the run's latest job by its name; None when Batch knows none."""
        with self._told(f"the job {run}"):
            answer = self._batch.list_jobs(
                jobQueue=self.config.job_queue, filters=[{"name": "JOB_NAME", "values": [run]}]
            )
        found = answer["jobSummaryList"]
        return max(found, key=lambda job: job["createdAt"])["jobId"] if found else None

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
        with self._told(f"the jobs of {run}"):
            pages = self._batch.get_paginator("list_jobs").paginate(
                jobQueue=self.config.job_queue, filters=[{"name": "JOB_NAME", "values": [run]}]
            )
            listed = [job for page in pages for job in page["jobSummaryList"]]
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

    def frames(self, run: str, *, after: str = "") -> dict[str, int]:
        """List the run's frame files whose names sort after a text, each with its size in bytes."""
        return self._listing(contract.frames_prefix(run), after=after)

    def outputs(self, run: str) -> dict[str, int]:
        """List what the run's hooks left in the output folder, each with its size in bytes."""
        return self._listing(contract.output_prefix(run))

    def reports(self, run: str) -> list[Report]:
        """Read the run's reports; one that is not readable is left out, since it only tells what happened."""
        reports = []
        for name in self._listing(contract.reports_prefix(run)):
            with self._told(f"the report {name}"):
                key = contract.reports_prefix(run) + name
                body = self._s3.get_object(Bucket=self.config.results_bucket, Key=key)["Body"]
                with suppress(contract.ContractError):
                    reports.append(Report.from_json(body.read()))
        return reports

    def delete_frames(self, run: str, names: Iterable[str]) -> None:
        """Delete frame files of a run, so that its workers render those frames again."""
        prefix, wanted = contract.frames_prefix(run), list(names)
        for start in range(0, len(wanted), _KEYS_PER_CALL):
            keys = [{"Key": prefix + name} for name in wanted[start : start + _KEYS_PER_CALL]]
            with self._told("the frames"):
                self._s3.delete_objects(Bucket=self.config.results_bucket, Delete={"Objects": keys, "Quiet": True})  # type: ignore[typeddict-item]

    def download(self, key: str, path: Path) -> None:
        """Bring one object of the results to a path, whole or not at all."""
        with self._told(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".fetch-")
            try:
                with os.fdopen(handle, "wb") as file:
                    self._s3.download_fileobj(self.config.results_bucket, key, file)
                    file.flush()
                    os.fsync(file.fileno())
                Path(beside).chmod(0o644)
                Path(beside).replace(path)
            finally:
                Path(beside).unlink(missing_ok=True)

    def _listing(self, prefix: str, *, after: str = "") -> dict[str, int]:
        listing: dict[str, int] = {}
        with self._told("the results"):
            for page in self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.config.results_bucket, Prefix=prefix, StartAfter=prefix + after
            ):
                for found in page.get("Contents", ()):
                    listing[found["Key"].removeprefix(prefix)] = found["Size"]
        return listing

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        with told(what, self._connection, self.config.stack_name):
            yield


class BusyError(UnreachableError):
    """AWS refused a call for now, and did nothing of it."""


class MissingError(RenderError):
    """AWS says that the thing itself is not there."""


@contextmanager
def told(what: str, connection: Connection, stack_name: str = "") -> Iterator[None]:
    """Turn what AWS, the network or the disk raise about a thing into one sentence."""
    try:
        yield
    except exceptions.ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in _MISSING or (code == "ValidationError" and "does not exist" in message):
            raise MissingError(f"AWS has no {what.removeprefix('the ')} (any more).") from None
        if code in _BUSY:
            raise BusyError(f"AWS is busy and put off {what} ({code}): try again in a minute.") from None
        raise RenderError(_refusal(what, code, message, stack_name)) from None
    except S3UploadFailedError as error:
        raise RenderError(f"{what} could not be uploaded: {error}.") from None
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.TokenRetrievalError,
        exceptions.SSOError,
    ) as error:
        raise RenderError(
            f"AWS needs credentials ({error}): run `aws configure` or `aws sso login`, or name a --profile."
        ) from None
    except (exceptions.HTTPClientError, exceptions.ConnectionError) as error:
        if connection.endpoint_url:
            raise UnreachableError(
                f"The local farm at {connection.endpoint_url} does not answer: start it with `render local up`."
            ) from None
        raise UnreachableError(f"AWS cannot be reached ({error}): check the network and try again.") from None
    except (exceptions.BotoCoreError, Boto3Error) as error:
        raise RenderError(f"AWS could not be asked about {what}: {error}.") from None
    except OSError as error:
        raise RenderError(
            f"{what} could not be read or written ({error.strerror}): free the disk or mend its rights, then run the "
            "command again; nothing is lost."
        ) from None


def _refusal(what: str, code: str, message: str, stack_name: str) -> str:
    if code in {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId"}:
        return f"The AWS credentials have expired or are unknown ({code}): sign in again, e.g. with `aws sso login`."
    if code in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}:
        return f"AWS refused {what} ({message or code}): use a profile that may use the farm."
    if code == "NoSuchBucket" or (code == "ClientException" and "not" in message and "exist" in message):
        return (
            f"The farm {stack_name} has no such part any more ({message}): it was destroyed or deployed anew; run "
            f"`render configure --stackname {stack_name}`."
        )
    return f"AWS refused {what}: {message or code} ({code})."


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
