"""`render doctor`: each thing that can be wrong is made wrong, and its sentence read."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.e2e.machine import Machine


def findings(machine: Machine, *, code: int) -> dict[str, dict[str, str]]:
    return {each["check"]: each for each in json.loads(machine.render("doctor", "--json", code=code).out)}


def test_a_farm_at_rest_has_nothing_wrong_and_says_what_was_not_checked(machine: Machine) -> None:
    found = findings(machine, code=0)
    assert found["stack"]["level"] == found["idle hosts"]["level"] == "ok"
    assert found["spot quota"]["said"].startswith("not checked: the local farm")
    assert "which costs nothing" in found["stored"]["said"]
    assert "No host runs." in machine.render("doctor").out


def test_a_host_that_runs_without_a_job_costs_and_the_command_to_stop_it_is_told(machine: Machine, aws: Any) -> None:
    ec2 = aws("ec2")
    tags = [{"Key": "render-farm", "Value": aws.farm.stack_name}]
    launched = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="g5.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    (host,) = [each["InstanceId"] for each in launched["Instances"]]
    try:
        found = findings(machine, code=1)["idle hosts"]
        assert found["level"] == "costs"
        assert f"{host} (g5.xlarge, up for 0 min)" in found["said"]
        assert f"terminate-instances --region {aws.farm.region} --instance-ids {host}" in found["fix"]
    finally:
        ec2.terminate_instances(InstanceIds=[host])


def test_a_queue_that_is_disabled_is_told(machine: Machine, aws: Any) -> None:
    aws("batch").update_job_queue(jobQueue=aws.farm.job_queue, state="DISABLED")
    try:
        found = findings(machine, code=1)["queue"]
        assert "The job queue is DISABLED" in found["said"]
        assert "--state ENABLED" in found["fix"]
    finally:
        aws("batch").update_job_queue(jobQueue=aws.farm.job_queue, state="ENABLED")


def test_a_compute_environment_that_is_disabled_is_told(machine: Machine, aws: Any) -> None:
    batch = aws("batch")
    (name,) = [each["computeEnvironmentArn"] for each in batch.describe_compute_environments()["computeEnvironments"]]
    batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    try:
        assert "is DISABLED" in findings(machine, code=1)["hosts"]["said"]
    finally:
        batch.update_compute_environment(computeEnvironment=name, state="ENABLED")


def test_a_job_that_no_host_can_run_is_told_with_batchs_reason(machine: Machine, aws: Any) -> None:
    batch = aws("batch")
    job = batch.submit_job(
        jobName="huge",
        jobQueue=aws.farm.job_queue,
        jobDefinition=aws.farm.job_definition,
        arrayProperties={"size": 2},
        containerOverrides={"resourceRequirements": [{"type": "VCPU", "value": "999"}]},
    )["jobId"]
    try:
        found = findings(machine, code=1)["waiting jobs"]
        assert "huge is RUNNABLE for 0 min: MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE" in found["said"]
    finally:
        batch.terminate_job(jobId=job, reason="the test is over")


def test_an_alarm_of_the_guard_costs_while_its_host_runs_on(machine: Machine, aws: Any) -> None:
    ec2, logs = aws("ec2"), aws("logs")
    pages = aws("cloudformation").get_paginator("list_stack_resources").paginate(StackName=aws.farm.stack_name)
    parts = {part["LogicalResourceId"]: part for page in pages for part in page["StackResourceSummaries"]}
    (group,) = [
        part["PhysicalResourceId"]
        for name, part in parts.items()
        if name.startswith("GuardLog") and part["ResourceType"] == "AWS::Logs::LogGroup"
    ]
    tags = [{"Key": "render-farm", "Value": aws.farm.stack_name}]
    launched = ec2.run_instances(
        ImageId="ami-12c6146b",
        InstanceType="g5.xlarge",
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    (host,) = [each["InstanceId"] for each in launched["Instances"]]
    lines = f"The farm has no job, yet these hosts were running:\n\n  {host}  g5.xlarge  STILL RUNNING, and billed"
    logs.create_log_stream(logGroupName=group, logStreamName="look")
    try:
        events = [{"timestamp": int(time.time() * 1000), "message": lines}]
        logs.put_log_events(logGroupName=group, logStreamName="look", logEvents=events)
        found = findings(machine, code=1)["guard alarm"]
        assert found["level"] == "costs"
        assert f"Without a job, these run on: {host}." in found["said"]
        ec2.terminate_instances(InstanceIds=[host])
        assert findings(machine, code=0)["guard alarm"]["said"].endswith("None of them runs any more.")
    finally:
        ec2.terminate_instances(InstanceIds=[host])
        logs.delete_log_stream(logGroupName=group, logStreamName="look")


def changed(machine: Machine, old: str, new: str) -> None:
    path: Path = machine.folder / "config"
    path.write_text((machine.home / ".renderconfig").read_text().replace(old, new))
    machine.variables = {"RENDER_CONFIG": str(path)}


def test_a_stack_that_is_gone_is_told_and_ends_the_checks(machine: Machine) -> None:
    changed(machine, "stack_name = LocalRenderFarm", "stack_name = Gone")
    found = findings(machine, code=1)
    assert "There is no stack Gone" in found["stack"]["said"]
    assert list(found)[-1] == "stack"


def test_a_stack_of_another_version_is_told(machine: Machine) -> None:
    changed(machine, "contract_version = 1", "contract_version = 9")
    assert "Update the client" in findings(machine, code=1)["version"]["fix"]


def test_without_credentials_it_says_how_to_get_some(machine: Machine, aws: Any) -> None:
    changed(machine, f"endpoint_url = {aws.farm.endpoint_url}", "endpoint_url = ")
    found = findings(machine, code=1)
    assert "AWS needs credentials" in found["credentials"]["said"]
    assert list(found)[-1] == "credentials"
