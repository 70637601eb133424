"""What empties the buckets when the stack is deleted: the CDK's own function, kept within the stack."""

from __future__ import annotations

from typing import cast

from aws_cdk import CfnResource, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from constructs import Construct

_PROVIDER = "Custom::S3AutoDeleteObjectsCustomResourceProvider"


def bound(scope: Construct) -> None:
    """Give the function that `auto_delete_objects` brings a log group of the stack, and no right but to write there.

    As the CDK makes it, it may write every log of the account, and makes a log group of its own that outlives the stack
    and never expires. Which buckets it may empty stands in their bucket policies.
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html
    """
    provider = Stack.of(scope).node.find_child(_PROVIDER)
    group = logs.LogGroup(
        scope, "EmptierLog", retention=logs.RetentionDays.ONE_WEEK, removal_policy=RemovalPolicy.DESTROY
    )
    function = cast("CfnResource", provider.node.find_child("Handler"))
    function.add_deletion_override("DependsOn")  # says again what its role's Fn::GetAtt says
    function.add_property_override("LoggingConfig", {"LogGroup": group.log_group_name})
    role = cast("CfnResource", provider.node.find_child("Role"))
    role.add_property_deletion_override("ManagedPolicyArns")
    role.add_property_override(
        "Policies",
        [
            {
                "PolicyName": "WriteLog",
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [
                        {
                            "Effect": "Allow",
                            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                            "Resource": group.log_group_arn,
                        }
                    ],
                },
            }
        ],
    )
