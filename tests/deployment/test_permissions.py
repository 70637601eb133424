"""What the deployed roles may do, asked of the emulator while it enforces IAM policies.

moto 5.2.5 evaluates actions and resources, not conditions; it asks nobody for leave to delete several objects at once,
and the local farm's own answers about jobs (SubmitJob, ListJobs) do not pass through it. So the last tests here read
the policies as they were deployed: no role has an action but those that are listed, and the conditions are there.
That a role could be assumed by its service alone is not enforced either: these tests assume it while nothing is.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.deployment.account import Account

Call = Callable[["Role"], Any]


@dataclass
class Role:
    """A role of the farm, assumed, and the farm's outputs."""

    account: Account
    name: str
    credentials: dict[str, str]
    farm: dict[str, str]
    other_bucket: str = "another-project-of-the-artist"

    def client(self, service: str) -> Any:
        return self.account.client(service, **self.credentials)

    def statements(self) -> list[dict[str, Any]]:
        """Give what the role's policies say, as they are deployed."""
        iam = self.account.client("iam")
        # moto 5.2.5 loses the managed policies that a template attaches, so it is the template that has to have none.
        template = self.account.client("cloudformation").get_template(StackName="RenderFarm")["TemplateBody"]
        assert "ManagedPolicyArns" not in json.dumps(template)
        policies = [
            iam.get_role_policy(RoleName=self.name, PolicyName=policy)["PolicyDocument"]
            for policy in iam.list_role_policies(RoleName=self.name)["PolicyNames"]
        ]
        return [statement for policy in policies for statement in policy["Statement"]]

    def actions(self) -> set[str]:
        """Give every action that the role has."""
        listed = (statement["Action"] for statement in self.statements())
        return {action for each in listed for action in ([each] if isinstance(each, str) else each)}


def assume(account: Account, arn: str, farm: dict[str, str]) -> Role:
    given = account.client("sts").assume_role(RoleArn=arn, RoleSessionName="tests")["Credentials"]
    credentials = {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }
    return Role(account, arn.rpartition("/")[2], credentials, farm)


@contextmanager
def enforcing(account: Account) -> Iterator[None]:
    def start_after(calls: str) -> None:
        request = urllib.request.Request(  # noqa: S310 -- the emulator's own address
            f"{account.endpoint_url}/moto-api/reset-auth",
            data=calls.encode(),
            headers={"Content-Type": "text/plain"},
            method="POST",
        )
        urllib.request.urlopen(request).close()  # noqa: S310

    start_after("0")
    try:
        yield
    finally:
        start_after("inf")


@pytest.fixture(scope="module")
def worker(account: Account, farm: dict[str, str]) -> Role:
    """The role of the job's container."""
    (definition, *_) = account.client("batch").describe_job_definitions(jobDefinitionName=farm["JobDefinition"])[
        "jobDefinitions"
    ]
    role = assume(account, definition["containerProperties"]["jobRoleArn"], farm)
    s3 = account.client("s3")
    s3.create_bucket(Bucket=role.other_bucket)
    for bucket in (farm["SourceBucket"], farm["ResultsBucket"], role.other_bucket):
        for key in ("files/digest", "runs/run/manifest.json", "runs/run/frames/0001.png", "notes.txt"):
            s3.put_object(Bucket=bucket, Key=key, Body=b"content")
    return role


@pytest.fixture(scope="module")
def guard(account: Account, farm: dict[str, str]) -> Role:
    """The role of the guard's function."""
    (function,) = [
        each for each in account.client("lambda").list_functions()["Functions"] if "Guard" in each["FunctionName"]
    ]
    return assume(account, function["Role"], farm)


def get(bucket: str, key: str) -> Call:
    return lambda role: role.client("s3").get_object(Bucket=role.farm.get(bucket, role.other_bucket), Key=key)


def put(bucket: str, key: str) -> Call:
    return lambda role: role.client("s3").put_object(
        Bucket=role.farm.get(bucket, role.other_bucket), Key=key, Body=b"content"
    )


def delete(bucket: str, key: str) -> Call:
    return lambda role: role.client("s3").delete_object(Bucket=role.farm.get(bucket, role.other_bucket), Key=key)


def list_objects(bucket: str, prefix: str = "") -> Call:
    return lambda role: role.client("s3").list_objects_v2(
        Bucket=role.farm.get(bucket, role.other_bucket), Prefix=prefix
    )


def call(service: str, operation: str, **arguments: Any) -> Call:
    return lambda role: getattr(role.client(service), operation)(**arguments)


@pytest.mark.parametrize(
    "allowed",
    [
        pytest.param(get("SourceBucket", "files/digest"), id="read a file of a package"),
        pytest.param(get("SourceBucket", "runs/run/manifest.json"), id="read a manifest"),
        pytest.param(put("ResultsBucket", "runs/run/frames/0002.png"), id="write a frame"),
        pytest.param(put("ResultsBucket", "runs/run/reports/0-1.json"), id="write a report"),
        pytest.param(list_objects("ResultsBucket", "runs/run/frames/"), id="see which frames of a run are there"),
    ],
)
def test_a_job_may(allowed: Call, account: Account, worker: Role) -> None:
    with enforcing(account):
        allowed(worker)


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(get("SourceBucket", "notes.txt"), id="read another object of the source bucket"),
        pytest.param(get("ResultsBucket", "runs/run/frames/0001.png"), id="read a frame"),
        pytest.param(get("another", "files/digest"), id="read another bucket"),
        pytest.param(put("SourceBucket", "files/digest"), id="change a file of a package"),
        pytest.param(put("SourceBucket", "runs/run/manifest.json"), id="change a manifest"),
        pytest.param(put("ResultsBucket", "notes.txt"), id="write beside the runs"),
        pytest.param(put("another", "runs/run/frames/0001.png"), id="write to another bucket"),
        pytest.param(delete("SourceBucket", "files/digest"), id="delete a file of a package"),
        pytest.param(delete("ResultsBucket", "runs/run/frames/0001.png"), id="delete a frame"),
        pytest.param(delete("another", "notes.txt"), id="delete from another bucket"),
        pytest.param(list_objects("SourceBucket"), id="list the source bucket"),
        pytest.param(list_objects("another"), id="list another bucket"),
        pytest.param(call("s3", "list_buckets"), id="list the buckets"),
        pytest.param(call("s3", "create_bucket", Bucket="mine"), id="make a bucket"),
        pytest.param(call("ec2", "describe_instances"), id="see the hosts"),
        pytest.param(call("ec2", "terminate_instances", InstanceIds=["i-1234567890abcdef0"]), id="stop a host"),
        pytest.param(
            call("ec2", "run_instances", ImageId="ami-12345678", MinCount=1, MaxCount=1), id="start a host of its own"
        ),
        pytest.param(call("iam", "list_roles"), id="list the roles"),
        pytest.param(call("iam", "create_user", UserName="intruder"), id="make a user"),
        pytest.param(call("batch", "describe_job_queues"), id="see the queue"),
        pytest.param(
            call("batch", "register_job_definition", jobDefinitionName="mine", type="container"), id="define a job"
        ),
        pytest.param(call("logs", "describe_log_groups"), id="list the logs"),
        pytest.param(call("cloudformation", "delete_stack", StackName="RenderFarm"), id="destroy the farm"),
        pytest.param(call("ssm", "describe_parameters"), id="list the parameters"),
        pytest.param(call("sns", "list_topics"), id="list the topics"),
    ],
)
def test_a_job_may_not(refused: Call, account: Account, worker: Role) -> None:
    with enforcing(account), pytest.raises(ClientError, match="AccessDenied"):
        refused(worker)


def test_a_job_may_not_take_another_role(account: Account, worker: Role) -> None:
    for role in account.client("iam").list_roles()["Roles"]:
        take = call("sts", "assume_role", RoleArn=role["Arn"], RoleSessionName="tests")
        with enforcing(account), pytest.raises(ClientError, match="AccessDenied"):
            take(worker)


def test_a_job_has_three_actions_and_no_other(worker: Role) -> None:
    """What the emulator cannot ask of IAM, SubmitJob and DeleteObjects among it, is none of them."""
    assert worker.actions() == {"s3:GetObject", "s3:PutObject", "s3:ListBucket"}


def test_a_job_may_list_the_results_of_runs_alone(worker: Role) -> None:
    """The emulator does not evaluate the condition, so it is read where it was deployed."""
    (statement,) = [each for each in worker.statements() if each["Action"] == "s3:ListBucket"]
    assert statement["Condition"] == {"StringLike": {"s3:prefix": "runs/*"}}


@pytest.mark.parametrize(
    "refused",
    [
        pytest.param(call("ec2", "stop_instances", InstanceIds=["i-1234567890abcdef0"]), id="pause a host"),
        pytest.param(call("ec2", "describe_vpcs"), id="see the network"),
        pytest.param(call("s3", "list_buckets"), id="list the buckets"),
        pytest.param(get("ResultsBucket", "runs/run/frames/0001.png"), id="read a frame"),
        pytest.param(delete("ResultsBucket", "runs/run/frames/0001.png"), id="delete a frame"),
        pytest.param(call("iam", "list_roles"), id="list the roles"),
        pytest.param(call("batch", "describe_job_queues"), id="see the queue's settings"),
        pytest.param(call("sns", "list_topics"), id="list the topics"),
    ],
)
def test_the_guard_may_not(refused: Call, account: Account, guard: Role) -> None:
    with enforcing(account), pytest.raises(ClientError, match="AccessDenied"):
        refused(guard)


def test_the_guard_may_see_the_hosts(account: Account, guard: Role) -> None:
    with enforcing(account):
        guard.client("ec2").describe_instances()


def test_the_guard_may_stop_hosts_with_its_own_farm_s_tag_alone(guard: Role) -> None:
    """The emulator does not evaluate the condition, so it is read where it was deployed."""
    (statement,) = [each for each in guard.statements() if each["Action"] == "ec2:TerminateInstances"]
    assert statement["Condition"] == {"StringEquals": {"aws:ResourceTag/render-farm": "RenderFarm"}}
