"""What every host starts with: its disk, its role, and a closed way to its own metadata for what jobs run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Aws, Fn, Stack, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from constructs import Construct

from render_worker import contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aws_cdk import aws_batch as batch

    from render_farm.image import Image
    from render_farm.logs import Logs

ROOT_DEVICE = "/dev/xvda"
"""The disk of the ECS images of Amazon Linux 2023, where Docker keeps images and containers too.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs-optimized_AMI.html
"""

WORKER_UID = 10001
"""User and group that the worker runs as, whatever its image says: not root, to whom the host's metadata is open."""

HOST_CACHE = "/var/cache/render"
"""Folder of a host, and in each container on it, for input files that chunks share; it goes with the host."""

CLOSE_METADATA = (
    "iptables --wait --insert OUTPUT --destination 169.254.169.254"
    " --match owner --uid-owner 1-4294967294 --jump REJECT --reject-with icmp-port-unreachable"
)
"""Refuses the host's metadata, and with it the host's credentials, to every process that is not root's.

Batch gives a job the host's own network, where neither the hop limit nor a setting of the ECS agent keeps a container
from the metadata, for the agent stands in that network too and needs them. Their users tell them apart: the agent is
root, and the job definition makes the worker another. The job's own credentials come from 169.254.170.2, which stays
open.
https://docs.aws.amazon.com/batch/latest/userguide/networking-modes-jobs.html
https://repost.aws/knowledge-center/ecs-container-ec2-metadata
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
"""

DESCRIBE_HOST = f"""\
install --directory --owner {WORKER_UID} --group {WORKER_UID} --mode 0755 {HOST_CACHE}
metadata=http://169.254.169.254/latest
token=$(curl --silent --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' $metadata/api/token)
ask() {{ curl --silent --fail --header "X-aws-ec2-metadata-token: $token" $metadata/meta-data/$1; }}
printf '{{"instance_id": "%s", "instance_type": "%s", "availability_zone": "%s", "life_cycle": "%s"}}' \\
    "$(ask instance-id)" "$(ask instance-type)" "$(ask placement/availability-zone)" "$(ask instance-life-cycle)" \\
    > {HOST_CACHE}/{contract.HOST_FILE}
"""
"""Makes the folder that chunks share and writes into it what the host is, since a job cannot ask for that itself.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html
"""


class HostTemplate(Construct):
    """The launch template of the farm's hosts and the role that they bear.

    docs/security.md says what a job can still reach of its host, and what of this is not yet proved on AWS.
    """

    def __init__(self, scope: Construct, construct_id: str, *, disk_gib: int, image: Image, logs: Logs) -> None:
        super().__init__(scope, construct_id)
        # A boothook runs on every boot and before Docker, and Batch merges only MIME multi-part archives with its own:
        # https://docs.aws.amazon.com/batch/latest/userguide/launch-templates.html
        user_data = ec2.MultipartUserData(parts_separator="==HOST==")
        user_data.add_part(
            ec2.MultipartBody.from_raw_body(
                content_type='text/cloud-boothook; charset="us-ascii"',
                body=f"#!/bin/bash\n{CLOSE_METADATA}\n{DESCRIBE_HOST}",
            )
        )
        self.template = ec2.LaunchTemplate(
            self,
            "Template",
            require_imdsv2=True,
            http_put_response_hop_limit=1,
            http_protocol_ipv6=False,
            user_data=user_data,
            block_devices=[
                ec2.BlockDevice(
                    device_name=ROOT_DEVICE,
                    volume=ec2.BlockDeviceVolume.ebs(disk_gib, volume_type=ec2.EbsDeviceVolumeType.GP3, encrypted=True),
                )
            ],
        )
        Tags.of(self.template).add("Name", f"{Stack.of(self).stack_name} render host")
        self.role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"),
            description="What a host of the farm may do: register with its own cluster, pull the image, write the log",
        )
        # On EC2 it is the host that pulls and logs; whether the job's execution role takes over is up to its agent:
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security-ecs-iam-role-overview.html
        image.grant_pull(self.role)
        logs.group.grant_write(self.role)

    def join(self, environments: Sequence[batch.ManagedEc2EcsComputeEnvironment]) -> None:
        """Let the hosts' ECS agent serve the clusters that Batch makes for these environments, and no other.

        The actions are those of AmazonEC2ContainerServiceforEC2Role that an agent calls in a cluster that exists; Batch
        names it `AWSBatch-<environment>-<random>`.
        https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonEC2ContainerServiceforEC2Role.html
        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerservice.html
        """
        stack = Stack.of(self)
        names = [f"AWSBatch-{environment_name(environment)}-*" for environment in environments]
        clusters = [stack.format_arn(service="ecs", resource="cluster", resource_name=one) for one in names]
        instances = [
            stack.format_arn(service="ecs", resource="container-instance", resource_name=f"{one}/*") for one in names
        ]
        iam.Policy(
            self,
            "Agent",
            roles=[self.role],
            statements=[
                iam.PolicyStatement(
                    sid="FindTheService",
                    actions=["ecs:DiscoverPollEndpoint"],
                    resources=["*"],
                    conditions={"StringEquals": {"aws:RequestedRegion": Aws.REGION}},
                ),
                iam.PolicyStatement(
                    sid="ServeTheCluster",
                    actions=[
                        "ecs:RegisterContainerInstance",
                        "ecs:DeregisterContainerInstance",
                        "ecs:SubmitAttachmentStateChanges",
                        "ecs:SubmitContainerStateChange",
                        "ecs:SubmitTaskStateChange",
                    ],
                    resources=clusters,
                ),
                iam.PolicyStatement(
                    sid="HearOfTasks",
                    actions=["ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState"],
                    resources=[stack.format_arn(service="ecs", resource="container-instance", resource_name="*")],
                    conditions={"ArnLike": {"ecs:cluster": clusters}},
                ),
                iam.PolicyStatement(
                    sid="TagItselfAsItRegisters",
                    actions=["ecs:TagResource"],
                    resources=[*clusters, *instances],
                    conditions={"StringEquals": {"ecs:CreateAction": "RegisterContainerInstance"}},
                ),
            ],
        )


def environment_name(environment: batch.ManagedEc2EcsComputeEnvironment) -> str:
    """Give the name that CloudFormation made for an environment; the CDK's own attribute for it holds the ARN.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-batch-computeenvironment.html
    """
    return Fn.select(1, Fn.split("/", environment.compute_environment_arn))
