"""The account around the farm: its jobs' logs, its hosts, prices and limits. With `client.farm`, all that asks AWS."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cached_property
from typing import Any

from client.config import FarmConfig
from client.connection import Connection, MissingError, told
from client.errors import RenderError
from render_worker import contract

_IDS_PER_CALL = 100
FARM_TAG = "render-farm"
"""The tag that the stack puts on all that it holds, hosts included; its value is the stack's name."""
_ECR_IMAGE = re.compile(
    r"(?P<account>[0-9]{12})\.dkr\.ecr\.[a-z0-9-]+\.amazonaws\.com(\.cn)?/(?P<name>[^@:]+)"
    r"(@(?P<digest>sha256:[0-9a-f]{64})|:(?P<tag>[\w.-]+))?"
)
_LIVE = ("RUNNING", "STARTING", "RUNNABLE", "PENDING", "SUBMITTED")
_ALARM_DAYS = 30
CAPACITY = "CAPACITY:"
"""How Batch's reason begins where Spot has no such host now, which passes by itself."""
_PRICES_REGION = "us-east-1"


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


@dataclass(frozen=True, kw_only=True)
class Part:
    """The job queue or a compute environment: ENABLED or not, VALID or not, and AWS's reason."""

    name: str
    state: str
    status: str
    reason: str

    @property
    def works(self) -> bool:
        """Whether jobs can go through it."""
        return self.state == "ENABLED" and self.status in {"VALID", "UPDATING"}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """A job that is RUNNABLE, an array where children of it are; `minutes` since it became so, as Batch tells it."""

    name: str
    id: str
    minutes: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A host of the farm that is billed, for how many minutes it has run, its vCPUs, and whether it is a Spot host."""

    id: str
    size: str
    minutes: int
    vcpus: int
    spot: bool


@dataclass(frozen=True, kw_only=True)
class Size:
    """A size of host that the farm may start, its vCPUs, and the part of it that one job takes."""

    name: str
    vcpus: int
    share: float


@dataclass(frozen=True, kw_only=True)
class Held:
    """An attempt at a chunk as Batch tells of it: from when to when it held a host; None while it runs."""

    chunk: int
    attempt: int
    started: datetime
    ended: datetime | None


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

    @cached_property
    def _ec2(self) -> Any:
        return self._connection.client("ec2")

    def chunk_job(self, run: str, chunk: int) -> ChunkJob | None:
        """Give the latest job of a run's chunk; None when Batch knows none, as it does about 7 days after its end.

        A retry is a job of its own with chunks of its own, so all of the run's jobs are looked at.
        https://docs.aws.amazon.com/batch/latest/APIReference/API_DescribeJobs.html
        """
        with self._told(f"the jobs of {run}"):
            for job in self._jobs_of(run):
                first, size = _first_chunk(job), job.get("arrayProperties", {}).get("size")
                if first <= chunk < first + (size or 1):
                    if size:
                        (job,) = self._described([f"{job['jobId']}:{chunk - first}"])  # noqa: PLW2901 -- its child
                    return _chunk_job(job)
        return None

    def held(self, run: str, chunks: Collection[int] = ()) -> list[Held]:
        """Give the attempts, as far as Batch knows them, at chunks that run or failed, and at those named.

        An attempt that never held a host is none. Batch forgets a job about 7 days after its end.
        https://docs.aws.amazon.com/batch/latest/APIReference/API_AttemptDetail.html
        """
        found = []
        with self._told(f"the attempts of {run}"):
            for job in self._jobs_of(run):
                first, array = _first_chunk(job), job.get("arrayProperties", {})
                if not array.get("size"):
                    found += _held(job, first)
                    continue
                counts = array.get("statusSummary", {})
                indices = {chunk - first for chunk in chunks} & {*range(array["size"])}
                for status in filter(counts.get, ("RUNNING", "FAILED")):
                    children = self._listed(arrayJobId=job["jobId"], jobStatus=status)
                    # A child that was cancelled before it started is FAILED too.
                    indices |= {child["arrayProperties"]["index"] for child in children if child.get("startedAt")}
                for child in self._described([f"{job['jobId']}:{index}" for index in sorted(indices)]):
                    found += _held(child, first + child["arrayProperties"]["index"])
        return found

    def log_page(self, stream: str, token: str | None) -> tuple[list[str], str]:
        """Give the log's lines after a token, from its start without one, and the token of what follows.

        The same token comes back at the log's end so far; a page may be empty and yet not be the last. None is left
        where the log group has forgotten the stream (MissingError).
        https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
        """
        after = {"nextToken": token} if token else {}
        with self._told("the log"):
            page = self._logs.get_log_events(
                logGroupName=self.config.log_group, logStreamName=stream, startFromHead=True, **after
            )
        return [event["message"] for event in page["events"]], page["nextForwardToken"]

    def log_retention_days(self) -> int | None:
        """Give for how many days the farm keeps logs; None when it keeps them for ever."""
        with self._told("the log group"):
            pages = self._logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=self.config.log_group)
            for page in pages:
                for group in page["logGroups"]:
                    if group["logGroupName"] == self.config.log_group:
                        days: int | None = group.get("retentionInDays")
                        return days
        raise MissingError(f"AWS has no log group {self.config.log_group} (any more).")

    def identity(self) -> str:
        """Give the id of the account that the credentials belong to."""
        with self._told("who you are"):
            account: str = self._connection.client("sts").get_caller_identity()["Account"]
            return account

    def has_role(self, name: str) -> bool:
        """Say whether the account has a role of that name."""
        try:
            with self._told(f"the role {name}"):
                self._connection.client("iam").get_role(RoleName=name)
        except MissingError:
            return False
        return True

    def image(self) -> str:
        """Give the image that the farm's job definition names, in its newest revision."""
        with self._told("the job definition"):
            pages = self._batch.get_paginator("describe_job_definitions").paginate(
                jobDefinitionName=self.config.job_definition, status="ACTIVE"
            )
            found = [each for page in pages for each in page["jobDefinitions"]]
        if not found:
            raise MissingError(f"AWS has no job definition {self.config.job_definition} (any more).")
        image: str = max(found, key=lambda each: int(each["revision"]))["containerProperties"]["image"]
        return image

    def has_image(self, image: str) -> bool | None:
        """Say whether ECR holds an image; None for one of another registry."""
        named = _ECR_IMAGE.fullmatch(image)
        if named is None:
            return None
        which = {"imageDigest": named["digest"]} if named["digest"] else {"imageTag": named["tag"] or "latest"}
        try:
            with self._told(f"the image {image}"):
                self._connection.client("ecr").describe_images(
                    registryId=named["account"], repositoryName=named["name"], imageIds=[which]
                )
        except MissingError:
            return False
        return True

    def queue(self) -> Part:
        """Look at the job queue."""
        found = self._queue()
        return _part(found["jobQueueName"], found)

    def environments(self) -> list[Part]:
        """Look at the queue's compute environments, in the order in which they are filled."""
        return [_part(each["computeEnvironmentName"], each) for each in self._environments()]

    def has_live_job(self) -> bool:
        """Say whether any job of the queue waits or runs."""
        return any(job for status in _LIVE for job in self._listed(jobQueue=self.config.job_queue, jobStatus=status))

    def waiting(self) -> list[Waiting]:
        """Find the jobs that wait for a host; an array's parent is PENDING while its children wait.

        Batch gives its reason to the job at the head of the queue alone, which may be any child of an array.
        https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
        """
        queue = self.config.job_queue
        listed = [
            *self._listed(jobQueue=queue, jobStatus="RUNNABLE"),
            *self._listed(jobQueue=queue, jobStatus="PENDING"),
        ]
        with self._told("the jobs that wait"):
            jobs = self._described([job["jobId"] for job in listed])
            found = []
            for job in jobs:
                waits = self._waiting_child(job["jobId"]) if job["status"] == "PENDING" else job
                if waits is not None:
                    minutes = _minutes_since(_runnable_since(waits))
                    reason = waits.get("statusReason") or job.get("statusReason") or ""
                    found.append(Waiting(name=job["jobName"], id=job["jobId"], minutes=minutes, reason=reason))
        return found

    def instances(self) -> list[Instance]:
        """Find the farm's hosts that run or are about to."""
        with self._told("the hosts"):
            pages = self._ec2.get_paginator("describe_instances").paginate(
                Filters=[
                    {"Name": f"tag:{FARM_TAG}", "Values": [self.config.stack_name]},
                    {"Name": "instance-state-name", "Values": ["pending", "running"]},
                ]
            )
            return [
                Instance(
                    id=each["InstanceId"],
                    size=each["InstanceType"],
                    minutes=_minutes_since(each["LaunchTime"]),
                    vcpus=_vcpus(each),
                    spot=each.get("InstanceLifecycle") == "spot",
                )
                for page in pages
                for reservation in page["Reservations"]
                for each in reservation["Instances"]
            ]

    def stored_bytes(self) -> dict[str, int]:
        """Count what the two buckets hold, by bucket."""
        client = self._connection.client("s3")
        held = {}
        for bucket in (self.config.source_bucket, self.config.results_bucket):
            with self._told(f"the bucket {bucket}"):
                pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
                held[bucket] = sum(found["Size"] for page in pages for found in page.get("Contents", ()))
        return held

    def last_alarm(self) -> tuple[datetime, str] | None:
        """Give when the guard last told of idle hosts and its words, of what its log keeps; None without an alarm.

        Raises MissingError for a farm without a guard.
        """
        with self._told("the stack's parts"):
            pages = (
                self._connection.client("cloudformation")
                .get_paginator("list_stack_resources")
                .paginate(StackName=self.config.stack_name)
            )
            parts = [part for page in pages for part in page["StackResourceSummaries"]]
        group = next(
            (
                part["PhysicalResourceId"]
                for part in parts
                if part["ResourceType"] == "AWS::Logs::LogGroup" and part["LogicalResourceId"].startswith("GuardLog")
            ),
            None,
        )
        if group is None:
            raise MissingError("The farm has no guard.")
        since = datetime.now(timezone.utc) - timedelta(days=_ALARM_DAYS)
        with self._told("the guard's log"):
            found = [
                event
                for page in self._logs.get_paginator("filter_log_events").paginate(
                    logGroupName=group,
                    filterPattern='"yet these hosts were running"',
                    startTime=int(since.timestamp() * 1000),
                )
                for event in page["events"]
            ]
        if not found:
            return None
        latest = max(found, key=lambda event: event["timestamp"])
        return datetime.fromtimestamp(latest["timestamp"] / 1000, timezone.utc), " ".join(latest["message"].split())

    def spot_prices(self, size: str, zone: str, start: datetime, end: datetime) -> list[tuple[datetime, float]]:
        """Give the Spot prices of a size in a zone, each with the time from which it held, oldest first.

        In dollars an hour. The first one held at `start` already; AWS keeps 90 days, and takes no end in the future.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
        """
        with self._told("the Spot prices"):
            pages = self._ec2.get_paginator("describe_spot_price_history").paginate(
                InstanceTypes=[size],
                AvailabilityZone=zone,
                ProductDescriptions=["Linux/UNIX"],
                StartTime=start,
                EndTime=min(end, datetime.now(timezone.utc)),
            )
            return sorted(
                (each["Timestamp"], float(each["SpotPrice"])) for page in pages for each in page["SpotPriceHistory"]
            )

    def spot_now(self, sizes: Sequence[Size]) -> dict[tuple[str, str], float]:
        """Give the Spot prices of now by size and zone, in dollars an hour, of the zones where the farm starts hosts.

        A history that starts now holds the prices of now alone.
        https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
        """
        subnets = {each for found in self._environments() for each in found["computeResources"]["subnets"]}
        with self._told("the Spot prices"):
            pages = self._ec2.get_paginator("describe_subnets").paginate(SubnetIds=sorted(subnets))
            zones = [each["AvailabilityZone"] for page in pages for each in page["Subnets"]]
            prices = self._ec2.get_paginator("describe_spot_price_history").paginate(
                InstanceTypes=[size.name for size in sizes],
                ProductDescriptions=["Linux/UNIX"],
                StartTime=datetime.now(timezone.utc),
                Filters=[{"Name": "availability-zone", "Values": sorted(set(zones))}],
            )
            found = sorted((each for page in prices for each in page["SpotPriceHistory"]), key=_at)
        return {(each["InstanceType"], each["AvailabilityZone"]): float(each["SpotPrice"]) for each in found}

    def on_demand_price(self, size: str) -> float | None:
        """Give today's On-Demand price of a size with Linux in the farm's region, in dollars an hour; None for none."""
        prices = self._price_list(
            "AmazonEC2",
            instanceType=size,
            operatingSystem="Linux",
            tenancy="Shared",
            preInstalledSw="NA",
            capacitystatus="Used",
        )
        return next((each.usd for each in prices if each.unit == "Hrs"), None)

    def storage_price(self) -> float | None:
        """Give today's price of S3 Standard in the farm's region, in dollars per GB and month, of the first tier.

        None without one. Usage types begin with a code of their region, but for us-east-1's.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/aws-usage-report-understand.html
        """
        usage = re.compile(r"([A-Z0-9]+-)?TimedStorage-ByteHrs")
        prices = self._price_list("AmazonS3", productFamily="Storage", volumeType="Standard")
        return next((each.usd for each in prices if usage.fullmatch(each.usage) and each.begins == "0"), None)

    def sizes(self) -> list[Size]:
        """Give the sizes of hosts that the farm may start, in the order of its settings."""
        listed = [each for found in self._environments() for each in found["computeResources"]["instanceTypes"]]
        return self._sizes(list(dict.fromkeys(listed)))

    def share_of_host(self, size: str) -> float:
        """Give the part of a host that one job takes: of its GPUs on a GPU farm, else of its vCPUs."""
        return self._sizes([size])[0].share

    def _sizes(self, names: list[str]) -> list[Size]:
        with self._told(f"the size {', '.join(names)}"):
            pages = self._ec2.get_paginator("describe_instance_types").paginate(InstanceTypes=names)
            found = {each["InstanceType"]: each for page in pages for each in page["InstanceTypes"]}
        sizes = []
        for name in names:
            vcpus = int(found[name]["VCpuInfo"]["DefaultVCpus"])
            gpus = sum(int(each["Count"]) for each in found[name].get("GpuInfo", {}).get("Gpus", ()))
            by_gpu = self.config.device == "gpu" and gpus
            share = 1 / gpus if by_gpu else min(1.0, self.config.job_vcpus / vcpus)
            sizes.append(Size(name=name, vcpus=vcpus, share=share))
        return sizes

    def _price_list(self, service: str, **wanted: str) -> list[_Price]:
        """Give the prices in dollars, in the farm's region, of what these attributes name; none in another currency.

        The price list is served in a few regions only, for all of them.
        https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/using-price-list-query-api.html
        """
        terms = {**wanted, "regionCode": self.config.region}
        with self._told("the price list"):
            client = Connection(region=_PRICES_REGION, profile=self.config.profile).client("pricing")
            pages = client.get_paginator("get_products").paginate(
                ServiceCode=service,
                Filters=[{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in terms.items()],
            )
            products = [product for page in pages for product in page["PriceList"]]
        try:
            return [price for product in products for price in _prices(json.loads(product))]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RenderError(f"AWS's price list is not in the form that this client knows ({error}).") from None

    def _queue(self) -> Any:
        with self._told("the job queue"):
            found = self._batch.describe_job_queues(jobQueues=[self.config.job_queue])["jobQueues"]
        if not found:
            raise MissingError(f"AWS has no job queue {self.config.job_queue} (any more).")
        return found[0]

    def _environments(self) -> list[Any]:
        names = [each["computeEnvironment"] for each in self._queue()["computeEnvironmentOrder"]]
        with self._told("the compute environments"):
            found: list[Any] = self._batch.describe_compute_environments(computeEnvironments=names)[
                "computeEnvironments"
            ]
        return found

    def _jobs_of(self, run: str) -> list[Any]:
        """Describe a run's jobs, the latest first."""
        listed = self._listed(jobQueue=self.config.job_queue, filters=[{"name": "JOB_NAME", "values": [run]}])
        return self._described([job["jobId"] for job in sorted(listed, key=_created, reverse=True)])

    def _waiting_child(self, job_id: str) -> Any:
        """Describe the RUNNABLE child of an array that Batch gives a reason for, else its oldest; None without one."""
        page = self._batch.list_jobs(arrayJobId=job_id, jobStatus="RUNNABLE")["jobSummaryList"]
        if not page:
            return None
        head = min(page, key=lambda child: (not child.get("statusReason"), child["createdAt"]))
        return next(iter(self._described([head["jobId"]])), None)

    def _listed(self, **what: Any) -> Iterator[Any]:
        with self._told("the jobs"):
            for page in self._batch.get_paginator("list_jobs").paginate(**what):
                yield from page["jobSummaryList"]

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        with told(what, self._connection, self.config.stack_name):
            yield

    def _described(self, ids: list[str]) -> list[Any]:
        """Describe jobs in the order of their ids; those that Batch does not know are left out."""
        found: dict[str, Any] = {}
        for start in range(0, len(ids), _IDS_PER_CALL):
            answer = self._batch.describe_jobs(jobs=ids[start : start + _IDS_PER_CALL])
            found |= {job["jobId"]: job for job in answer["jobs"]}
        return [found[each] for each in ids if each in found]


def _part(name: str, found: Any) -> Part:
    return Part(name=name, state=found["state"], status=found.get("status", ""), reason=found.get("statusReason") or "")


def _minutes_since(then: datetime) -> int:
    return int((datetime.now(timezone.utc) - then).total_seconds() // 60)


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def _runnable_since(job: Any) -> datetime:
    """Give the latest time that Batch tells of before a job waited: when it was made, or its last attempt ended.

    An array's child is made when its parent has it ready.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html
    """
    return _moment(max(job["createdAt"], *(attempt.get("stoppedAt", 0) for attempt in job.get("attempts", [])), 0))


def _held(job: Any, chunk: int) -> list[Held]:
    attempts = [(each.get("startedAt"), each.get("stoppedAt")) for each in job.get("attempts", [])]
    if job["status"] == "RUNNING":  # the attempt that runs is not among the attempts yet
        attempts.append((job.get("startedAt"), None))
    return [
        Held(chunk=chunk, attempt=number, started=_moment(start), ended=_moment(end) if end else None)
        for number, (start, end) in enumerate(attempts, 1)
        if start and (end or job["status"] == "RUNNING")
    ]


@dataclass(frozen=True, kw_only=True)
class _Price:
    """A price of the price list, in dollars a unit, for the usage from `begins` on."""

    usage: str
    unit: str
    begins: str
    usd: float


def _prices(product: Any) -> Iterator[_Price]:
    """Give a product's prices in dollars; those of a region of another currency, as in China, are none."""
    usage = product["product"]["attributes"].get("usagetype", "")
    for term in product["terms"].get("OnDemand", {}).values():
        for each in term["priceDimensions"].values():
            if "USD" in each["pricePerUnit"]:
                usd = float(each["pricePerUnit"]["USD"])
                yield _Price(usage=usage, unit=each["unit"], begins=each.get("beginRange", ""), usd=usd)


def _at(price: Any) -> datetime:
    at: datetime = price["Timestamp"]
    return at


def _vcpus(instance: Any) -> int:
    options = instance.get("CpuOptions", {})
    return int(options.get("CoreCount", 0)) * int(options.get("ThreadsPerCore", 1))


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
