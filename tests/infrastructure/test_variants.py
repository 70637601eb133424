"""What holds for every farm that a user may choose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]

from tests.infrastructure.template import TAG, only, properties

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_cdk.assertions import Template

_VPC = "https://aws.amazon.com/vpc/pricing/"
_IAM = "https://aws.amazon.com/iam/faqs/"
_BATCH = "https://aws.amazon.com/batch/pricing/"
_LAMBDA = "https://aws.amazon.com/lambda/pricing/"
_S3 = "https://aws.amazon.com/s3/pricing/"
_SNS = "https://aws.amazon.com/sns/pricing/"

FREE_AT_REST = {
    "AWS::Batch::ComputeEnvironment": _BATCH,
    "AWS::Batch::JobDefinition": _BATCH,
    "AWS::Batch::JobQueue": _BATCH,
    "AWS::Budgets::Budget": "https://aws.amazon.com/aws-cost-management/aws-budgets/pricing/",
    "AWS::EC2::InternetGateway": _VPC,
    "AWS::EC2::LaunchTemplate": "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-launch-templates.html",
    "AWS::EC2::Route": _VPC,
    "AWS::EC2::RouteTable": _VPC,
    "AWS::EC2::SecurityGroup": _VPC,
    "AWS::EC2::Subnet": _VPC,
    "AWS::EC2::SubnetRouteTableAssociation": _VPC,
    "AWS::EC2::VPC": _VPC,
    # Gateways alone are free, which is checked below.
    "AWS::EC2::VPCEndpoint": "https://docs.aws.amazon.com/vpc/latest/privatelink/gateway-endpoints.html",
    "AWS::EC2::VPCGatewayAttachment": _VPC,
    # One rule on a schedule, and its calls of Lambda are within what is always free, which is checked below.
    "AWS::Events::Rule": "https://aws.amazon.com/eventbridge/pricing/",
    "AWS::IAM::InstanceProfile": _IAM,
    "AWS::IAM::Policy": _IAM,
    "AWS::IAM::Role": _IAM,
    "AWS::Lambda::EventInvokeConfig": _LAMBDA,
    "AWS::Lambda::Function": _LAMBDA,
    "AWS::Lambda::Permission": _LAMBDA,
    # Stored bytes only, within what is always free.
    "AWS::Logs::LogGroup": "https://aws.amazon.com/cloudwatch/pricing/",
    # Stored bytes only: docs/cost.md.
    "AWS::S3::Bucket": _S3,
    "AWS::S3::BucketPolicy": _S3,
    "AWS::SNS::Subscription": _SNS,
    "AWS::SNS::Topic": _SNS,
    "AWS::SNS::TopicPolicy": _SNS,
    # One call of the function that empties a bucket, when the stack is deleted.
    "Custom::S3AutoDeleteObjects": _LAMBDA,
}
"""Every type of resource that a farm may hold, with the page that says that it costs nothing by being there."""

UNTAGGABLE = {
    "AWS::EC2::Route",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::IAM::InstanceProfile",
    "AWS::IAM::Policy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "Custom::S3AutoDeleteObjects",
}
"""Types whose schema in CloudFormation has no tags, or which the CDK gives none.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/
"""

NAMES = {
    "AWS::Batch::ComputeEnvironment": "ComputeEnvironmentName",
    "AWS::Batch::JobQueue": "JobQueueName",
    "AWS::EC2::LaunchTemplate": "LaunchTemplateName",
    "AWS::EC2::SecurityGroup": "GroupName",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::InstanceProfile": "InstanceProfileName",
    "AWS::IAM::Role": "RoleName",
    "AWS::Lambda::Function": "FunctionName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
}
"""What would bar a second farm, or a replacement, were it set."""


def resources(template: Template) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = template.to_json()["Resources"]
    return found


def test_nothing_is_billed_while_idle(variant: Template) -> None:
    assert {resource["Type"] for resource in resources(variant).values()} <= set(FREE_AT_REST)
    (endpoint,) = properties(variant, "AWS::EC2::VPCEndpoint")
    assert endpoint["VpcEndpointType"] == "Gateway"
    for environment in properties(variant, "AWS::Batch::ComputeEnvironment"):
        assert environment["ComputeResources"]["MinvCpus"] == 0
        assert "DesiredvCpus" not in environment["ComputeResources"]
    for rule in properties(variant, "AWS::Events::Rule"):
        assert rule["ScheduleExpression"] == "rate(15 minutes)"
        assert "EventBusName" not in rule
    for function in properties(variant, "AWS::Lambda::Function"):
        assert not {"ProvisionedConcurrencyConfig", "SnapStart"} & set(function)
    for budget in properties(variant, "AWS::Budgets::Budget"):
        assert set(budget) == {"Budget", "NotificationsWithSubscribers", "ResourceTags"}


def test_a_month_of_the_guard_is_within_what_lambda_gives_every_account(farm: Template) -> None:
    function = farm.find_resources("AWS::Lambda::Function", {"Properties": {"Handler": "index.handler"}})
    (guard,) = [one["Properties"] for name, one in function.items() if name.startswith("Guard")]
    calls = 31 * 24 * 60 / 15
    assert calls < 1_000_000 / 100
    # Even if every call took until its time limit.
    assert calls * guard["Timeout"] * guard["MemorySize"] / 1024 < 400_000


def test_cfn_lint_finds_nothing(variant: Template) -> None:
    findings = lint(json.dumps(variant.to_json()), config=ManualArgs(regions=["us-east-1", "eu-central-1"]))
    assert [str(finding) for finding in findings] == []


def test_everything_bears_the_cost_tag(variant: Template) -> None:
    for name, one in resources(variant).items():
        tags = one["Properties"].get("Tags", one["Properties"].get("ResourceTags"))
        if one["Type"] in UNTAGGABLE or name.startswith("CustomS3AutoDeleteObjects"):
            continue  # the CDK's own function and role are tagged by CloudFormation, from the stack's tags
        if one["Type"] == "AWS::EC2::LaunchTemplate":
            (tags,) = [specification["Tags"] for specification in one["Properties"]["TagSpecifications"]]
        # Batch takes a map where the others take a list.
        assert tags is not None, one["Type"]
        assert TAG in tags if isinstance(tags, list) else tags == {TAG["Key"]: TAG["Value"]}, one["Type"]


def test_hosts_their_disks_and_jobs_bear_the_cost_tag(variant: Template) -> None:
    for environment in properties(variant, "AWS::Batch::ComputeEnvironment"):
        assert environment["ComputeResources"]["Tags"] == {TAG["Key"]: TAG["Value"]}
    hosts = only(variant, "AWS::EC2::LaunchTemplate")["LaunchTemplateData"]["TagSpecifications"]
    assert {one["ResourceType"] for one in hosts if TAG in one["Tags"]} == {"instance", "volume"}
    assert only(variant, "AWS::Batch::JobDefinition")["PropagateTags"] is True


def test_nothing_has_a_name_that_bars_a_second_farm_or_a_replacement(variant: Template) -> None:
    named = [
        (one["Type"], NAMES[one["Type"]])
        for one in resources(variant).values()
        if one["Type"] in NAMES and NAMES[one["Type"]] in one["Properties"]
    ]
    assert named == []
    for budget in properties(variant, "AWS::Budgets::Budget"):
        assert "BudgetName" not in budget["Budget"]


def test_two_farms_share_nothing_but_what_aws_shares(synthesize: Callable[..., Template]) -> None:
    one, other = (resources(synthesize(stack_name=name)) for name in ("Lighting", "Animation"))
    assert "Animation" not in json.dumps(one)
    assert "Lighting" not in json.dumps(other)
    definitions = [
        resource["Properties"]["JobDefinitionName"]
        for farm in (one, other)
        for resource in farm.values()
        if resource["Type"] == "AWS::Batch::JobDefinition"
    ]
    assert definitions == ["Lighting", "Animation"]


@pytest.mark.parametrize("page", sorted(set(FREE_AT_REST.values())))
def test_every_source_is_a_page_of_aws(page: str) -> None:
    assert page.startswith(("https://aws.amazon.com/", "https://docs.aws.amazon.com/"))
