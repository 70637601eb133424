"""The guard's function against an emulated account: which hosts it stops, which it leaves alone, and what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.sns.models import sns_backends

from render_farm.guard_function import LIVE, handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REGION = "eu-central-1"
IMAGE = "ami-12c6146b"  # moto's own
TAG, FARM = "render-farm", "RenderFarm"


@dataclass
class Account:
    """The emulated account, the hosts in it, and a queue that says what it holds."""

    topic: str
    pages: dict[str, list[list[dict[str, str]]]]

    def host(self, *, farm: str = FARM, minutes: int = 90, state: str = "running") -> str:
        """Start an instance of a farm that was launched so long ago."""
        tags: list[Any] = [{"Key": TAG, "Value": farm}, {"Key": "AWSBatchServiceTag", "Value": "batch"}]
        answer = boto3.client("ec2").run_instances(
            ImageId=IMAGE,
            MinCount=1,
            MaxCount=1,
            InstanceType="g5.xlarge",
            TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
        )
        name = answer["Instances"][0]["InstanceId"]
        self.age(name, minutes)
        ec2_backends[DEFAULT_ACCOUNT_ID][REGION].get_instance(name)._state.name = state
        return name

    def age(self, name: str, minutes: int) -> None:
        launched = datetime.now(timezone.utc) - timedelta(minutes=minutes)
        instance = ec2_backends[DEFAULT_ACCOUNT_ID][REGION].get_instance(name)
        instance.launch_time = launched.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def state(self, name: str) -> str:
        return str(ec2_backends[DEFAULT_ACCOUNT_ID][REGION].get_instance(name).state)

    def told(self) -> list[tuple[str, str]]:
        """Subject and text of what went to the topic."""
        sent = sns_backends[DEFAULT_ACCOUNT_ID][REGION].topics[self.topic].sent_notifications
        return [(subject, message) for _, message, subject, *_ in sent]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "emulated")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")  # half a second each time
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with mock_aws():
        topic = boto3.client("sns").create_topic(Name="guard")["TopicArn"]
        for name, value in {
            "FARM_TAG": TAG,
            "FARM": FARM,
            "JOB_QUEUE": "arn:aws:batch:eu-central-1:123456789012:job-queue/queue",
            "GUARD": "terminate",
            "GUARD_MINUTES": "60",
            "TOPIC": topic,
        }.items():
            monkeypatch.setenv(name, value)
        account = Account(topic=topic, pages={})
        _answer_list_jobs(monkeypatch, account)
        yield account


def _answer_list_jobs(monkeypatch: pytest.MonkeyPatch, account: Account) -> None:
    # moto runs jobs in Docker, and its ListJobs has no pages.
    emulated: Callable[..., Any] = BaseClient._make_api_call  # type: ignore[attr-defined]

    def call(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation != "ListJobs":
            return emulated(client, operation, arguments)
        pages = account.pages.get(arguments["jobStatus"], [[]])
        number = int(arguments.get("nextToken", "0"))
        following = {"nextToken": str(number + 1)} if number + 1 < len(pages) else {}
        return {"jobSummaryList": pages[number]} | following

    monkeypatch.setattr(BaseClient, "_make_api_call", call)


def look() -> dict[str, list[str]]:
    return handler({}, None)


def test_an_orphan_is_stopped_and_told_of(account: Account) -> None:
    orphan = account.host(minutes=95)
    assert look() == {"idle": [orphan], "stopped": [orphan]}
    assert account.state(orphan) == "terminated"
    ((subject, message),) = account.told()
    assert subject == "1 idle host(s), 1 stopped: RenderFarm"
    assert message.splitlines() == [
        "The farm RenderFarm has no job, yet these hosts were running:",
        "",
        f"  {orphan}  g5.xlarge  up for 95 minutes  stopped",
    ]


@pytest.mark.parametrize("status", LIVE)
def test_a_farm_with_a_live_job_keeps_its_hosts(account: Account, status: str) -> None:
    busy = account.host()
    account.pages[status] = [[{"jobId": "1", "jobName": "render"}]]
    assert look() == {"idle": [], "stopped": []}
    assert account.state(busy) == "running"
    assert account.told() == []


def test_a_live_job_on_a_later_page_counts(account: Account) -> None:
    busy = account.host()
    account.pages["PENDING"] = [[], [], [{"jobId": "1", "jobName": "render"}]]
    look()
    assert account.state(busy) == "running"


def test_jobs_that_have_ended_hold_no_host(account: Account) -> None:
    orphan = account.host()
    account.pages = {status: [[{"jobId": "1", "jobName": "render"}]] for status in ("SUCCEEDED", "FAILED")}
    assert look()["stopped"] == [orphan]


@pytest.mark.parametrize(
    "left_alone",
    [{"minutes": 30}, {"farm": "AnotherFarm"}, {"farm": "RenderFarm2"}, {"state": "pending"}],
    ids=["young", "another farm's", "of a farm named alike", "not yet up"],
)
def test_other_hosts_are_left_alone(account: Account, left_alone: dict[str, Any]) -> None:
    orphan, other = account.host(), account.host(**left_alone)
    assert look() == {"idle": [orphan], "stopped": [orphan]}
    assert account.state(other) == left_alone.get("state", "running")


def test_an_account_at_rest_hears_nothing(account: Account) -> None:
    assert look() == {"idle": [], "stopped": []}
    assert account.told() == []


def test_every_page_of_hosts_is_read(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    orphans = {account.host() for _ in range(7)}
    emulated: Callable[..., Any] = BaseClient._make_api_call  # type: ignore[attr-defined]

    def small_pages(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        more = {"MaxResults": 5} if operation == "DescribeInstances" else {}
        return emulated(client, operation, arguments | more)

    monkeypatch.setattr(BaseClient, "_make_api_call", small_pages)
    assert set(look()["stopped"]) == orphans


def test_it_only_tells_when_told_so(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD", "tell")
    orphan = account.host()
    assert look() == {"idle": [orphan], "stopped": []}
    assert account.state(orphan) == "running"
    ((subject, message),) = account.told()
    assert subject == "1 idle host(s), 0 stopped: RenderFarm"
    assert "STILL RUNNING, and billed" in message
    assert f"aws ec2 terminate-instances --region {REGION} --instance-ids {orphan}" in message


def test_a_host_that_cannot_be_stopped_is_told_of_and_keeps_no_other_running(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, orphan = account.host(), account.host()
    emulated: Callable[..., Any] = BaseClient._make_api_call  # type: ignore[attr-defined]

    def refuse(client: Any, operation: str, arguments: dict[str, Any]) -> Any:
        if operation == "TerminateInstances" and arguments["InstanceIds"] == [refused]:
            raise ClientError({"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}, operation)
        return emulated(client, operation, arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", refuse)
    assert look() == {"idle": [refused, orphan], "stopped": [orphan]}
    ((_, message),) = account.told()
    assert message.splitlines()[-1] == f"  aws ec2 terminate-instances --region {REGION} --instance-ids {refused}"


def test_the_group_of_a_stopped_host_starts_no_other(account: Account) -> None:
    ec2, scaling = boto3.client("ec2"), boto3.client("autoscaling")
    template = ec2.create_launch_template(
        LaunchTemplateName="batch", LaunchTemplateData={"ImageId": IMAGE, "InstanceType": "g5.xlarge"}
    )["LaunchTemplate"]
    group = "AWSBatch-Environment-asg-1"
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=group,
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "1"},
        MinSize=0,
        MaxSize=4,
        DesiredCapacity=2,
        AvailabilityZones=[f"{REGION}a"],
        Tags=[{"Key": TAG, "Value": FARM, "PropagateAtLaunch": True}],
    )
    instances = scaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["Instances"]
    old, young = (one["InstanceId"] for one in instances)
    account.age(old, 90)
    assert look()["stopped"] == [old]
    (left,) = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert left["DesiredCapacity"] == 1
    assert [one["InstanceId"] for one in left["Instances"]] == [young]


def test_its_answer_is_json_as_lambda_asks(account: Account) -> None:
    account.host()
    assert json.loads(json.dumps(look()))["stopped"]
