"""The guard's function: finds hosts that run on while their farm has no job, stops them, and writes to a topic.

It runs in AWS Lambda with that runtime's own boto3, and this file's text is all that is handed over, so it imports
nothing of this project. https://docs.aws.amazon.com/lambda/latest/dg/lambda-python.html
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_batch.literals import JobStatusType

LIVE: tuple[JobStatusType, ...] = ("RUNNING", "STARTING", "RUNNABLE", "PENDING", "SUBMITTED")
"""Job statuses that may need a host, now or later.

https://docs.aws.amazon.com/batch/latest/userguide/job_states.html
"""

GROUP_TAG = "aws:autoscaling:groupName"
"""Names the Auto Scaling group that started a host, as Batch's do.

https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html
"""


@dataclass(frozen=True)
class Host:
    """A running instance of the farm; `group` is empty when no Auto Scaling group started it."""

    id: str
    size: str
    minutes: int
    group: str


def handler(_event: object, _context: object) -> dict[str, list[str]]:
    """Look once, and give the ids of the hosts that were found idle and of those that were stopped."""
    hosts = old_hosts(
        tag=os.environ["FARM_TAG"],
        farm=os.environ["FARM"],
        older_than=timedelta(minutes=int(os.environ["GUARD_MINUTES"])),
    )
    # The queue is read last: a job that arrives after this is started again by its retry rules.
    if not hosts or has_live_job(os.environ["JOB_QUEUE"]):
        return {"idle": [], "stopped": []}
    stopped = [host for host in hosts if stop(host)] if os.environ["GUARD"] == "terminate" else []
    tell(os.environ["TOPIC"], os.environ["FARM"], hosts, stopped)
    return {"idle": [host.id for host in hosts], "stopped": [host.id for host in stopped]}


def old_hosts(*, tag: str, farm: str, older_than: timedelta) -> list[Host]:
    """Find the farm's running instances that were launched longer ago than this; one that is still pending is not."""
    now = datetime.now(timezone.utc)
    pages = (
        boto3.client("ec2")
        .get_paginator("describe_instances")
        .paginate(
            Filters=[
                {"Name": f"tag:{tag}", "Values": [farm]},
                {"Name": "instance-state-name", "Values": ["running"]},
            ]
        )
    )
    return [
        Host(
            id=instance["InstanceId"],
            size=instance["InstanceType"],
            minutes=int((now - instance["LaunchTime"]).total_seconds() // 60),
            group=next((one["Value"] for one in instance["Tags"] if one["Key"] == GROUP_TAG), ""),
        )
        for page in pages
        for reservation in page["Reservations"]
        for instance in reservation["Instances"]
        if now - instance["LaunchTime"] > older_than
    ]


def has_live_job(queue: str) -> bool:
    """Whether any job of the queue waits or runs; a page may be empty and yet have a next one."""
    pages = boto3.client("batch").get_paginator("list_jobs")
    return any(page["jobSummaryList"] for status in LIVE for page in pages.paginate(jobQueue=queue, jobStatus=status))


def stop(host: Host) -> bool:
    """Terminate a host, and make its group smaller by one, which else would start another; whether it worked."""
    try:
        if host.group and _leave_group(host):
            return True
        boto3.client("ec2").terminate_instances(InstanceIds=[host.id])
    except ClientError as error:
        print(f"{host.id} could not be stopped: {error}")
        return False
    return True


def _leave_group(host: Host) -> bool:
    try:
        boto3.client("autoscaling").terminate_instance_in_auto_scaling_group(
            InstanceId=host.id, ShouldDecrementDesiredCapacity=True
        )
    except ClientError as error:
        print(f"{host.id} could not leave {host.group}: {error}")
        return False
    return True


def tell(topic: str, farm: str, hosts: list[Host], stopped: list[Host]) -> None:
    """Write to the topic, one line for each host; SNS takes 100 characters of subject."""
    lines = [f"The farm {farm} has no job, yet these hosts were running:", ""]
    for host in hosts:
        done = "stopped" if host in stopped else "STILL RUNNING, and billed"
        lines.append(f"  {host.id}  {host.size}  up for {host.minutes} minutes  {done}")
    if len(stopped) < len(hosts):
        region = topic.split(":")[3]
        ids = " ".join(host.id for host in hosts if host not in stopped)
        lines += ["", "To stop them:", "", f"  aws ec2 terminate-instances --region {region} --instance-ids {ids}"]
    message: dict[str, Any] = {
        "Subject": f"{len(hosts)} idle host(s), {len(stopped)} stopped: {farm}"[:100],
        "Message": "\n".join(lines),
    }
    print(message["Message"])
    boto3.client("sns").publish(TopicArn=topic, **message)
