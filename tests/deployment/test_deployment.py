"""The farm's life in an account, by the CDK's real command line: deployed, changed, rendered with, destroyed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deployment.account import CLONE, Account
from tests.e2e.machine import Machine

STUDIO = {"stack_name": "Studio", "gpu": "false", "job_vcpus": "1"}


@dataclass
class Studio:
    """A second farm, and what the account held before it came."""

    outputs: dict[str, str]
    before: Counter[str]


@pytest.fixture(scope="module")
def studio(account: Account, farm: dict[str, str]) -> Studio:
    before = account.holdings()
    account.deploy(STUDIO)
    return Studio(account.outputs(STUDIO["stack_name"]), before)


@pytest.fixture
def blend(tmp_path: Path) -> Path:
    path = tmp_path / "shot.blend"
    subprocess.run([sys.executable, CLONE / "tests" / "make_blend.py", path], check=True, capture_output=True)
    return path


def test_a_farm_that_was_just_deployed_has_no_difference(account: Account, farm: dict[str, str]) -> None:
    assert "There were no differences" in account.cdk("diff", "--fail")


def test_a_changed_setting_shows_as_a_difference(account: Account, farm: dict[str, str]) -> None:
    assert "MaxvCpus" in account.cdk("diff", "--fail", settings={"max_vcpus": 16}, code=1)


def test_changed_settings_reach_what_is_deployed(account: Account, farm: dict[str, str]) -> None:
    changed = {"max_vcpus": 16, "timeout_minutes": 30, "log_retention_days": 1, "disk_gib": 64}
    kept = ("JobQueue", "SourceBucket", "ResultsBucket", "LogGroup")
    batch, ec2, logs = (account.client(service) for service in ("batch", "ec2", "logs"))

    account.deploy(changed)

    outputs = account.outputs("RenderFarm")
    assert outputs["MaxVcpus"] == "16"
    assert [outputs[each] for each in kept] == [farm[each] for each in kept], "a change must not lose what is there"
    (environment,) = batch.describe_compute_environments(computeEnvironments=outputs["ComputeEnvironments"].split(","))[
        "computeEnvironments"
    ]
    hosts = environment["computeResources"]
    assert hosts["maxvCpus"] == 16
    template = hosts["launchTemplate"]
    (version,) = ec2.describe_launch_template_versions(
        LaunchTemplateId=template["launchTemplateId"], Versions=[template["version"]]
    )["LaunchTemplateVersions"]
    assert version["LaunchTemplateData"]["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 64
    (group,) = logs.describe_log_groups(logGroupNamePrefix=farm["LogGroup"])["logGroups"]
    assert group["retentionInDays"] == 1
    job = batch.submit_job(jobName="job", jobQueue=farm["JobQueue"], jobDefinition=farm["JobDefinition"])["jobId"]
    (described,) = batch.describe_jobs(jobs=[job])["jobs"]
    assert described["jobDefinition"].endswith("/RenderFarm:2"), "the bare name means the newest revision"
    assert described["timeout"]["attemptDurationSeconds"] == 30 * 60
    batch.terminate_job(jobId=job, reason="seen")
    assert "There were no differences" in account.cdk("diff", "--fail", settings=changed)


def test_the_client_renders_through_a_deployed_farm(account: Account, studio: Studio, blend: Path) -> None:
    home = blend.parent / "home"
    home.mkdir()
    machine = Machine(home=home, folder=blend.parent, variables=account.variables())
    said = machine.render("configure", "--stackname", "Studio")
    assert "Configured for Studio in us-east-1" in said.err
    machine.render("init")
    machine.render("add", "-b", blend, "-k", "2")
    machine.render("process", "--watch")
    (row,) = machine.rows()
    assert (row["status"], row["frames_done"]) == ("Success", "4")
    assert len(list(machine.folder_of().glob("0*.png"))) == 4
    (job,) = account.client("batch").describe_jobs(jobs=[row["job_id"]])["jobs"]
    assert job["jobQueue"] == studio.outputs["JobQueue"]


def test_two_farms_in_one_account_share_nothing(farm: dict[str, str], studio: Studio) -> None:
    own = ("SourceBucket", "ResultsBucket", "JobQueue", "JobDefinition", "LogGroup", "ComputeEnvironments")
    assert not {farm[each] for each in own} & {studio.outputs[each] for each in own}


def test_destroy_leaves_nothing_though_the_buckets_are_full_and_spares_the_other_farm(
    account: Account, studio: Studio
) -> None:
    s3 = account.client("s3")
    for bucket in (studio.outputs["SourceBucket"], studio.outputs["ResultsBucket"]):
        for number in range(3):
            s3.put_object(Bucket=bucket, Key=f"runs/run/{number}", Body=b"content")
    assert "destroyed" in account.destroy(STUDIO)
    assert account.holdings() == studio.before


def test_what_a_farm_with_every_option_leaves_is_the_results_that_it_was_told_to_keep(
    account: Account, farm: dict[str, str]
) -> None:
    options = {
        "stack_name": "Archive",
        "keep_results": "true",
        "on_demand_fallback": "true",
        "monthly_budget_usd": "20",
        "alarm_email": "artist@studio.example",
    }
    before = account.holdings()
    account.deploy(options)
    assert sum(each.startswith(("budgets", "sns")) for each in account.holdings() - before) == 3
    outputs = account.outputs("Archive")
    s3 = account.client("s3")
    for bucket in (outputs["SourceBucket"], outputs["ResultsBucket"]):
        s3.put_object(Bucket=bucket, Key="runs/run/frames/0001.png", Body=b"content")
    account.destroy(options)
    assert account.holdings() - before == Counter([f"s3 {outputs['ResultsBucket']}"])
    assert before - account.holdings() == Counter()
    assert s3.list_objects_v2(Bucket=outputs["ResultsBucket"])["KeyCount"] == 1
