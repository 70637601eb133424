"""What watches over the bill."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from render_farm.guard import CODE
from tests.infrastructure.template import TAG, logical_id, only, properties, statements

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_cdk.assertions import Template


def test_the_guard_knows_its_farm(farm: Template) -> None:
    function = farm.find_resources("AWS::Lambda::Function")[logical_id(farm, "AWS::Lambda::Function", "Guard")]
    assert function["Properties"]["Code"] == {"ZipFile": CODE.read_text(encoding="utf-8")}
    topic = {"Ref": logical_id(farm, "AWS::SNS::Topic", "Guard")}
    queue = logical_id(farm, "AWS::Batch::JobQueue", "Queue")
    assert function["Properties"]["Environment"]["Variables"] == {
        "FARM_TAG": TAG["Key"],
        "FARM": TAG["Value"],
        "JOB_QUEUE": {"Fn::GetAtt": [queue, "JobQueueArn"]},
        "GUARD": "terminate",
        "GUARD_MINUTES": "60",
        "TOPIC": topic,
    }


def test_the_guard_may_stop_this_farms_hosts_alone(synthesize: Callable[..., Template]) -> None:
    template = synthesize(on_demand_fallback=True)
    found = {one.get("Sid"): one for one in statements(template, "GuardRole")}
    stop = found["StopHostsOfThisFarm"]
    assert stop["Action"] == "ec2:TerminateInstances"
    assert stop["Condition"] == {"StringEquals": {"aws:ResourceTag/render-farm": "RenderFarm"}}
    shrink = found["ShrinkGroupsOfThisFarm"]
    assert shrink["Action"] == "autoscaling:TerminateInstanceInAutoScalingGroup"
    for environment in template.find_resources("AWS::Batch::ComputeEnvironment"):
        assert environment in json.dumps(shrink["Resource"])
    everywhere = [one["Action"] for one in found.values() if one["Resource"] == "*"]
    assert everywhere == [["batch:ListJobs", "ec2:DescribeInstances"]]


def test_a_guard_that_fails_is_told_of(farm: Template) -> None:
    config = only(farm, "AWS::Lambda::EventInvokeConfig")
    topic = {"Ref": logical_id(farm, "AWS::SNS::Topic", "Guard")}
    assert config["DestinationConfig"] == {"OnFailure": {"Destination": topic}}
    assert config["MaximumRetryAttempts"] == 2


def test_a_guard_that_only_tells_tells_each_hour(synthesize: Callable[..., Template]) -> None:
    template = synthesize(guard="tell", guard_minutes=120)
    assert only(template, "AWS::Events::Rule")["ScheduleExpression"] == "rate(1 hour)"
    functions = properties(template, "AWS::Lambda::Function")
    (variables,) = [one["Environment"]["Variables"] for one in functions if "Environment" in one]
    assert (variables["GUARD"], variables["GUARD_MINUTES"]) == ("tell", "120")


def test_a_farm_without_a_guard_has_nothing_of_it(synthesize: Callable[..., Template]) -> None:
    template = synthesize(guard="off").to_json()
    assert not [name for name in template["Resources"] if name.startswith("Guard")]
    assert "GuardTopic" not in template["Outputs"]


def test_logs_of_functions_go_with_the_stack(variant: Template) -> None:
    groups = variant.find_resources("AWS::Logs::LogGroup")
    assert all(group["DeletionPolicy"] == "Delete" for group in groups.values())
    for function in properties(variant, "AWS::Lambda::Function"):
        assert function["LoggingConfig"]["LogGroup"]["Ref"] in groups
    # No function may make a group of its own, which would stay.
    assert "logs:CreateLogGroup" not in json.dumps(variant.to_json())
    assert "AWSLambdaBasicExecutionRole" not in json.dumps(variant.to_json())


def test_a_mail_address_hears_from_the_guard_and_the_budget(synthesize: Callable[..., Template]) -> None:
    template = synthesize(alarm_email="artist@example.com", monthly_budget_usd="20")
    subscription = only(template, "AWS::SNS::Subscription")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "artist@example.com")
    budget = only(template, "AWS::Budgets::Budget")
    assert budget["Budget"] == {
        "BudgetType": "COST",
        "TimeUnit": "MONTHLY",
        "BudgetLimit": {"Amount": 20, "Unit": "USD"},
        "CostFilters": {"TagKeyValue": ["user:render-farm$RenderFarm"]},
    }
    told = [
        (one["Notification"]["NotificationType"], one["Notification"]["Threshold"], one["Subscribers"])
        for one in budget["NotificationsWithSubscribers"]
    ]
    artist = [{"Address": "artist@example.com", "SubscriptionType": "EMAIL"}]
    assert told == [("ACTUAL", percent, artist) for percent in (50, 80, 100)]


def test_nobody_is_written_to_unasked(farm: Template) -> None:
    farm.resource_count_is("AWS::SNS::Subscription", 0)
    farm.resource_count_is("AWS::Budgets::Budget", 0)
