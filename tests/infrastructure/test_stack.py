"""What a user gets when the farm is deployed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from render_worker.contract import CONTRACT_VERSION, ExitCode
from tests.infrastructure.template import actions, logical_id, only, properties, statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_cdk.assertions import Template


@pytest.fixture(params=["farm", "cpu_farm"])
def either_farm(request: pytest.FixtureRequest) -> Template:
    template: Template = request.getfixturevalue(request.param)
    return template


def test_nothing_comes_in(either_farm: Template) -> None:
    group = only(either_farm, "AWS::EC2::SecurityGroup")
    assert "SecurityGroupIngress" not in group
    either_farm.resource_count_is("AWS::EC2::SecurityGroupIngress", 0)


def test_hosts_reach_aws_without_a_nat(either_farm: Template) -> None:
    either_farm.resource_count_is("AWS::EC2::NatGateway", 0)
    subnets = either_farm.find_resources("AWS::EC2::Subnet")
    assert len(subnets) == 2
    assert all(subnet["Properties"]["MapPublicIpOnLaunch"] for subnet in subnets.values())
    compute = only(either_farm, "AWS::Batch::ComputeEnvironment")["ComputeResources"]
    assert compute["Subnets"] == [{"Ref": name} for name in subnets]
    routes = properties(either_farm, "AWS::EC2::Route")
    assert [route["DestinationCidrBlock"] for route in routes] == ["0.0.0.0/0", "0.0.0.0/0"]


def test_a_pinned_farm_takes_every_zone(synthesize: Callable[..., Template]) -> None:
    zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
    looked_up = {"availability-zones:account=123456789012:region=eu-central-1": zones}
    template = synthesize(account="123456789012", region="eu-central-1", **looked_up)
    assert [subnet["AvailabilityZone"] for subnet in properties(template, "AWS::EC2::Subnet")] == zones


def test_buckets_are_private_encrypted_and_go_with_the_stack(farm: Template) -> None:
    buckets = farm.find_resources("AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets.values():
        assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
        (encryption,) = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert bucket["DeletionPolicy"] == "Delete"


def test_both_buckets_are_emptied_with_the_stack(farm: Template) -> None:
    emptied = {one["BucketName"]["Ref"] for one in properties(farm, "Custom::S3AutoDeleteObjects")}
    assert emptied == set(farm.find_resources("AWS::S3::Bucket"))


def test_kept_results_outlive_the_stack(synthesize: Callable[..., Template]) -> None:
    template = synthesize(keep_results=True)
    buckets = template.find_resources("AWS::S3::Bucket")
    source, results = (logical_id(template, "AWS::S3::Bucket", f"Storage{name}") for name in ("Source", "Results"))
    assert [buckets[name]["DeletionPolicy"] for name in (source, results)] == ["Delete", "Retain"]
    assert buckets[results]["UpdateReplacePolicy"] == "Retain"
    assert only(template, "Custom::S3AutoDeleteObjects")["BucketName"] == {"Ref": source}


def test_what_empties_the_buckets_may_do_nothing_else(variant: Template) -> None:
    role = variant.find_resources("AWS::IAM::Role")[logical_id(variant, "AWS::IAM::Role", "CustomS3AutoDelete")]
    (policy,) = role["Properties"]["Policies"]
    assert actions(policy["PolicyDocument"]["Statement"]) == {"logs:CreateLogStream", "logs:PutLogEvents"}
    assert "ManagedPolicyArns" not in role["Properties"]


def test_buckets_speak_tls_only(farm: Template) -> None:
    policies = properties(farm, "AWS::S3::BucketPolicy")
    assert {policy["Bucket"]["Ref"] for policy in policies} == set(farm.find_resources("AWS::S3::Bucket"))
    for policy in policies:
        (statement,) = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Deny"]
        assert (statement["Effect"], statement["Action"], statement["Principal"]) == ("Deny", "s3:*", {"AWS": "*"})
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert len(statement["Resource"]) == 2


def test_uploads_that_never_finish_and_old_files_are_deleted(synthesize: Callable[..., Template]) -> None:
    template = synthesize(source_expiry_days=3, results_expiry_days="9")
    expiries = {}
    for name, bucket in template.find_resources("AWS::S3::Bucket").items():
        rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
        assert {"DaysAfterInitiation": 7} in [rule.get("AbortIncompleteMultipartUpload") for rule in rules]
        which = "source" if name.startswith("StorageSource") else "results"
        expiries[which] = {rule["Prefix"]: rule["ExpirationInDays"] for rule in rules if "Prefix" in rule}
    assert expiries == {"source": {"files/": 3, "runs/": 3}, "results": {"runs/": 9}}


def test_frames_are_kept_unless_asked(farm: Template) -> None:
    results = farm.find_resources("AWS::S3::Bucket")[logical_id(farm, "AWS::S3::Bucket", "StorageResults")]
    assert not any("ExpirationInDays" in rule for rule in results["Properties"]["LifecycleConfiguration"]["Rules"])


def test_a_gpu_farm_starts_hosts_with_one_gpu_and_their_driver(farm: Template) -> None:
    compute = only(farm, "AWS::Batch::ComputeEnvironment")["ComputeResources"]
    assert compute["Ec2Configuration"] == [{"ImageType": "ECS_AL2023_NVIDIA"}]
    sizes = [f"{family}.{size}" for family in ("g4dn", "g5", "g6", "g6e") for size in ("xlarge", "2xlarge")]
    assert compute["InstanceTypes"] == sizes
    assert compute["MaxvCpus"] == 64
    assert container(farm)["ResourceRequirements"] == [
        {"Type": "MEMORY", "Value": "14000"},
        {"Type": "VCPU", "Value": "4"},
        {"Type": "GPU", "Value": "1"},
    ]


def test_a_cpu_farm_asks_for_no_gpu(cpu_farm: Template) -> None:
    compute = only(cpu_farm, "AWS::Batch::ComputeEnvironment")["ComputeResources"]
    assert compute["Ec2Configuration"] == [{"ImageType": "ECS_AL2023"}]
    assert {name.partition(".")[0] for name in compute["InstanceTypes"]} == {"c6a", "c6i", "c7a", "c7i"}
    assert compute["MaxvCpus"] == 2
    assert container(cpu_farm)["ResourceRequirements"] == [
        {"Type": "MEMORY", "Value": "1750"},
        {"Type": "VCPU", "Value": "1"},
    ]
    assert {"Name": "RENDER_DEVICE", "Value": "cpu"} in container(cpu_farm)["Environment"]


def test_hosts_are_spot_and_chosen_by_price_and_capacity(farm: Template) -> None:
    compute = only(farm, "AWS::Batch::ComputeEnvironment")["ComputeResources"]
    assert compute["Type"] == "SPOT"
    assert compute["AllocationStrategy"] == "SPOT_PRICE_CAPACITY_OPTIMIZED"
    assert "BidPercentage" not in compute


def test_a_changed_launch_template_reaches_the_hosts(farm: Template) -> None:
    host = logical_id(farm, "AWS::EC2::LaunchTemplate", "Host")
    assert only(farm, "AWS::Batch::ComputeEnvironment")["ComputeResources"]["LaunchTemplate"] == {
        "LaunchTemplateId": {"Ref": host},
        "Version": {"Fn::GetAtt": [host, "LatestVersionNumber"]},
    }


def test_compute_is_updated_in_place_and_waits_for_running_chunks(farm: Template) -> None:
    environment = only(farm, "AWS::Batch::ComputeEnvironment")
    assert environment["ReplaceComputeEnvironment"] is False
    assert environment["UpdatePolicy"] == {"TerminateJobsOnUpdate": False, "JobExecutionTimeoutMinutes": 360}
    # Batch updates in place only under its service-linked role:
    # https://docs.aws.amazon.com/batch/latest/userguide/updating-compute-environments.html
    assert "ServiceRole" not in environment


def test_the_queue_cancels_jobs_that_no_host_can_run(farm: Template) -> None:
    queue = only(farm, "AWS::Batch::JobQueue")
    assert [order["Order"] for order in queue["ComputeEnvironmentOrder"]] == [1]
    assert queue["JobStateTimeLimitActions"] == [
        {"Action": "CANCEL", "State": "RUNNABLE", "MaxTimeSeconds": 600, "Reason": f"MISCONFIGURATION:{reason}"}
        for reason in ("COMPUTE_ENVIRONMENT_MAX_RESOURCE", "JOB_RESOURCE_REQUIREMENT")
    ]


def container(template: Template) -> dict[str, Any]:
    found: dict[str, Any] = only(template, "AWS::Batch::JobDefinition")["ContainerProperties"]
    return found


def test_the_container_knows_its_buckets_and_its_device(farm: Template) -> None:
    assert {one["Name"]: one["Value"] for one in container(farm)["Environment"]} == {
        "RENDER_SOURCE_BUCKET": {"Ref": logical_id(farm, "AWS::S3::Bucket", "StorageSource")},
        "RENDER_RESULTS_BUCKET": {"Ref": logical_id(farm, "AWS::S3::Bucket", "StorageResults")},
        "RENDER_DEVICE": "gpu",
        "RENDER_CACHE": "/var/cache/render",
    }
    assert container(farm)["Privileged"] is False


def test_the_log_goes_to_the_farms_own_group_and_expires(farm: Template) -> None:
    name = logical_id(farm, "AWS::Logs::LogGroup", "LogsGroup")
    assert container(farm)["LogConfiguration"] == {
        "LogDriver": "awslogs",
        "Options": {
            "awslogs-group": {"Ref": name},
            "awslogs-region": {"Ref": "AWS::Region"},
            "awslogs-stream-prefix": "render",
        },
    }
    farm.has_resource("AWS::Logs::LogGroup", {"Properties": {"RetentionInDays": 7}, "DeletionPolicy": "Delete"})


def test_a_job_is_submitted_by_the_farms_name_and_an_update_leaves_it_alone(farm: Template) -> None:
    definition = only(farm, "AWS::Batch::JobDefinition")
    assert definition["JobDefinitionName"] == "RenderFarm"
    assert definition["ResourceRetentionPolicy"] == {"SkipDeregisterOnUpdate": True}
    assert definition["Timeout"] == {"AttemptDurationSeconds": 360 * 60}
    assert definition["RetryStrategy"]["Attempts"] == 5


@pytest.mark.parametrize(
    ("status_reason", "reason", "exit_code", "action"),
    [
        ("Host EC2 (instance i-0abc) terminated.", "", "", "RETRY"),
        ("Task failed to start", "CannotPullContainerError: pull command failed", "", "RETRY"),
        ("Task failed to start", "DockerTimeoutError: Could not transition to created", "", "RETRY"),
        ("Task failed to start", "CannotStartContainerError: Error response from daemon", "", "RETRY"),
        ("Essential container in task exited", "", str(int(ExitCode.PASSING)), "RETRY"),
        ("Essential container in task exited", "", str(int(ExitCode.FAILED)), "EXIT"),
        ("Essential container in task exited", "", str(int(ExitCode.NO_GPU)), "EXIT"),
        ("Essential container in task exited", "", "7", "EXIT"),
        ("Essential container in task exited", "OutOfMemoryError: Container killed due to memory usage", "137", "EXIT"),
    ],
)
def test_only_what_another_attempt_can_mend_is_retried(
    farm: Template, status_reason: str, reason: str, exit_code: str, action: str
) -> None:
    rules = only(farm, "AWS::Batch::JobDefinition")["RetryStrategy"]["EvaluateOnExit"]
    assert len(rules) == 5
    observed = {"OnStatusReason": status_reason, "OnReason": reason, "OnExitCode": exit_code}
    first = next(
        rule["Action"]
        for rule in rules
        if all(fnmatchcase(value, rule[name]) for name, value in observed.items() if name in rule)
    )
    assert first == action


def test_the_worker_reads_packages_adds_results_and_nothing_else(either_farm: Template) -> None:
    source = logical_id(either_farm, "AWS::S3::Bucket", "StorageSource")
    results = logical_id(either_farm, "AWS::S3::Bucket", "StorageResults")

    def objects(bucket: str, keys: str) -> dict[str, Any]:
        return {"Fn::Join": ["", [{"Fn::GetAtt": [bucket, "Arn"]}, f"/{keys}"]]}

    found = statements(either_farm, "JobRole")
    assert [{**statement, "Sid": None} for statement in found] == [
        {
            "Sid": None,
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [objects(source, "files/*"), objects(source, "runs/*/manifest.json")],
        },
        {"Sid": None, "Effect": "Allow", "Action": "s3:PutObject", "Resource": objects(results, "runs/*")},
        {
            "Sid": None,
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": {"Fn::GetAtt": [results, "Arn"]},
            "Condition": {"StringLike": {"s3:prefix": "runs/*"}},
        },
    ]
    role = either_farm.find_resources("AWS::IAM::Role")[logical_id(either_farm, "AWS::IAM::Role", "JobRole")]
    assert not {"ManagedPolicyArns", "Policies"} & set(role["Properties"])


def test_what_starts_the_container_may_pull_its_image_and_write_its_log(farm: Template) -> None:
    found = statements(farm, "JobExecutionRole")
    assert actions(found) == {
        "ecr:BatchCheckLayerAvailability",
        "ecr:BatchGetImage",
        "ecr:GetAuthorizationToken",
        "ecr:GetDownloadUrlForLayer",
        "logs:CreateLogStream",
        "logs:PutLogEvents",
    }
    # An authorization token belongs to no repository.
    assert [one["Action"] for one in found if one["Resource"] == "*"] == ["ecr:GetAuthorizationToken"]


def test_blenders_source_can_be_pinned(synthesize: Callable[..., Template]) -> None:
    digest = "0" * 64
    template = synthesize(blender_sha256=digest, blender_mirror="https://mirror.example/blender")
    # The build's arguments are part of what names the image.
    assert container(template)["Image"] != container(synthesize())["Image"]
    assert container(template)["Image"] != container(synthesize(blender_sha256=digest))["Image"]


def test_a_ready_image_is_used_as_it_is(synthesize: Callable[..., Template]) -> None:
    template = synthesize(image="public.ecr.aws/studio/render-worker:5.0.1")
    assert container(template)["Image"] == "public.ecr.aws/studio/render-worker:5.0.1"


def test_a_ready_image_in_a_private_registry_can_be_pulled(synthesize: Callable[..., Template]) -> None:
    template = synthesize(image="123456789012.dkr.ecr.eu-central-1.amazonaws.com/studio/worker:5.0.1")
    assert "123456789012.dkr.ecr.eu-central-1." in str(container(template)["Image"])
    assert "/studio/worker:5.0.1" in str(container(template)["Image"])
    assert "ecr:eu-central-1:123456789012:repository/studio/worker" in str(statements(template, "JobExecutionRole"))


def test_the_client_finds_what_it_needs_in_the_outputs(farm: Template) -> None:
    outputs = farm.to_json()["Outputs"]
    assert list(outputs) == [
        "SourceBucket",
        "ResultsBucket",
        "JobQueue",
        "JobDefinition",
        "LogGroup",
        "Device",
        "BlenderVersion",
        "ContractVersion",
        "SourceExpiryDays",
        "JobVcpus",
        "MaxVcpus",
        "ComputeEnvironments",
        "GuardTopic",
        "JobsPage",
        "HostsPage",
        "ResultsPage",
        "LogPage",
        "CostPage",
    ]
    assert all(output["Description"] for output in outputs.values())
    values = {key: output["Value"] for key, output in outputs.items()}
    assert values["JobDefinition"] == "RenderFarm"
    assert values["ContractVersion"] == str(CONTRACT_VERSION)
    assert (values["Device"], values["BlenderVersion"], values["JobVcpus"], values["MaxVcpus"]) == (
        "gpu",
        "5.0.1",
        "4",
        "64",
    )
