"""`render configure`: which stacks it takes, and what it says of the Spot quota."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from client import cli, config
from client.connection import Connection
from client.errors import RenderError
from client.farm import read_stack

OUTPUTS = {
    "SourceBucket": "source",
    "ResultsBucket": "results",
    "JobQueue": "arn:aws:batch:eu-west-1:123456789012:job-queue/q",
    "JobDefinition": "Farm",
    "LogGroup": "log",
    "Device": "gpu",
    "BlenderVersion": "5.0.1",
    "ContractVersion": "1",
    "JobVcpus": "4",
    "MaxVcpus": "64",
    "SourceExpiryDays": "30",
}
STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/Farm/0a1b2c3d"


class Account:
    """An AWS account of which only the answers to `configure` are known."""

    def __init__(self, outputs: dict[str, str], status: str = "CREATE_COMPLETE") -> None:
        self.stack = {
            "StackName": "Farm",
            "StackId": STACK_ID,
            "StackStatus": status,
            "CreationTime": "2026-11-22T10:00:00Z",
            "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in outputs.items()],
        }
        self.quota: float | None = None

    def client(self, service: str) -> Any:
        client = boto3.client(
            service,  # type: ignore[call-overload]
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",  # noqa: S106 -- the stub takes any
        )
        stub = Stubber(client)
        if service == "cloudformation":
            stub.add_response("describe_stacks", {"Stacks": [self.stack]}, {"StackName": "Farm"})
        elif self.quota is None:
            stub.add_client_error("get_service_quota", "AccessDeniedException")
        else:
            wanted = {"ServiceCode": "ec2", "QuotaCode": "L-3819A6DF"}
            stub.add_response("get_service_quota", {"Quota": {"Value": self.quota}}, wanted)
        stub.activate()
        return client


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Account:
    made = Account(OUTPUTS)
    monkeypatch.setattr(Connection, "client", made.client)
    monkeypatch.setenv("RENDER_CONFIG", str(tmp_path / "config"))
    monkeypatch.setenv("RENDER_HOME", str(tmp_path / "rendering"))
    return made


def test_the_outputs_of_the_stack_become_the_configuration(account: Account) -> None:
    said = CliRunner().invoke(cli.app, ["configure", "--stackname", "Farm"])
    assert said.exit_code == 0
    farm = config.load()
    assert (farm.source_bucket, farm.job_vcpus, farm.region, farm.account) == ("source", 4, "eu-west-1", "123456789012")


@pytest.mark.parametrize(("quota", "warned"), [(0.0, True), (3.0, True), (4.0, False), (None, False)])
def test_a_spot_quota_below_one_job_is_told_before_an_hour_is_lost(
    account: Account, quota: float | None, warned: bool
) -> None:
    account.quota = quota
    said = CliRunner().invoke(cli.app, ["configure", "--stackname", "Farm"])
    assert said.exit_code == 0
    assert ("All G and VT Spot Instance Requests" in said.stderr) is warned
    assert config.load().stack_name == "Farm"


@pytest.mark.parametrize("missing", ["SourceBucket", "JobQueue", "JobVcpus"])
def test_a_stack_that_is_no_render_farm_is_refused(account: Account, missing: str) -> None:
    account.stack["Outputs"] = [each for each in account.stack["Outputs"] if each["OutputKey"] != missing]  # type: ignore[index]
    with pytest.raises(RenderError, match="is not a render farm"):
        read_stack("Farm", Connection())


@pytest.mark.parametrize("status", ["CREATE_IN_PROGRESS", "ROLLBACK_COMPLETE", "DELETE_FAILED", "CREATE_FAILED"])
def test_a_stack_that_is_not_complete_is_told_with_its_state(account: Account, status: str) -> None:
    account.stack["StackStatus"] = status
    with pytest.raises(RenderError, match=status):
        read_stack("Farm", Connection())


def test_a_farm_created_anew_under_its_name_has_replaced_the_old_one(account: Account) -> None:
    old = read_stack("Farm", Connection())
    config.save(old)
    account.stack["StackId"] = STACK_ID + "-anew"
    new = read_stack("Farm", Connection())
    config.save(new)
    assert config.replaced_by(old.tag, new)
    assert not config.replaced_by(new.tag, new)
    assert not config.replaced_by("ffffff", new), "a farm that was never configured here may still be there"
