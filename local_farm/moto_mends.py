"""What moto 5.2.5 lacks for the farm's template and for the client, mended here but for CloudFormation's own ways.

`AWS::S3::BucketPolicy` stays passed over on purpose: moto 5.2.5 takes a Deny with a condition for a Deny without one,
and a policy that refuses plain HTTP, as the farm's do, would refuse every call on loopback.
"""
# moto has no types that this project's checker follows

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

from moto.batch import models as batch
from moto.batch.exceptions import ClientException
from moto.batch.utils import lowercase_first_key
from moto.budgets.models import budgets_backends
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import ec2_backends, internet_gateways, route_tables, subnets, vpcs, vpn_gateway
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.logs.models import LogGroup
from moto.moto_server import werkzeug_app
from moto.s3.models import FakeBucket
from moto.sns.models import sns_backends
from moto.utilities.utils import get_partition

from local_farm import cloudformation, custom_resources
from local_farm.errors import LocalFarmError
from local_farm.limits import ClientError, check_environment, retry_strategy, timeout_s

MOTO_VERSION = "5.2.5"

_BATCH_SERVICE_ROLE = "AWSServiceRoleForBatch"

_applied = False


def apply() -> None:
    """Mend moto, once for this process; raises LocalFarmError for another version than the mends are for."""
    global _applied  # noqa: PLW0603  # moto's classes are this process's only copy, and a mend must not wrap itself
    version = importlib.metadata.version("moto")
    if version != MOTO_VERSION:
        raise LocalFarmError(
            f"moto {version} is installed, but the local farm is made for {MOTO_VERSION}: "
            f"run `pip install 'moto[server]=={MOTO_VERSION}'`"
        )
    if _applied:
        return
    _applied = True
    _mend_compute_environment()
    _mend_job_definition()
    _mend_batch_attributes()
    _mend_batch_updates()
    _mend_batch_deletion()
    _mend_network_deletion()
    _mend_log_group()
    _mend_bucket()
    cloudformation.apply()
    custom_resources.apply()
    # moto 5.2.5 lets any web page that is open in a browser read its answers and so submit jobs, which run on this
    # machine.
    werkzeug_app.DISABLE_GLOBAL_CORS = True


def _mend_compute_environment() -> None:
    # moto 5.2.5 demands a ServiceRole, where AWS Batch uses its service-linked role, and refuses the CDK's "managed".
    create = batch.ComputeEnvironment.create_from_cloudformation_json

    def create_from_cloudformation_json(
        resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **kwargs: Any
    ) -> Any:
        properties = dict(cloudformation_json["Properties"])
        properties["Type"] = properties["Type"].upper()
        properties.setdefault("ServiceRole", _service_role(account_id, region_name))
        return create(
            resource_name, cloudformation_json | {"Properties": properties}, account_id, region_name, **kwargs
        )

    batch.ComputeEnvironment.create_from_cloudformation_json = staticmethod(create_from_cloudformation_json)


def _service_role(account_id: str, region_name: str) -> str:
    iam = iam_backends[account_id][get_partition(region_name)]
    try:
        role = iam.get_role(_BATCH_SERVICE_ROLE)
    except NotFoundException:
        role = iam.create_role(
            _BATCH_SERVICE_ROLE,
            assume_role_policy_document="{}",
            path="/aws-service-role/batch.amazonaws.com/",
            permissions_boundary=None,
            description="",
            tags=[],
            max_session_duration=None,
        )
    return str(role.arn)


def _mend_job_definition() -> None:
    # moto 5.2.5 looks for the template's Timeout under "timeout" and so loses it, fails without a RetryStrategy, and
    # accepts retries, timeouts and variables that AWS refuses.
    create = batch.JobDefinition.create_from_cloudformation_json
    register = batch.BatchBackend.register_job_definition

    def create_from_cloudformation_json(
        resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **kwargs: Any
    ) -> Any:
        properties = {"RetryStrategy": {}} | cloudformation_json["Properties"]
        if "Timeout" in properties:
            properties["timeout"] = lowercase_first_key(properties["Timeout"])
        return create(
            resource_name, cloudformation_json | {"Properties": properties}, account_id, region_name, **kwargs
        )

    def register_job_definition(backend: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            retry_strategy(kwargs.get("retry_strategy"))
            timeout_s(kwargs.get("timeout"))
            check_environment((kwargs.get("container_properties") or {}).get("environment"))
        except ClientError as error:
            raise ClientException(str(error)) from None
        return register(backend, *args, **kwargs)

    batch.JobDefinition.create_from_cloudformation_json = staticmethod(create_from_cloudformation_json)
    batch.BatchBackend.register_job_definition = register_job_definition


def _mend_batch_attributes() -> None:
    # moto 5.2.5 answers no Fn::GetAtt on Batch resources; the CDK asks for their ARNs.
    for model, attribute in (
        (batch.ComputeEnvironment, "ComputeEnvironmentArn"),
        (batch.JobQueue, "JobQueueArn"),
        (batch.JobDefinition, "JobDefinitionArn"),
    ):
        model.has_cfn_attr = classmethod(lambda _, asked, known=attribute: asked == known)
        model.get_cfn_attribute = _arn_attribute(attribute)


def _arn_attribute(known: str) -> Callable[[Any, str], str]:
    def get_cfn_attribute(resource: Any, asked: str) -> str:
        if asked != known:
            raise UnformattedGetAttTemplateException
        return str(resource.arn)

    return get_cfn_attribute


def _mend_batch_deletion() -> None:
    # moto 5.2.5 keeps Batch resources when their stack is deleted; the next stack of that name would then fail.
    def delete_queue(queue: Any, account_id: str, region_name: str) -> None:
        batch.batch_backends[account_id][region_name].delete_job_queue(queue.arn)

    def delete_environment(environment: Any, account_id: str, region_name: str) -> None:
        batch.batch_backends[account_id][region_name].delete_compute_environment(environment.arn)

    def deregister(definition: Any, account_id: str, region_name: str) -> None:
        batch.batch_backends[account_id][region_name].deregister_job_definition(definition.arn)

    batch.JobQueue.delete = delete_queue
    batch.ComputeEnvironment.delete = delete_environment
    batch.JobDefinition.delete = deregister


def _mend_batch_updates() -> None:
    # moto 5.2.5 changes no Batch resource when its stack is updated, and then loses sight of it.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-batch-jobdefinition.html
    def update_environment(
        *, original_resource: Any, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        hosts = lowercase_first_key(properties["ComputeResources"])
        batch.batch_backends[account_id][region_name]._validate_compute_resources(hosts)
        original_resource.compute_resources = hosts
        original_resource.state = properties.get("State", "ENABLED")
        return original_resource

    def update_queue(
        *, original_resource: Any, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Any:
        properties = cloudformation_json["Properties"]
        batch.batch_backends[account_id][region_name].update_job_queue(
            queue_name=original_resource.arn,
            priority=properties["Priority"],
            state=properties.get("State", "ENABLED"),
            compute_env_order=[lowercase_first_key(each) for each in properties["ComputeEnvironmentOrder"]],
            schedule_policy=None,
        )
        return original_resource

    def update_definition(
        *, original_resource: Any, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Any:
        retention = cloudformation_json["Properties"].get("ResourceRetentionPolicy", {})
        if not retention.get("SkipDeregisterOnUpdate"):
            original_resource.delete(account_id, region_name)
        return batch.JobDefinition.create_from_cloudformation_json(
            original_resource.name, cloudformation_json, account_id, region_name
        )

    batch.ComputeEnvironment.update_from_cloudformation_json = staticmethod(update_environment)
    batch.JobQueue.update_from_cloudformation_json = staticmethod(update_queue)
    batch.JobDefinition.update_from_cloudformation_json = staticmethod(update_definition)


def _mend_network_deletion() -> None:
    # moto 5.2.5 keeps these parts of a network when their stack is deleted, and then refuses to delete the rest.
    def delete_endpoint(endpoint: Any, account_id: str, region_name: str) -> None:
        ec2 = ec2_backends[account_id][region_name]
        ec2.delete_vpc_endpoints([endpoint.id])
        del ec2.vpc_end_points[endpoint.id]

    def delete_table(table: Any, account_id: str, region_name: str) -> None:
        ec2_backends[account_id][region_name].delete_route_table(table.id)

    def delete_route(route: Any, account_id: str, region_name: str) -> None:
        ec2_backends[account_id][region_name].delete_route(route.route_table.id, route.destination_cidr_block)

    def dissociate(association: Any, account_id: str, region_name: str) -> None:
        known = ec2_backends[account_id][region_name].subnet_associations
        del known[f"{association.route_table_id}:{association.subnet_id}"]

    def detach(attachment: Any, account_id: str, region_name: str) -> None:
        ec2_backends[account_id][region_name].detach_internet_gateway(attachment.gateway_id, attachment.vpc_id)

    def delete_gateway(gateway: Any, account_id: str, region_name: str) -> None:
        ec2_backends[account_id][region_name].delete_internet_gateway(gateway.id)

    vpcs.VPCEndPoint.delete = delete_endpoint
    route_tables.RouteTable.delete = delete_table
    route_tables.Route.delete = delete_route
    subnets.SubnetRouteTableAssociation.delete = dissociate
    vpn_gateway.VPCGatewayAttachment.delete = detach
    internet_gateways.InternetGateway.delete = delete_gateway


def _mend_log_group() -> None:
    # moto 5.2.5 cannot change a log group with its stack; to replace it would lose the logs.
    def update(*, original_resource: Any, cloudformation_json: dict[str, Any], **_: Any) -> Any:
        original_resource.retention_in_days = cloudformation_json["Properties"].get("RetentionInDays")
        return original_resource

    LogGroup.update_from_cloudformation_json = staticmethod(update)


def _mend_bucket() -> None:
    # moto 5.2.5 fails to change a bucket that has tags and whose name CloudFormation chose.
    update = FakeBucket.update_from_cloudformation_json

    def update_from_cloudformation_json(
        *, original_resource: Any, cloudformation_json: dict[str, Any], **arguments: Any
    ) -> Any:
        properties = {"BucketName": original_resource.name} | cloudformation_json["Properties"]
        return update(
            original_resource=original_resource,
            cloudformation_json=cloudformation_json | {"Properties": properties},
            **arguments,
        )

    FakeBucket.update_from_cloudformation_json = staticmethod(update_from_cloudformation_json)


class Subscription(CloudFormationModel):  # type: ignore[misc]  # moto is not followed by the type checker
    """AWS::SNS::Subscription, which moto 5.2.5 has only as an API."""

    def __init__(self, arn: str) -> None:
        self.physical_resource_id = arn

    @staticmethod
    def cloudformation_type() -> str:
        """Give the name that moto finds this class by."""
        return "AWS::SNS::Subscription"

    @classmethod
    def create_from_cloudformation_json(
        cls, _name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Subscription:
        """Subscribe."""
        wanted = cloudformation_json["Properties"]
        sns = sns_backends[account_id][region_name]
        return cls(sns.subscribe(wanted["TopicArn"], wanted["Endpoint"], wanted["Protocol"]).arn)

    def delete(self, account_id: str, region_name: str) -> None:
        """Unsubscribe."""
        sns_backends[account_id][region_name].unsubscribe(self.physical_resource_id)


class Budget(CloudFormationModel):  # type: ignore[misc]  # moto is not followed by the type checker
    """AWS::Budgets::Budget, which moto 5.2.5 has only as an API."""

    def __init__(self, name: str) -> None:
        self.physical_resource_id = name

    @staticmethod
    def cloudformation_type() -> str:
        """Give the name that moto finds this class by."""
        return "AWS::Budgets::Budget"

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Budget:
        """Make the budget and its notifications."""
        wanted = cloudformation_json["Properties"]
        budget = {"BudgetName": name} | wanted["Budget"]
        budgets_backends[account_id][get_partition(region_name)].create_budget(
            account_id, budget, wanted.get("NotificationsWithSubscribers", [])
        )
        return cls(budget["BudgetName"])

    def delete(self, account_id: str, region_name: str) -> None:
        """Remove the budget."""
        budgets_backends[account_id][get_partition(region_name)].delete_budget(account_id, self.physical_resource_id)
