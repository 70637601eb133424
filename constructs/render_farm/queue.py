"""The line in which jobs wait for hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration
from aws_cdk import aws_batch as batch
from constructs import Construct

if TYPE_CHECKING:
    from collections.abc import Sequence

CANCEL_AFTER = Duration.minutes(10)
"""How long a job that can never start blocks the line; ten minutes is the least that Batch allows.

https://docs.aws.amazon.com/batch/latest/APIReference/API_JobStateTimeLimitAction.html
"""


class Queue(Construct):
    """A job queue that fills the `environments` in their order, and cancels a job that no host could ever run.

    A job that waits for Spot capacity is left waiting: that costs nothing, and the capacity comes back.
    https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable_time_limit_actions.html
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, environments: Sequence[batch.ManagedEc2EcsComputeEnvironment]
    ) -> None:
        super().__init__(scope, construct_id)
        reason = batch.JobStateTimeLimitActionsReason
        self.queue = batch.JobQueue(
            self,
            "Queue",
            compute_environments=[
                batch.OrderedComputeEnvironment(compute_environment=environment, order=order)
                for order, environment in enumerate(environments, start=1)
            ],
            job_state_time_limit_actions=[
                batch.JobStateTimeLimitAction(
                    action=batch.JobStateTimeLimitActionsAction.CANCEL,
                    state=batch.JobStateTimeLimitActionsState.RUNNABLE,
                    reason=misconfigured,
                    max_time=CANCEL_AFTER,
                )
                for misconfigured in (reason.COMPUTE_ENVIRONMENT_MAX_RESOURCE, reason.JOB_RESOURCE_REQUIREMENT)
            ],
        )
