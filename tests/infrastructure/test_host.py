"""What a host is, and what a job can reach of it."""

from __future__ import annotations

import email
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from render_farm.host_template import CLOSE_METADATA, DESCRIBE_HOST, HOST_CACHE, WORKER_UID
from render_worker import contract
from render_worker.contract import Host
from tests.infrastructure.template import actions, logical_id, only, properties, statements

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aws_cdk.assertions import Template


def test_hosts_hide_their_credentials_and_encrypt_their_disk(synthesize: Callable[..., Template]) -> None:
    template = synthesize(disk_gib=200, bid_percentage=60)
    data = only(template, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]
    assert data["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "HttpProtocolIpv6": "disabled",
    }
    assert data["BlockDeviceMappings"] == [
        {"DeviceName": "/dev/xvda", "Ebs": {"Encrypted": True, "VolumeSize": 200, "VolumeType": "gp3"}}
    ]
    assert only(template, "AWS::Batch::ComputeEnvironment")["ComputeResources"]["BidPercentage"] == 60


def test_on_every_boot_a_host_closes_its_metadata_to_all_but_root(farm: Template) -> None:
    user_data = only(farm, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    archive = email.message_from_string(user_data)
    # What Batch asks for: https://docs.aws.amazon.com/batch/latest/userguide/launch-templates.html
    assert archive.get_content_type() == "multipart/mixed"
    _, part = archive.walk()
    assert part.get_content_type() == "text/cloud-boothook"
    assert str(part.get_payload()).split("\n")[:2] == ["#!/bin/bash", CLOSE_METADATA]


def test_a_job_is_not_root_whatever_its_image_says(variant: Template) -> None:
    container = only(variant, "AWS::Batch::JobDefinition")["ContainerProperties"]
    assert container["User"] == "10001:10001"
    assert container["Privileged"] is False


def test_of_its_host_a_job_sees_the_folder_of_shared_files_alone(variant: Template) -> None:
    container = only(variant, "AWS::Batch::JobDefinition")["ContainerProperties"]
    assert container["Volumes"] == [{"Name": "files", "Host": {"SourcePath": "/var/cache/render"}}]
    assert [(mount["SourceVolume"], mount["ContainerPath"]) for mount in container["MountPoints"]] == [
        ("files", "/var/cache/render")
    ]
    assert {"Name": "RENDER_CACHE", "Value": "/var/cache/render"} in container["Environment"]


def test_a_host_says_what_it_is_where_the_worker_reads_it(tmp_path: Path) -> None:
    script = DESCRIBE_HOST.replace(HOST_CACHE, str(tmp_path / "cache")).replace(f" --owner {WORKER_UID}", "")
    metadata = {"api/token": "t", "instance-id": "i-0a", "instance-type": "g5.xlarge"}
    metadata |= {"availability-zone": "eu-west-1b", "life-cycle": "spot"}
    cases = "\n".join(f"*{ending}) echo {answer};;" for ending, answer in metadata.items())
    curl = f'curl() {{ case "${{@: -1}}" in {cases}\n esac; }}\n'
    subprocess.run(["bash", "-c", curl + script.replace(f" --group {WORKER_UID}", "")], check=True)
    said = Host.from_json(json.loads((tmp_path / "cache" / contract.HOST_FILE).read_text()))
    assert said == Host(
        instance_id="i-0a", instance_type="g5.xlarge", availability_zone="eu-west-1b", life_cycle="spot"
    )


def test_a_host_may_serve_its_own_cluster_and_nothing_else(variant: Template) -> None:
    found = statements(variant, "HostRole")
    assert {action for action in actions(found) if not action.startswith("ecr:")} == {
        "ecs:DeregisterContainerInstance",
        "ecs:DiscoverPollEndpoint",
        "ecs:Poll",
        "ecs:RegisterContainerInstance",
        "ecs:StartTelemetrySession",
        "ecs:SubmitAttachmentStateChanges",
        "ecs:SubmitContainerStateChange",
        "ecs:SubmitTaskStateChange",
        "ecs:TagResource",
        "ecs:UpdateContainerInstancesState",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    unbound = {action for one in found if one["Resource"] == "*" for action in actions([one])}
    assert unbound <= {"ecs:DiscoverPollEndpoint", "ecr:GetAuthorizationToken"}
    role = variant.find_resources("AWS::IAM::Role")[logical_id(variant, "AWS::IAM::Role", "HostRole")]
    assert not {"ManagedPolicyArns", "Policies"} & set(role["Properties"])
    for environment in variant.find_resources("AWS::Batch::ComputeEnvironment"):
        # The name, for Ref gives the ARN.
        name = {"Fn::Select": [1, {"Fn::Split": ["/", {"Fn::GetAtt": [environment, "ComputeEnvironmentArn"]}]}]}
        for sid in ("ServeTheCluster", "HearOfTasks"):
            (statement,) = [one for one in found if one.get("Sid") == sid]
            assert f':cluster/AWSBatch-", {json.dumps(name)}, "-*"' in json.dumps(statement)


def test_every_environment_starts_the_same_hosts(synthesize: Callable[..., Template]) -> None:
    template = synthesize(on_demand_fallback=True)
    spot, on_demand = (one["ComputeResources"] for one in properties(template, "AWS::Batch::ComputeEnvironment"))
    differing = {key for key in spot.keys() | on_demand.keys() if spot.get(key) != on_demand.get(key)}
    assert differing == {"AllocationStrategy", "InstanceRole", "Type"}
    host = [{"Ref": logical_id(template, "AWS::IAM::Role", "HostRole")}]
    assert [one["Roles"] for one in properties(template, "AWS::IAM::InstanceProfile")] == [host, host]


@pytest.mark.parametrize("fallback", [False, True])
def test_on_demand_comes_after_spot_and_only_when_asked(synthesize: Callable[..., Template], *, fallback: bool) -> None:
    template = synthesize(on_demand_fallback=fallback, max_vcpus=32)
    environments = template.find_resources("AWS::Batch::ComputeEnvironment")
    order: list[dict[str, Any]] = only(template, "AWS::Batch::JobQueue")["ComputeEnvironmentOrder"]
    kinds = []
    for one in sorted(order, key=lambda one: int(one["Order"])):
        compute = environments[one["ComputeEnvironment"]["Fn::GetAtt"][0]]["Properties"]["ComputeResources"]
        kinds.append((compute["Type"], compute["AllocationStrategy"], compute["MaxvCpus"]))
    spot, on_demand = ("SPOT", "SPOT_PRICE_CAPACITY_OPTIMIZED", 32), ("EC2", "BEST_FIT_PROGRESSIVE", 32)
    assert kinds == ([spot, on_demand] if fallback else [spot])
    assert template.to_json()["Outputs"]["MaxVcpus"]["Value"] == ("64" if fallback else "32")
