"""Where the worker's output can be read."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from render_farm.settings import LOG_RETENTION_DAYS

STREAM_PREFIX = "render"
"""First part of each log stream's name, before the job definition's name and the task's id.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/specify-log-config.html
"""


class Logs(Construct):
    """The farm's log group: streams are kept for `retention_days`, and the group goes with the stack."""

    def __init__(self, scope: Construct, construct_id: str, *, retention_days: int) -> None:
        super().__init__(scope, construct_id)
        self.group = logs.LogGroup(
            self,
            "Group",
            retention=logs.RetentionDays[LOG_RETENTION_DAYS[retention_days]],
            removal_policy=RemovalPolicy.DESTROY,
        )
