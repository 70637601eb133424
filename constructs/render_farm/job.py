"""What one AWS Batch job is: a container with a share of a host, a time limit, rules for another attempt, two roles."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, Size
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from render_farm.host_template import HOST_CACHE, WORKER_UID
from render_farm.logs import STREAM_PREFIX
from render_worker.contract import (
    CACHE_VARIABLE,
    DEVICE_VARIABLE,
    RESULTS_BUCKET_VARIABLE,
    SOURCE_BUCKET_VARIABLE,
    ExitCode,
)

if TYPE_CHECKING:
    from render_farm.image import Image
    from render_farm.logs import Logs
    from render_farm.settings import Settings
    from render_farm.storage import Storage


class Job(Construct):
    """The job definition, under the farm's own name so that clients submit without knowing its revision.

    `role` is what the worker itself may do, and starts with nothing: the stack grants. `execution_role` is what ECS
    needs to start the container: pull its image and write its log.
    https://docs.aws.amazon.com/batch/latest/userguide/execution-IAM-role.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        name: str,
        image: Image,
        storage: Storage,
        logs: Logs,
        settings: Settings,
    ) -> None:
        super().__init__(scope, construct_id)
        self.name = name
        self.device = "gpu" if settings.gpu else "cpu"
        container_service = iam.ServicePrincipal("ecs-tasks.amazonaws.com")
        self.role = iam.Role(
            self, "Role", assumed_by=container_service, description="What a render job's container may do"
        )
        self.execution_role = iam.Role(
            self, "ExecutionRole", assumed_by=container_service, description="What starts a render job's container"
        )
        self.definition = batch.EcsJobDefinition(
            self,
            "Definition",
            job_definition_name=name,
            container=batch.EcsEc2ContainerDefinition(
                self,
                "Container",
                image=image.container,
                cpu=settings.job_vcpus,
                memory=Size.mebibytes(settings.job_memory_mib),
                gpu=settings.job_gpus or None,
                privileged=False,
                user=f"{WORKER_UID}:{WORKER_UID}",
                job_role=self.role,
                execution_role=self.execution_role,
                logging=ecs.LogDriver.aws_logs(stream_prefix=STREAM_PREFIX, log_group=logs.group),
                environment={
                    SOURCE_BUCKET_VARIABLE: storage.source.bucket_name,
                    RESULTS_BUCKET_VARIABLE: storage.results.bucket_name,
                    DEVICE_VARIABLE: self.device,
                    CACHE_VARIABLE: HOST_CACHE,
                },
                # What one chunk has fetched, the next on the same host need not.
                volumes=[batch.EcsVolume.host(name="files", host_path=HOST_CACHE, container_path=HOST_CACHE)],
                # An init process passes signals on to the worker and reaps what Blender and the hooks leave behind.
                linux_parameters=batch.LinuxParameters(self, "Linux", init_process_enabled=True),
            ),
            timeout=Duration.minutes(settings.timeout_minutes),
            retry_attempts=settings.attempts,
            retry_strategies=_retry_rules(),
            # Jobs that wait or run while the farm is updated keep the revision that they were submitted with.
            skip_deregister_on_update=True,
            propagate_tags=True,
        )


def _retry_rules() -> list[batch.RetryStrategy]:
    """Give the rules in the order in which Batch tries them; it takes five at most, and retries what matches none.

    A rule matches whole text, or a start of it before a final asterisk. For a container that did not start, AWS's own
    example matches the status reason "Task failed to start", so that one rule stands for the several reasons there are
    (DockerTimeoutError, CannotCreateContainerError, CannotStartContainerError); not yet seen on AWS for each of them.
    https://docs.aws.amazon.com/batch/latest/userguide/job_retries.html
    https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
    """
    retry, give_up = batch.Action.RETRY, batch.Action.EXIT
    reason = batch.Reason
    return [
        batch.RetryStrategy.of(retry, reason.SPOT_INSTANCE_RECLAIMED),
        batch.RetryStrategy.of(retry, reason.CANNOT_PULL_CONTAINER),
        batch.RetryStrategy.of(retry, reason.custom(on_status_reason="Task failed to start*")),
        batch.RetryStrategy.of(retry, reason.custom(on_exit_code=str(int(ExitCode.PASSING)))),
        batch.RetryStrategy.of(give_up, reason.custom(on_reason="*")),
    ]
