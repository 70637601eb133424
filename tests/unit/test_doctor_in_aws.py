"""What the doctor says of an account, asked through botocore with AWS's own shapes of answers."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from client import doctor, inspection
from client.doctor import Finding, Level
from render_worker import __version__
from tests.unit.strict_aws import RefusalError, StrictAWS, paged, product
from tests.unit.test_doctor import FARM

NOW = datetime.now(timezone.utc)
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/worker:1"
HOST = "i-0123456789abcdef0"
ALARM = (
    f"The farm Farm has no job, yet these hosts were running:\n\n  {HOST}  g5.xlarge  up for 90 minutes  STILL RUNNING"
)


def ago(minutes: float) -> int:
    return int((datetime.now(timezone.utc) - timedelta(minutes=minutes)).timestamp() * 1000)


class Account:
    """An account in which all is well, unless a test says otherwise."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.aws = StrictAWS(patch)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.gigabytes = 5
        """In each of the two pages of each bucket."""
        self._patch = patch
        outputs = {
            "SourceBucket": "source", "ResultsBucket": "results", "JobQueue": FARM.job_queue, "JobDefinition": "Farm",
            "LogGroup": "log", "Device": "gpu", "BlenderVersion": "5.0.1", "ContractVersion": "1", "JobVcpus": "4",
            "MaxVcpus": "64",
            "SourceExpiryDays": str(FARM.source_expiry_days),
        }  # fmt: skip
        stack = {"StackName": "Farm", "StackId": FARM.stack_id, "CreationTime": NOW, "StackStatus": "CREATE_COMPLETE"}
        told = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
        parts = [
            {"LogicalResourceId": f"Part{number}", "ResourceType": "AWS::S3::Bucket", "LastUpdatedTimestamp": NOW,
             "ResourceStatus": "CREATE_COMPLETE"}
            for number in range(3)
        ]  # fmt: skip
        guard = {**parts[0], "LogicalResourceId": "GuardLog1A2B", "ResourceType": "AWS::Logs::LogGroup"}
        parts.append({**guard, "PhysicalResourceId": "Farm-GuardLog"})
        ce = {"computeEnvironmentName": "ce", "computeEnvironmentArn": "arn", "state": "ENABLED", "status": "VALID"}
        order = [{"order": 1, "computeEnvironment": "arn"}]
        queue = {
            "jobQueueName": "q", "jobQueueArn": FARM.job_queue, "state": "ENABLED", "status": "VALID", "priority": 1,
            "computeEnvironmentOrder": order,
        }  # fmt: skip
        self.aws.answers(
            GetCallerIdentity={"Account": "123456789012", "Arn": "arn:aws:iam::123456789012:user/a", "UserId": "A"},
            DescribeStacks={"Stacks": [{**stack, "Outputs": told}]},
            GetServiceQuota={"Quota": {"QuotaCode": "L-3819A6DF", "Value": 64.0, "Unit": "None"}},
            GetRole=lambda asked: {
                "Role": {"Path": "/", "RoleName": asked["RoleName"], "RoleId": "AROA0123456789ABCDEF",
                         "Arn": f"arn:aws:iam::123456789012:role/{asked['RoleName']}", "CreateDate": NOW}
            },
            DescribeJobDefinitions=paged("jobDefinitions", map(self.definition, (2, 10, 9))),
            DescribeImages={"imageDetails": [{"repositoryName": "worker"}]},
            DescribeJobQueues={"jobQueues": [queue]},
            DescribeComputeEnvironments={"computeEnvironments": [ce]},
            ListJobs=self._listed,
            DescribeJobs=lambda asked: {"jobs": [self.jobs[each] for each in asked["jobs"]]},
            ListObjectsV2=self._stored,
            GetProducts={"PriceList": [json.dumps(each) for each in s3_prices("EU-", "0.0230000000")]},
            ListStackResources=paged("StackResourceSummaries", parts, "NextToken"),
            FilterLogEvents={"events": []},
        )  # fmt: skip
        self.hosts()

    def _stored(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer ListObjectsV2 with two pages."""
        more = {} if "ContinuationToken" in asked else {"NextContinuationToken": "more"}
        return {"Contents": [{"Key": "a", "Size": self.gigabytes * 10**9}], "IsTruncated": bool(more), **more}

    @staticmethod
    def definition(revision: int) -> dict[str, Any]:
        return {
            "jobDefinitionName": "Farm", "jobDefinitionArn": f"arn:{revision}", "revision": revision,
            "type": "container", "containerProperties": {"image": IMAGE if revision == 10 else "an old one"},
        }  # fmt: skip

    def job(self, name: str, status: str, *, minutes: float, reason: str = "", **more: Any) -> None:
        job = {
            "jobName": name, "jobId": name, "jobQueue": FARM.job_queue, "status": status, "createdAt": ago(minutes),
            "startedAt": 0, "jobDefinition": "Farm", **more,
        }  # fmt: skip
        self.jobs[name] = {**job, **({"statusReason": reason} if reason else {})}

    def _listed(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Answer ListJobs: without a status it shows what is RUNNING alone, and children only by their array."""
        status, parent = asked.get("jobStatus", "RUNNING"), asked.get("arrayJobId")
        found = []
        for number, job in self.jobs.items():
            of, _, index = number.partition(":")
            if job["status"] == status and (of == parent if index else parent is None):
                names = ("jobName", "jobId", "status", "createdAt", "statusReason")
                found.append({name: job[name] for name in names if name in job})
        return {"jobSummaryList": found}

    def hosts(self, *ids: str, life_cycle: str | None = "spot", state: str = "running") -> None:
        more: dict[str, str] = {"InstanceLifecycle": life_cycle} if life_cycle else {}
        instances = [
            {"InstanceId": number, "InstanceType": "g5.xlarge", "LaunchTime": NOW - timedelta(minutes=90),
             "CpuOptions": {"CoreCount": 2, "ThreadsPerCore": 2}, "State": {"Name": state}, **more}
            for number in ids
        ]  # fmt: skip
        self.aws.answers(DescribeInstances=paged("Reservations", [{"Instances": instances}], "NextToken"))

    def alarm(self, *, hours: float) -> None:
        at = ago(60 * hours)
        self.aws.answers(FilterLogEvents=paged("events", [{"timestamp": at, "message": ALARM}]))

    def found(self, check: str) -> Finding:
        """Make one check alone."""
        self._patch.setattr(doctor, "CHECKS", (getattr(doctor, check.replace(" ", "_")),))
        (found,) = doctor.examine(FARM)
        return found


def s3_prices(code: str, usd: str) -> list[dict[str, Any]]:
    """Tell what the price list has of S3 Standard: its tiers in no order, among other usage."""
    first = {"unit": "GB-Mo", "beginRange": "0", "endRange": "51200", "pricePerUnit": {"USD": usd}}
    second = {"unit": "GB-Mo", "beginRange": "51200", "endRange": "512000", "pricePerUnit": {"USD": "0.0220000000"}}
    other = {**first, "pricePerUnit": {"USD": "9.0"}}
    return [
        product(f"{code}TimedStorage-INT-FA-ByteHrs", other, volumeType="Intelligent-Tiering"),
        product(f"{code}TimedStorage-ByteHrs", second, first, volumeType="Standard"),
    ]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Account:
    return Account(monkeypatch)


def test_a_farm_that_is_well_has_no_trouble_and_nothing_of_it_is_unknown_but_blender_here(account: Account) -> None:
    found = doctor.examine(FARM)
    unwell = {each.check: each.said for each in found if each.level is not Level.OK and each.check != "local blender"}
    assert unwell == {}


@pytest.mark.parametrize(
    ("prices", "sentence"),
    [
        (
            s3_prices("EU-", "0.0250000000"),
            "60.000 GB are kept, about 1.50 dollars a month at 0.025 per GB (the price of eu-west-1)",
        ),
        (s3_prices("", "0.0230000000"), "about 1.38 dollars a month at 0.023 per GB (the price of eu-west-1)"),
        ([], "about 1.38 dollars a month at 0.023 per GB (us-east-1's price, since AWS tells none of this region)"),
        (None, "(us-east-1's price, since this region's was not told: AWS refused the price list (not authorized"),
    ],
)
def test_stored_bytes_are_priced_as_in_their_region_or_it_is_said_that_they_are_not(
    account: Account, prices: list[dict[str, Any]] | None, sentence: str
) -> None:
    refusal = RefusalError("AccessDeniedException", "not authorized to perform pricing:GetProducts")
    account.gigabytes = 15
    account.aws.answers(GetProducts=refusal if prices is None else {"PriceList": list(map(json.dumps, prices))})
    found = account.found("stored")
    assert found.level is Level.COSTS
    assert sentence in found.said
    assert "results_expiry_days" in found.fix


def test_the_price_list_is_asked_where_it_is_served_for_the_farms_region(account: Account) -> None:
    asked: list[dict[str, Any]] = []

    def none(question: dict[str, Any]) -> dict[str, Any]:
        asked.append(question)
        return {"PriceList": []}

    account.aws.answers(GetProducts=none)
    account.found("stored")
    assert account.aws.regions["GetProducts"] == "us-east-1"
    assert asked[0]["ServiceCode"] == "AmazonS3"
    assert {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"} in asked[0]["Filters"]


@pytest.mark.parametrize(
    ("reason", "fix"),
    [
        (
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - All compute environments are too small",
            "Raise max_vcpus",
        ),
        ("MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT - The job resource requirement is higher", "Lower job_memory_mib"),
        ("MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS - The role lacks permissions", "Make the roles"),
        ("MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED - Not supported", "List other sizes"),
        ("UNDETERMINED - Batch job is blocked, root cause is undetermined.", "Mend the cause"),
    ],
)
def test_a_job_that_batch_says_is_blocked_is_told_at_once_with_the_reason_and_its_fix(
    account: Account, reason: str, fix: str
) -> None:
    account.job("blocked", "RUNNABLE", minutes=3, reason=reason)
    found = account.found("waiting jobs")
    assert found.level is Level.FAILS
    assert f"blocked is RUNNABLE for 3 min: {reason.rstrip('.')}." in found.said
    assert found.fix.startswith(fix)
    assert "render cancel ID" in found.fix


def test_an_arrays_child_has_waited_since_its_last_attempt_ended_and_the_reason_is_that_of_the_head(
    account: Account,
) -> None:
    account.job("array", "PENDING", minutes=300, arrayProperties={"size": 3, "statusSummary": {"RUNNABLE": 2}})
    account.job("array:0", "RUNNABLE", minutes=290, arrayProperties={"index": 0})
    retried = [{"container": {}, "startedAt": ago(200), "stoppedAt": ago(45)}]
    full = "CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - Service cannot fulfill the capacity requested for g5.xlarge"
    account.job("array:1", "RUNNABLE", minutes=290, reason=full, attempts=retried, arrayProperties={"index": 1})
    account.job("array:2", "RUNNING", minutes=290, arrayProperties={"index": 2})
    found = account.found("waiting jobs")
    assert found.level is Level.FAILS
    assert found.said == f"array is RUNNABLE for 45 min: {full}."
    assert found.fix.startswith("List more sizes (instance_types) or set on_demand_fallback, then cdk deploy.")


def test_an_array_whose_children_all_run_waits_for_nothing(account: Account) -> None:
    account.job("array", "PENDING", minutes=300, arrayProperties={"size": 2, "statusSummary": {"RUNNING": 2}})
    account.job("array:0", "RUNNING", minutes=290, arrayProperties={"index": 0})
    account.job("soon", "RUNNABLE", minutes=5)
    assert account.found("waiting jobs").said == "1 job waits for a host, none for long."


@pytest.mark.parametrize(
    ("hosts", "quota", "max_vcpus", "level", "sentence", "fix"),
    [
        (16, 64.0, 64, Level.OK, "use 64 of the 64 vCPUs of `All G and VT Spot Instance Requests`", "Service Quotas"),
        (16, None, 64, Level.OK, "since the farm's hosts use 64 of its 64 vCPUs (max_vcpus)", "Raise max_vcpus"),
        (2, 64.0, 64, Level.OK, "Spot has no more now than the 2 hosts that run", "List more sizes"),
        (0, 64.0, 64, Level.FAILS, "Batch gives no reason, so Spot has no such host now, or other hosts", "List more"),
        (0, 0.0, 64, Level.FAILS, "Instance Requests` is 0 vCPUs, and a job takes 4", "Service Quotas"),
    ],
)
def test_a_long_wait_is_told_from_the_quota_from_max_vcpus_and_from_capacity(
    account: Account, hosts: int, quota: float | None, max_vcpus: int, level: Level, sentence: str, fix: str
) -> None:
    account.job("long", "RUNNABLE", minutes=95)
    account.hosts(*(f"i-{number:017x}" for number in range(hosts)))
    refusal = RefusalError("AccessDeniedException", "no")
    account.aws.answers(GetServiceQuota=refusal if quota is None else {"Quota": {"Value": quota}})
    found = account.found("waiting jobs")
    assert found.said.startswith("1 job waits for a host, up to 95 min")
    assert (found.level, sentence in found.said, fix in found.fix) == (level, True, True), found


def test_on_demand_hosts_use_nothing_of_the_spot_quota(account: Account) -> None:
    account.job("long", "RUNNABLE", minutes=95)
    account.hosts(*(f"i-{number:017x}" for number in range(16)), life_cycle=None)
    assert "(max_vcpus)" in account.found("waiting jobs").said


def test_a_fresh_alarm_costs_while_its_host_runs_on_without_a_job(account: Account) -> None:
    account.alarm(hours=2)
    account.hosts(HOST)
    found = account.found("guard alarm")
    assert found.level is Level.COSTS
    assert f"Without a job, these run on: {HOST}." in found.said
    assert found.fix == f"Stop them: aws ec2 terminate-instances --region eu-west-1 --instance-ids {HOST}"


@pytest.mark.parametrize(
    ("hours", "hosts", "job", "sentence"),
    [
        (2, (), False, "None of them runs any more."),
        (2, ("i-0fedcba9876543210",), False, "None of them runs any more."),
        (2, (HOST,), True, f"{HOST} run on, and there are jobs now."),
        (25, (HOST,), False, "STILL RUNNING."),
    ],
)
def test_an_alarm_is_no_trouble_once_its_hosts_are_gone_or_at_work_or_it_is_old(
    account: Account, hours: float, hosts: tuple[str, ...], job: bool, sentence: str
) -> None:
    account.alarm(hours=hours)
    account.hosts(*hosts)
    if job:
        account.job("works", "RUNNING", minutes=1)
    found = account.found("guard alarm")
    assert found.level is Level.OK
    assert found.said.startswith("The guard's last alarm, ")
    assert found.said.endswith(sentence)


def test_client_and_farm_are_told_with_their_versions_and_blender_on_both_sides(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspection, "find_blender", lambda: ["blender"])
    monkeypatch.setattr(inspection, "blender_version", lambda _: "4.5.3")
    said = f"Client {__version__} and farm both speak version 1; the farm renders with Blender 5.0.1."
    assert account.found("version").said == said
    found = account.found("local blender")
    assert found.said == "Blender 4.5.3 is here, 5.0.1 on the farm."
    assert "blender_version" in found.fix


REFUSED = RefusalError("AccessDeniedException", "User is not authorized")


@pytest.mark.parametrize(
    ("check", "answers", "level", "sentence"),
    [
        (
            "credentials",
            {
                "GetCallerIdentity": RefusalError(
                    "ExpiredToken", "The security token included in the request is expired"
                )
            },
            Level.FAILS,
            "The AWS credentials have expired or are unknown (ExpiredToken): sign in again",
        ),
        (
            "stack",
            {"DescribeStacks": RefusalError("ValidationError", "Stack with id Farm does not exist")},
            Level.FAILS,
            "There is no stack Farm in region eu-west-1",
        ),
        (
            "spot quota",
            {"GetServiceQuota": REFUSED},
            Level.UNCHECKED,
            "may not be read (servicequotas:GetServiceQuota)",
        ),
        ("spot quota", {"GetServiceQuota": {"Quota": {"Value": 0.0}}}, Level.FAILS, "is 0 vCPUs; a job takes 4"),
        (
            "service roles",
            {"GetRole": RefusalError("NoSuchEntity", "The role with name AWSServiceRoleForBatch cannot be found.")},
            Level.FAILS,
            "The account has no AWSServiceRoleForBatch and no AWSServiceRoleForEC2Spot.",
        ),
        ("service roles", {"GetRole": REFUSED}, Level.UNCHECKED, "AWS refused the role AWSServiceRoleForBatch"),
        (
            "image",
            {"DescribeImages": RefusalError("ImageNotFoundException", "The image does not exist")},
            Level.FAILS,
            f"{IMAGE} is not in ECR (any more).",
        ),
        (
            "image",
            {"DescribeImages": RefusalError("RepositoryNotFoundException", "The repository does not exist")},
            Level.FAILS,
            f"{IMAGE} is not in ECR (any more).",
        ),
        ("image", {"DescribeJobDefinitions": {"jobDefinitions": []}}, Level.FAILS, "AWS has no job definition Farm"),
        ("queue", {"DescribeJobQueues": {"jobQueues": []}}, Level.FAILS, "AWS has no job queue arn:aws:batch"),
        ("idle hosts", {"DescribeInstances": RefusalError("UnauthorizedOperation", "no")}, Level.UNCHECKED, "(no)"),
        (
            "stored",
            {"ListObjectsV2": RefusalError("NoSuchBucket", "The specified bucket does not exist")},
            Level.UNCHECKED,
            "not checked: The farm Farm has no such part any more",
        ),
        (
            "guard alarm",
            {"ListStackResources": {"StackResourceSummaries": []}},
            Level.UNCHECKED,
            "The farm has no guard.",
        ),
        (
            "guard alarm",
            {"FilterLogEvents": RefusalError("ResourceNotFoundException", "The specified log group does not exist.")},
            Level.UNCHECKED,
            "not checked: AWS has no guard's log (any more).",
        ),
    ],
)
def test_each_failure_is_told_in_a_sentence(
    account: Account, check: str, answers: dict[str, Any], level: Level, sentence: str
) -> None:
    account.aws.answers(**answers)
    found = account.found(check)
    assert (found.level, sentence in found.said) == (level, True), found


def test_a_missing_role_is_made_with_the_command_that_is_told(account: Account) -> None:
    account.aws.answers(GetRole=RefusalError("NoSuchEntity", "cannot be found"))
    assert (
        "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in account.found("service roles").fix
    )


def test_the_newest_job_definition_of_every_page_names_the_image(account: Account) -> None:
    assert account.found("image").said == f"{IMAGE} is in ECR."


def test_an_idle_host_is_billed_and_one_beside_a_job_of_an_array_is_not(account: Account) -> None:
    account.hosts(HOST, state="pending")
    assert account.found("idle hosts").level is Level.COSTS
    account.job("array", "PENDING", minutes=1, arrayProperties={"size": 2})
    assert account.found("idle hosts").level is Level.OK


def test_the_manual_lists_the_checks_in_their_order() -> None:
    manual = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z ]+) (?:\|[^|]*){3}\|$", manual, re.MULTILINE)
    assert rows == ["check", *(check.__name__.replace("_", " ") for check in doctor.CHECKS)]


def test_an_answer_that_aws_never_gives_fails_the_test(account: Account) -> None:
    account.aws.answers(DescribeImages={"imageDetails": [{"name": "worker"}]})
    with pytest.raises(AssertionError, match="Unknown parameter"):
        account.found("image")
