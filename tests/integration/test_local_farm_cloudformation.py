"""How the local farm's CloudFormation makes, changes and removes stacks, with templates of a few resources."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from local_farm.server import REGION, Server

STACK = "AWS::CloudFormation::Stack"
VPC = {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.0.0.0/16"}}
TRUST = {
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]
}
ANSWERING = """
const https = require("https");
exports.handler = (event) => new Promise((done) => {
  const status = event.ResourceProperties.Say === "no" ? "FAILED" : "SUCCESS";
  const body = JSON.stringify({
    Status: status, Reason: "it was told to fail", PhysicalResourceId: "thing", Data: { Heard: event.RequestType },
  });
  const { hostname, pathname } = new URL(event.ResponseURL);
  const headers = { "content-length": body.length };
  https.request({ hostname, path: pathname, method: "PUT", headers }, done).end(body);
});
"""


class Stacks:
    """An endpoint, and one stack after another."""

    def __init__(self, endpoint_url: str) -> None:
        self._endpoint_url = endpoint_url
        self.api = self.client("cloudformation")

    def client(self, service: str) -> Any:
        make: Callable[..., Any] = boto3.client
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
        return make(service, endpoint_url=self._endpoint_url, region_name=REGION, **keys)

    def bring(self, name: str, resources: dict[str, Any], *, update: bool = False, **outputs: Any) -> dict[str, str]:
        """Create or update the stack, and give its outputs and its status."""
        template = {"Resources": resources, "Outputs": {key: {"Value": value} for key, value in outputs.items()}}
        call = self.api.update_stack if update else self.api.create_stack
        call(StackName=name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
        (stack,) = self.api.describe_stacks(StackName=name)["Stacks"]
        found = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        return found | {"status": stack["StackStatus"]}

    def reason(self, name: str) -> str:
        """Give the newest reason why a resource failed."""
        events = self.api.describe_stack_events(StackName=name)["StackEvents"]
        return next(
            str(each["ResourceStatusReason"])
            for each in events
            if each["ResourceType"] != STACK and "FAILED" in each["ResourceStatus"]
        )


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stacks]:
    server = Server(folder=tmp_path_factory.mktemp("jobs"))
    server.start()
    yield Stacks(server.endpoint_url)
    server.stop()


@pytest.fixture(scope="module")
def function(stacks: Stacks) -> str:
    """The ARN of a function that answers as its resource's property `Say` asks."""
    role = stacks.client("iam").create_role(RoleName="asked", AssumeRolePolicyDocument=json.dumps(TRUST))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("index.js", ANSWERING)
    made = stacks.client("lambda").create_function(
        FunctionName="asked",
        Runtime="nodejs24.x",
        Handler="index.handler",
        Role=role["Role"]["Arn"],
        Code={"ZipFile": content.getvalue()},
    )
    return str(made["FunctionArn"])


def test_what_refers_to_a_changed_resource_changes_with_it(stacks: Stacks) -> None:
    def resources(disk_gib: int) -> dict[str, Any]:
        disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": disk_gib}}
        template = {"LaunchTemplateData": {"BlockDeviceMappings": [disk]}}
        told = {"Name": "told", "Type": "String", "Value": {"Fn::Sub": "version ${Host.LatestVersionNumber}"}}
        return {
            "Told": {"Type": "AWS::SSM::Parameter", "Properties": told},
            "Host": {"Type": "AWS::EC2::LaunchTemplate", "Properties": template},
        }

    def told() -> str:
        return str(stacks.client("ssm").get_parameter(Name="told")["Parameter"]["Value"])

    stacks.bring("referring", resources(10))
    assert told() == "version 1"
    stacks.bring("referring", resources(20), update=True)
    assert told() == "version 2"


def test_what_is_removed_goes_and_what_is_to_be_kept_stays(stacks: Stacks) -> None:
    logs = stacks.client("logs")

    def group(name: str, policy: str) -> dict[str, Any]:
        return {"Type": "AWS::Logs::LogGroup", "DeletionPolicy": policy, "Properties": {"LogGroupName": name}}

    stacks.bring("losing", {"Kept": group("kept", "Retain"), "Gone": group("gone", "Delete"), "Vpc": VPC})
    stacks.bring("losing", {"Vpc": VPC}, update=True)
    assert [
        each["logGroupName"]
        for each in logs.describe_log_groups()["logGroups"]
        if each["logGroupName"] in ("kept", "gone")
    ] == ["kept"]


def test_an_update_that_fails_says_which_resource_and_why(stacks: Stacks) -> None:
    stacks.bring("failing", {"Vpc": VPC})
    subnet = {"Type": "AWS::EC2::Subnet", "Properties": {"VpcId": "vpc-none", "CidrBlock": "10.0.0.0/24"}}
    assert stacks.bring("failing", {"Vpc": VPC, "Subnet": subnet}, update=True)["status"] == "UPDATE_FAILED"
    assert "vpc-none" in stacks.reason("failing")


def test_a_custom_resource_is_made_changed_and_removed_by_its_function(stacks: Stacks, function: str) -> None:
    def thing(say: str) -> dict[str, Any]:
        return {"Thing": {"Type": "Custom::Thing", "Properties": {"ServiceToken": function, "Say": say}}}

    heard = {"Fn::GetAtt": ["Thing", "Heard"]}
    assert stacks.bring("asking", thing("yes"), Heard=heard)["Heard"] == "Create"
    assert stacks.bring("asking", thing("please"), Heard=heard, update=True)["Heard"] == "Update"
    stacks.api.delete_stack(StackName="asking")
    assert "asking" not in {each["StackName"] for each in stacks.api.describe_stacks()["Stacks"]}


def test_a_function_that_fails_fails_its_stack(stacks: Stacks, function: str) -> None:
    thing = {"Type": "Custom::Thing", "Properties": {"ServiceToken": function, "Say": "no"}}
    assert stacks.bring("refusing", {"Thing": thing})["status"] == "CREATE_FAILED"
    assert "told to fail" in stacks.reason("refusing")


def test_change_sets_of_two_stacks_may_bear_one_name(stacks: Stacks) -> None:
    for name in ("first", "second"):
        template = json.dumps(
            {"Resources": {"Log": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": name}}}}
        )
        stacks.api.create_change_set(
            StackName=name, ChangeSetName="same", ChangeSetType="CREATE", TemplateBody=template
        )
    stacks.api.execute_change_set(StackName="first", ChangeSetName="same")
    stacks.api.delete_change_set(StackName="second", ChangeSetName="same")
    states = {each["StackName"]: each["StackStatus"] for each in stacks.api.describe_stacks()["Stacks"]}
    assert (states["first"], states["second"]) == ("CREATE_COMPLETE", "REVIEW_IN_PROGRESS")
    with pytest.raises(stacks.api.exceptions.ChangeSetNotFoundException):
        stacks.api.describe_change_set(StackName="second", ChangeSetName="same")
