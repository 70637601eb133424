"""What notices hosts that run on with nothing to do, stops them and says so."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_destinations as destinations
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from render_farm.host_template import environment_name
from render_farm.settings import LOG_RETENTION_DAYS

if TYPE_CHECKING:
    from render_farm.compute import Compute
    from render_farm.queue import Queue
    from render_farm.settings import Settings

CODE = Path(__file__).with_name("guard_function.py")

LOOK_EVERY = {"terminate": Duration.minutes(15), "tell": Duration.hours(1)}
"""How often it looks: 3,000 times a month at most, of the million that Lambda gives every account for nothing.

A host that is only told of is told of each time, so that guard tells at most 750 times a month; 1,000 mails are free.
https://aws.amazon.com/lambda/pricing/
https://aws.amazon.com/sns/pricing/
"""


class Guard(Construct):
    """A function on a schedule, and the topic that it writes to.

    It looks for instances that bear the farm's tag and have run for longer than `settings.guard_minutes` while the
    queue holds no live job. When the function itself fails three times over, Lambda tells the topic of it.
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        farm_tag: str,
        queue: Queue,
        compute: Compute,
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        if settings.alarm_email is not None:
            self.topic.add_subscription(subscriptions.EmailSubscription(settings.alarm_email))
        group = logs.LogGroup(
            self,
            "Log",
            retention=logs.RetentionDays[LOG_RETENTION_DAYS[settings.log_retention_days]],
            removal_policy=RemovalPolicy.DESTROY,
        )
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description="What the guard may do: see hosts and jobs, stop this farm's hosts, write to its topic",
        )
        for statement in self._statements(farm_tag=farm_tag, farm=settings.stack_name, compute=compute):
            role.add_to_policy(statement)
        group.grant_write(role)
        self.topic.grant_publish(role)
        function = lambda_.Function(
            self,
            "Function",
            description=f"Stops hosts of {settings.stack_name} that run without a job",
            runtime=lambda_.Runtime.PYTHON_3_14,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE.read_text(encoding="utf-8")),
            timeout=Duration.minutes(2),
            memory_size=256,
            role=role,
            log_group=group,
            retry_attempts=2,
            max_event_age=Duration.minutes(10),
            on_failure=destinations.SnsDestination(self.topic),
            environment={
                "FARM_TAG": farm_tag,
                "FARM": settings.stack_name,
                "JOB_QUEUE": queue.queue.job_queue_arn,
                "GUARD": settings.guard,
                "GUARD_MINUTES": str(settings.guard_minutes),
                "TOPIC": self.topic.topic_arn,
            },
        )
        # When the destination is set, Lambda asks whether the role may write to it. The role, which the CDK names here
        # too, is known by its Fn::GetAtt.
        policy = cast("iam.CfnPolicy", role.node.find_child("DefaultPolicy").node.default_child)
        cast("lambda_.CfnFunction", function.node.default_child).add_override("DependsOn", [policy.logical_id])
        events.Rule(
            self,
            "Schedule",
            description=f"Lets the guard of {settings.stack_name} look",
            schedule=events.Schedule.rate(LOOK_EVERY[settings.guard]),
            targets=[targets.LambdaFunction(function)],
        )

    def _statements(self, *, farm_tag: str, farm: str, compute: Compute) -> list[iam.PolicyStatement]:
        """Give what the function's role may do beside its log and its topic.

        Neither listing can be bound to a resource:
        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html
        https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsbatch.html
        """
        stack = Stack.of(self)
        return [
            iam.PolicyStatement(
                sid="SeeHostsAndJobs", actions=["ec2:DescribeInstances", "batch:ListJobs"], resources=["*"]
            ),
            iam.PolicyStatement(
                sid="StopHostsOfThisFarm",
                actions=["ec2:TerminateInstances"],
                resources=[stack.format_arn(service="ec2", resource="instance", resource_name="*")],
                conditions={"StringEquals": {f"aws:ResourceTag/{farm_tag}": farm}},
            ),
            # Batch names its groups for the environment; that they bear its tags is not documented.
            iam.PolicyStatement(
                sid="ShrinkGroupsOfThisFarm",
                actions=["autoscaling:TerminateInstanceInAutoScalingGroup"],
                resources=[
                    stack.format_arn(
                        service="autoscaling",
                        resource="autoScalingGroup:*:autoScalingGroupName",
                        resource_name=f"AWSBatch-{environment_name(environment)}-asg-*",
                    )
                    for environment in compute.environments
                ],
            ),
        ]
