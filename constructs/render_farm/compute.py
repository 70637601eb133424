"""The hosts: EC2 instances that AWS Batch starts while there are jobs and stops when there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aws_cdk import Duration
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

if TYPE_CHECKING:
    from render_farm.host_template import HostTemplate
    from render_farm.network import Network
    from render_farm.settings import Settings

MOST_UPDATE_MINUTES = 360
"""Longest time that an update waits for running jobs.

https://docs.aws.amazon.com/batch/latest/APIReference/API_UpdatePolicy.html
"""


class Compute(Construct):
    """Managed compute environments from 0 to `settings.max_vcpus` each, without names, so that they can be replaced.

    `environments` holds the Spot environment and, with `settings.on_demand_fallback`, an On-Demand one after it. Batch
    picks, among the sizes of the settings, the Spot pools that are cheap and unlikely to be taken away, and On-Demand
    the sizes that fit best.
    https://docs.aws.amazon.com/batch/latest/userguide/allocation-strategies.html
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, network: Network, host: HostTemplate, settings: Settings
    ) -> None:
        super().__init__(scope, construct_id)
        self.environments = [self._environment("Environment", network=network, host=host, settings=settings, spot=True)]
        if settings.on_demand_fallback:
            self.environments.append(
                self._environment("OnDemand", network=network, host=host, settings=settings, spot=False)
            )
        host.join(self.environments)

    def _environment(
        self, construct_id: str, *, network: Network, host: HostTemplate, settings: Settings, spot: bool
    ) -> batch.ManagedEc2EcsComputeEnvironment:
        image_type = batch.EcsMachineImageType
        strategy = batch.AllocationStrategy
        environment = batch.ManagedEc2EcsComputeEnvironment(
            self,
            construct_id,
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PUBLIC),
            security_groups=[network.security_group],
            spot=spot,
            spot_bid_percentage=settings.bid_percentage if spot and settings.bid_percentage < 100 else None,  # noqa: PLR2004
            allocation_strategy=strategy.SPOT_PRICE_CAPACITY_OPTIMIZED if spot else strategy.BEST_FIT_PROGRESSIVE,
            minv_cpus=0,
            maxv_cpus=settings.max_vcpus,
            instance_types=[ec2.InstanceType(name) for name in settings.instance_types],
            # Batch's "optimal" sizes have no GPU, and the CDK adds them unless told not to.
            use_optimal_instance_classes=False,
            images=[
                batch.EcsMachineImage(
                    image_type=image_type.ECS_AL2023_NVIDIA if settings.gpu else image_type.ECS_AL2023
                )
            ],
            instance_role=host.role,
            launch_template=host.template,
            replace_compute_environment=False,
            update_to_latest_image_version=True,
            terminate_on_update=False,
            update_timeout=Duration.minutes(min(settings.timeout_minutes, MOST_UPDATE_MINUTES)),
        )
        # The CDK names no version, and then a changed template reaches no host, for Batch stays with the first one:
        # https://docs.aws.amazon.com/batch/latest/userguide/launch-templates.html
        resource = cast("batch.CfnComputeEnvironment", environment.node.default_child)
        resource.add_property_override("ComputeResources.LaunchTemplate.Version", host.template.latest_version_number)
        return environment
