"""The local farm's AWS Batch, through boto3 and HTTP, with real processes that run a few lines of Python each."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local_farm.server import REGION, Server

if TYPE_CHECKING:
    from pathlib import Path

    from mypy_boto3_batch import BatchClient

SCRIPT = (sys.executable, "-S", "-c", "import os; exec(os.environ.get('DO', ''))")
LOG_GROUP = "workers"
ROLE_POLICY = json.dumps({"Version": "2012-10-17", "Statement": []})
names = (f"name{number}" for number in itertools.count())


def client_of(server: Server, service: str) -> Any:
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION)  # noqa: S106
    # boto3 has an overload a service, and none for a name that is a variable.
    make: Callable[..., Any] = session.client
    return make(service, endpoint_url=server.endpoint_url, config=Config(retries={"total_max_attempts": 1}))


class Farm:
    """One server with a queue of a few vCPUs, and short words for what the tests do over and over."""

    def __init__(self, server: Server, *, max_vcpus: int = 4) -> None:
        self.server = server
        self.batch: BatchClient = client_of(server, "batch")
        self.logs = client_of(server, "logs")
        ec2, iam = client_of(server, "ec2"), client_of(server, "iam")
        self.name = next(names)
        self.role = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument=ROLE_POLICY)["Role"]["Arn"]
        profile = iam.create_instance_profile(InstanceProfileName=self.name)["InstanceProfile"]["Arn"]
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = ec2.create_security_group(GroupName=self.name, Description="workers", VpcId=vpc)["GroupId"]
        self.hosts: Any = {"minvCpus": 0, "instanceTypes": ["c5.large"], "instanceRole": profile}
        self.hosts |= {"type": "EC2", "subnets": [subnet], "securityGroupIds": [group]}
        if not self.logs.describe_log_groups()["logGroups"]:
            self.logs.create_log_group(logGroupName=LOG_GROUP)
        self.queue = self.new_queue(max_vcpus)
        self.definition = self.new_definition()

    def new_queue(self, *max_vcpus: int) -> str:
        name = next(names)
        order = []
        for place, vcpus in enumerate(max_vcpus):
            environment = self.batch.create_compute_environment(
                computeEnvironmentName=f"{name}-ce{place}",
                type="MANAGED",
                state="ENABLED",
                computeResources=self.hosts | {"maxvCpus": vcpus},
                serviceRole=self.role,
            )
            order.append({"order": place, "computeEnvironment": environment["computeEnvironmentArn"]})
        self.batch.create_job_queue(
            jobQueueName=name,
            priority=1,
            state="ENABLED",
            computeEnvironmentOrder=order,  # type: ignore[arg-type]
        )
        return name

    def new_definition(self, *, name: str | None = None, log_group: str = LOG_GROUP, **members: Any) -> str:
        name = name or next(names)
        self.batch.register_job_definition(
            jobDefinitionName=name,
            type="container",
            containerProperties={
                "image": "none",
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}],
                "environment": members.pop("environment", []),
                "logConfiguration": {
                    "logDriver": "awslogs",
                    "options": {"awslogs-group": log_group, "awslogs-stream-prefix": "render"},
                },
            },
            **members,
        )
        return name

    def submit(self, do: str, *, vcpus: int | None = None, size: int | None = None, **members: Any) -> str:
        overrides: dict[str, Any] = {"environment": [{"name": "DO", "value": do}]}
        if vcpus is not None:
            overrides["resourceRequirements"] = [{"type": "VCPU", "value": str(vcpus)}]
        if size is not None:
            members["arrayProperties"] = {"size": size}
        request = {"jobName": "job", "jobQueue": self.queue, "jobDefinition": self.definition} | members
        return self.batch.submit_job(containerOverrides=overrides, **request)["jobId"]  # type: ignore[arg-type]

    def job(self, job_id: str) -> Any:
        return self.batch.describe_jobs(jobs=[job_id])["jobs"][0]

    def wait(self, job_id: str, *statuses: str, seconds: float = 20) -> Any:
        wanted = statuses or ("SUCCEEDED", "FAILED")
        deadline = time.monotonic() + seconds
        while (job := self.job(job_id))["status"] not in wanted:
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
        return job

    def wait_for_file(self, path: Path) -> str:
        deadline = time.monotonic() + 20
        while not path.exists() or not path.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return path.read_text()

    def log(self, job: Any) -> list[str]:
        stream = job["container"]["logStreamName"]
        events = self.logs.get_log_events(logGroupName=LOG_GROUP, logStreamName=stream, startFromHead=True)["events"]
        return [event["message"] for event in events]

    def refusal(self, call: Callable[[], object]) -> str:
        with pytest.raises(ClientError) as caught:
            call()
        assert caught.value.response["Error"]["Code"] == "ClientException"
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        return caught.value.response["Error"]["Message"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(folder=tmp_path_factory.mktemp("jobs"), command=SCRIPT, stop_grace_s=0.3, shortest_timeout_s=1)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def farm(server: Server) -> Farm:
    return Farm(server)


def test_a_job_runs_to_its_end_and_says_so_in_batch_s_words(farm: Farm) -> None:
    before = int(time.time() * 1000)
    job = farm.wait(farm.submit("print('hello')", tags={"farm": "test"}))
    assert job["status"] == "SUCCEEDED"
    assert job["statusReason"] == "Essential container in task exited"
    assert before <= job["createdAt"] <= job["startedAt"] <= job["stoppedAt"] <= time.time() * 1000
    assert job["jobArn"].endswith(f":job/{job['jobId']}")
    assert job["jobQueue"].endswith(f":job-queue/{farm.queue}")
    assert job["jobDefinition"].endswith(f":job-definition/{farm.definition}:1")
    assert job["container"]["exitCode"] == 0
    assert {"type": "VCPU", "value": "1"} in job["container"]["resourceRequirements"]
    assert job["tags"] == {"farm": "test"}
    (attempt,) = job["attempts"]
    assert attempt["container"]["exitCode"] == 0
    assert attempt["container"]["logStreamName"] == job["container"]["logStreamName"]
    assert attempt["startedAt"] <= attempt["stoppedAt"]


def test_a_worker_s_environment_holds_what_the_job_says_and_nothing_of_the_user_s(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_USER", "x")
    monkeypatch.setenv("AWS_PROFILE", "customer")
    farm_environment = [{"name": "A", "value": "definition"}, {"name": "B", "value": "definition"}]
    definition = farm.new_definition(environment=farm_environment)
    printing = "import json; print(json.dumps(dict(os.environ) | {'cwd': os.getcwd()}))"
    job_id = farm.batch.submit_job(
        jobName="job",
        jobQueue=farm.queue,
        jobDefinition=definition,
        containerOverrides={"environment": [{"name": "B", "value": "job"}, {"name": "DO", "value": printing}]},
    )["jobId"]
    (line,) = farm.log(farm.wait(job_id))
    seen = json.loads(line)
    assert (seen["A"], seen["B"]) == ("definition", "job")
    assert seen["AWS_BATCH_JOB_ID"] == job_id
    assert seen["AWS_BATCH_JOB_ATTEMPT"] == "1"
    assert seen["AWS_BATCH_JQ_NAME"] == farm.queue
    assert seen["AWS_BATCH_CE_NAME"] == f"{farm.queue}-ce0"
    assert "AWS_BATCH_JOB_ARRAY_INDEX" not in seen
    assert seen["AWS_ENDPOINT_URL"] == farm.server.endpoint_url
    assert seen["AWS_ENDPOINT_URL"].startswith("http://localhost:")
    assert seen["AWS_REGION"] == seen["AWS_DEFAULT_REGION"] == REGION
    assert seen["HOME"] == seen["cwd"]
    assert seen["RENDER_OUTPUT"] == f"{seen['cwd']}/render_output"
    assert seen["RENDER_WORK"] == f"{seen['cwd']}/work"
    assert not {"SECRET_OF_THE_USER", "AWS_PROFILE", "RENDER_BLENDER"} & seen.keys()
    assert not os.path.exists(seen["cwd"])  # noqa: PTH110


def test_an_array_gives_each_child_its_index_and_the_parent_the_counts(farm: Farm, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waiting = f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    array = farm.submit(f"{waiting}\nprint(os.environ['AWS_BATCH_JOB_ARRAY_INDEX'])", size=6)
    farm.wait(f"{array}:0", "RUNNING")
    farm.wait(f"{array}:3", "RUNNING")
    parent = farm.job(array)
    assert parent["status"] == "PENDING"
    assert parent["arrayProperties"]["size"] == 6
    assert parent["arrayProperties"]["statusSummary"]["RUNNING"] == 4
    assert parent["arrayProperties"]["statusSummary"]["RUNNABLE"] == 2
    gate.touch()
    parent = farm.wait(array)
    assert parent["status"] == "SUCCEEDED"
    assert parent["arrayProperties"]["statusSummary"]["SUCCEEDED"] == 6
    children = farm.batch.describe_jobs(jobs=[f"{array}:{index}" for index in range(6)])["jobs"]
    assert [child["arrayProperties"]["index"] for child in children] == list(range(6))
    assert [farm.log(child) for child in children] == [[str(index)] for index in range(6)]


def test_an_array_fails_only_once_all_its_children_have_ended(farm: Farm) -> None:
    array = farm.submit("import sys; sys.exit(os.environ['AWS_BATCH_JOB_ARRAY_INDEX'] == '0')", size=5)
    parent = farm.wait(array)
    assert parent["status"] == "FAILED"
    assert parent["arrayProperties"]["statusSummary"] == dict.fromkeys(
        ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING"), 0
    ) | {"SUCCEEDED": 4, "FAILED": 1}
    assert parent["stoppedAt"] >= max(farm.job(f"{array}:{index}")["stoppedAt"] for index in range(5))


def test_ten_thousand_children_cost_neither_threads_nor_time(farm: Farm) -> None:
    queue = farm.new_queue(1)
    began = time.monotonic()
    array = farm.submit("import time; time.sleep(60)", size=10_000, jobQueue=queue)
    farm.wait(f"{array}:0", "RUNNING")
    assert farm.job(array)["arrayProperties"]["statusSummary"]["RUNNABLE"] == 9_999
    listed = farm.batch.list_jobs(arrayJobId=array, jobStatus="RUNNABLE")["jobSummaryList"]
    assert len(listed) == 1000
    with os.scandir("/proc/self/task") if os.path.exists("/proc") else os.scandir("/") as threads:  # noqa: PTH110
        assert len(list(threads)) < 50
    farm.batch.terminate_job(jobId=array, reason="enough")
    assert farm.wait(array)["statusReason"] == "enough"
    assert time.monotonic() - began < 5


def test_as_many_workers_run_as_the_compute_environments_have_vcpus(farm: Farm, tmp_path: Path) -> None:
    queue = farm.new_queue(2, 1)
    gate = tmp_path / "gate"
    waiting = f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    wide = farm.submit(waiting, vcpus=2, jobQueue=queue)
    narrow = [farm.submit(waiting, jobQueue=queue) for _ in range(2)]
    farm.wait(wide, "RUNNING")
    farm.wait(narrow[0], "RUNNING")
    assert farm.job(narrow[1])["status"] == "RUNNABLE"
    gate.touch()
    assert [farm.wait(job)["status"] for job in (wide, *narrow)] == ["SUCCEEDED"] * 3


def test_a_job_larger_than_every_compute_environment_says_why_it_waits_and_blocks_the_queue(farm: Farm) -> None:
    queue = farm.new_queue(2, 2)
    large = farm.submit("", vcpus=3, jobQueue=queue)
    small = farm.submit("", jobQueue=queue)
    deadline = time.monotonic() + 5
    while "statusReason" not in (job := farm.job(large)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert job["status"] == "RUNNABLE"
    assert job["statusReason"].startswith("MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - ")
    assert farm.job(small)["status"] == "RUNNABLE"
    farm.batch.cancel_job(jobId=large, reason="too large")
    assert farm.wait(small)["status"] == "SUCCEEDED"


def test_a_disabled_compute_environment_starts_nothing_until_it_is_enabled_again(farm: Farm) -> None:
    queue = farm.new_queue(1)
    farm.batch.update_compute_environment(computeEnvironment=f"{queue}-ce0", state="DISABLED")
    job = farm.submit("", jobQueue=queue)
    farm.wait(job, "RUNNABLE")
    farm.batch.update_compute_environment(computeEnvironment=f"{queue}-ce0", state="ENABLED")
    assert farm.wait(job)["status"] == "SUCCEEDED"


def test_a_failed_job_is_retried_as_often_as_its_definition_says(farm: Farm) -> None:
    definition = farm.new_definition(retryStrategy={"attempts": 3})
    job = farm.wait(
        farm.submit("print(os.environ['AWS_BATCH_JOB_ATTEMPT']); raise SystemExit(7)", jobDefinition=definition)
    )
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Essential container in task exited"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [7, 7, 7]
    assert len({attempt["container"]["logStreamName"] for attempt in job["attempts"]}) == 3
    assert farm.log(job) == ["3"]


def test_a_job_that_succeeds_at_its_second_attempt_succeeds(farm: Farm) -> None:
    job = farm.wait(
        farm.submit("raise SystemExit(os.environ['AWS_BATCH_JOB_ATTEMPT'] == '1')", retryStrategy={"attempts": 10})
    )
    assert job["status"] == "SUCCEEDED"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [1, 0]


@pytest.mark.parametrize(
    ("rules", "attempts"),
    [
        ([{"onExitCode": "75", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}], 2),
        ([{"onExitCode": "7*", "action": "exit"}], 1),
        ([{"onStatusReason": "Essential container*", "action": "Exit"}], 1),
        ([{"onStatusReason": "Essential container", "action": "EXIT"}], 2),
        ([{"onReason": "CannotPullContainerError:*", "action": "EXIT"}], 2),
        ([{"onExitCode": "75", "onStatusReason": "Host EC2*", "action": "EXIT"}], 2),
    ],
    ids=["exit code", "any case", "status reason", "whole text", "nothing matches", "all conditions"],
)
def test_the_retry_rules_decide_in_their_order(farm: Farm, rules: list[dict[str, str]], attempts: int) -> None:
    strategy = {"attempts": 2, "evaluateOnExit": rules}
    job = farm.wait(farm.submit("raise SystemExit(75)", retryStrategy=strategy))
    assert len(job["attempts"]) == attempts


def test_a_missing_log_group_fails_the_start_and_a_rule_can_see_it(farm: Farm) -> None:
    definition = farm.new_definition(log_group="not-there")
    rules = [{"onReason": "CannotStartContainerError:*", "action": "RETRY"}, {"onReason": "*", "action": "EXIT"}]
    job = farm.wait(farm.submit("", jobDefinition=definition, retryStrategy={"attempts": 2, "evaluateOnExit": rules}))
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Task failed to start"
    assert len(job["attempts"]) == 2
    assert job["container"]["reason"].startswith("CannotStartContainerError: ")
    assert "exitCode" not in job["container"]


def test_a_worker_that_dies_of_a_signal_has_exit_code_128_and_the_signal_s_number(farm: Farm) -> None:
    job = farm.wait(farm.submit("os.kill(os.getpid(), 9)"))
    assert job["container"]["exitCode"] == 137


def test_a_job_past_its_timeout_is_ended_and_not_retried(farm: Farm) -> None:
    job = farm.wait(
        farm.submit("import time; time.sleep(60)", timeout={"attemptDurationSeconds": 1}, retryStrategy={"attempts": 5})
    )
    assert job["status"] == "FAILED"
    assert job["statusReason"] == "Job attempt duration exceeded timeout"
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [143]


def test_termination_kills_a_worker_that_ignores_sigterm_and_all_that_it_started(farm: Farm, tmp_path: Path) -> None:
    child = tmp_path / "child"
    do = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(child)!r}, 'w').write(str(p.pid))\n"
        "time.sleep(60)"
    )
    job_id = farm.submit(do, retryStrategy={"attempts": 5})
    pid = int(farm.wait_for_file(child))
    farm.batch.cancel_job(jobId=job_id, reason="cancel reaches no running job")
    assert farm.job(job_id)["status"] == "RUNNING"
    farm.batch.terminate_job(jobId=job_id, reason="the user said so")
    job = farm.wait(job_id)
    assert (job["status"], job["statusReason"], job["isTerminated"]) == ("FAILED", "the user said so", True)
    assert [attempt["container"]["exitCode"] for attempt in job["attempts"]] == [137]
    assert is_gone(pid)


def is_gone(pid: int) -> bool:
    """Wait a moment for a process to end; one that nobody has reaped counts as ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
                if stat.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.02)
    return False


def test_an_array_s_cancellation_ends_waiting_children_and_lets_running_ones_finish(farm: Farm, tmp_path: Path) -> None:
    queue = farm.new_queue(1)
    gate = tmp_path / "gate"
    array = farm.submit(
        f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)", size=4, jobQueue=queue
    )
    farm.wait(f"{array}:0", "RUNNING")
    farm.batch.cancel_job(jobId=array, reason="not needed")
    assert farm.job(array)["status"] == "PENDING"
    gate.touch()
    parent = farm.wait(array)
    assert (parent["status"], parent["statusReason"]) == ("FAILED", "not needed")
    assert farm.job(f"{array}:0")["status"] == "SUCCEEDED"
    last = farm.job(f"{array}:3")
    assert (last["status"], last["statusReason"], last["isCancelled"]) == ("FAILED", "not needed", True)
    assert last["attempts"] == []


def test_every_line_of_output_is_a_log_event_in_order_and_readable_while_the_job_runs(
    farm: Farm, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    do = (
        "import sys, time\n"
        "for number in range(200): print('line', number)\n"
        "sys.stderr.write('and stderr\\n\\n'); sys.stderr.flush()\n"
        "os.write(1, b'caf\\xc3\\xa9 \\xff\\n')\n"
        f"while not os.path.exists({str(gate)!r}): time.sleep(0.02)\n"
        "print('x' * 600_000); print('no line end', end='')"
    )
    job_id = farm.submit(do)
    running = farm.wait(job_id, "RUNNING")
    assert re.fullmatch(r"render/default/[0-9a-f]{32}", running["container"]["logStreamName"])
    assert running["attempts"] == []
    early = [f"line {number}" for number in range(200)] + ["and stderr", "café \ufffd"]
    deadline = time.monotonic() + 10
    while (lines := farm.log(running)) != early:
        assert time.monotonic() < deadline, lines[-3:]
        time.sleep(0.02)
    gate.touch()
    lines = farm.log(farm.wait(job_id))[len(early) :]
    assert lines[-1] == "no line end"
    assert "".join(lines[:-1]) == "x" * 600_000
    assert max(map(len, lines)) <= 256 * 1024


def test_a_job_definition_is_found_by_name_revision_and_arn_and_only_while_active(farm: Farm) -> None:
    name = farm.new_definition()
    farm.new_definition(name=name)
    arn = farm.batch.describe_job_definitions(jobDefinitionName=name)["jobDefinitions"][0]["jobDefinitionArn"]
    bare = arn.rpartition(":")[0]

    def used(definition: str) -> str:
        return str(farm.job(farm.submit("", jobDefinition=definition))["jobDefinition"])

    assert used(name) == used(f"{name}:2") == used(bare) == used(f"{bare}:2") == f"{bare}:2"
    assert used(f"{name}:1") == used(f"{bare}:1") == f"{bare}:1"
    farm.batch.deregister_job_definition(jobDefinition=f"{name}:2")
    assert used(name) == f"{bare}:1"
    assert f"{name}:2" in farm.refusal(lambda: farm.submit("", jobDefinition=f"{name}:2"))


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"jobName": "-starts-with-a-hyphen"}, "jobName"),
        ({"jobName": "käse"}, "jobName"),
        ({"jobName": "n" * 129}, "jobName"),
        ({"jobQueue": "not-there"}, "not-there"),
        ({"jobDefinition": "not-there"}, "not-there"),
        ({"size": 1}, "between 2 and 10000"),
        ({"size": 10_001}, "between 2 and 10000"),
        ({"timeout": {"attemptDurationSeconds": 0}}, "at least 1 seconds"),
        ({"retryStrategy": {"attempts": 11}}, "between 1 and 10"),
        ({"retryStrategy": {"attempts": 0}}, "between 1 and 10"),
        ({"retryStrategy": {"evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}]}}, "attempts"),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "EXIT"}] * 6}}, "5"),
        ({"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "one", "action": "EXIT"}]}}, "'one'"),
        (
            {"retryStrategy": {"attempts": 2, "evaluateOnExit": [{"onExitCode": "1", "action": "STOP"}]}},
            "RETRY or EXIT",
        ),
        ({"dependsOn": [{"jobId": "another"}]}, "dependsOn"),
        ({"parameters": {"large": "x" * 31 * 1024}}, "30720"),
    ],
)
def test_submit_job_refuses_what_aws_refuses(farm: Farm, members: dict[str, Any], named: str) -> None:
    assert named in farm.refusal(lambda: farm.submit("", **members))


def test_job_names_of_one_and_of_128_characters_are_accepted(farm: Farm) -> None:
    for name in ("a", "n" * 128):
        assert farm.job(farm.submit("", jobName=name))["jobName"] == name


def test_variables_with_batch_s_own_prefix_are_refused_everywhere(farm: Farm) -> None:
    environment: Any = [{"name": "AWS_BATCH_JOB_ID", "value": "mine"}]
    request: Any = {"jobName": "job", "jobQueue": farm.queue, "jobDefinition": farm.definition}
    overrides: Any = {"environment": environment}
    assert "AWS_BATCH" in farm.refusal(lambda: farm.batch.submit_job(**request, containerOverrides=overrides))
    assert "AWS_BATCH" in farm.refusal(lambda: farm.new_definition(environment=environment))


def test_a_job_definition_s_timeout_and_retries_have_aws_s_limits(farm: Farm) -> None:
    assert "60" in farm.refusal(lambda: farm.new_definition(timeout={"attemptDurationSeconds": 59}))
    assert "between 1 and 10" in farm.refusal(lambda: farm.new_definition(retryStrategy={"attempts": 11}))


def test_describe_jobs_takes_a_hundred_ids_and_leaves_out_those_it_does_not_know(farm: Farm) -> None:
    known = farm.submit("")
    strange = [f"unknown-{number}" for number in range(97)] + [f"{known}:0", f"{known}:x"]
    assert [job["jobId"] for job in farm.batch.describe_jobs(jobs=[*strange, known])["jobs"]] == [known]
    assert "at most 100" in farm.refusal(lambda: farm.batch.describe_jobs(jobs=["id"] * 101))


def test_list_jobs_shows_running_jobs_unless_told_otherwise(farm: Farm, tmp_path: Path) -> None:
    queue = farm.new_queue(1)
    running = farm.submit("import time; time.sleep(60)", jobQueue=queue)
    farm.wait(running, "RUNNING")
    waiting = [farm.submit("", jobQueue=queue) for _ in range(5)]
    farm.wait(waiting[-1], "RUNNABLE")

    def listed(**members: Any) -> list[str]:
        return [job["jobId"] for job in farm.batch.list_jobs(jobQueue=queue, **members)["jobSummaryList"]]

    assert listed() == [running]
    assert listed(jobStatus="RUNNABLE") == waiting[::-1]
    first = farm.batch.list_jobs(jobQueue=queue, jobStatus="RUNNABLE", maxResults=3)
    assert [job["jobId"] for job in first["jobSummaryList"]] == waiting[:1:-1]
    rest = farm.batch.list_jobs(jobQueue=queue, jobStatus="RUNNABLE", maxResults=3, nextToken=first["nextToken"])
    assert [job["jobId"] for job in rest["jobSummaryList"]] == waiting[1::-1]
    assert "nextToken" not in rest
    farm.batch.terminate_job(jobId=running, reason="enough")


def test_list_jobs_pages_through_an_array_by_its_parent_s_id(farm: Farm) -> None:
    array = farm.submit("", size=5)
    farm.wait(array)
    pages = farm.batch.get_paginator("list_jobs").paginate(
        arrayJobId=array, jobStatus="SUCCEEDED", PaginationConfig={"PageSize": 2}
    )
    indexes = [[job["arrayProperties"]["index"] for job in page["jobSummaryList"]] for page in pages]
    assert indexes == [[0, 1], [2, 3], [4]]


def test_list_jobs_filters_by_name_definition_and_time_whatever_the_status(farm: Farm) -> None:
    queue = farm.new_queue(4)
    one = farm.submit("", jobName="Shot-1", jobQueue=queue)
    farm.wait(one)
    time.sleep(0.002)
    between = str(int(time.time() * 1000))
    two = farm.submit("", jobName="shot-2", jobQueue=queue, size=2)
    farm.wait(two)
    arn = farm.job(one)["jobDefinition"]

    def listed(name: str, value: str) -> list[str]:
        filters: Any = [{"name": name, "values": [value]}]
        jobs = farm.batch.list_jobs(jobQueue=queue, filters=filters, jobStatus="RUNNING")["jobSummaryList"]
        return [job["jobId"] for job in jobs]

    assert listed("JOB_NAME", "SHOT-1") == [one]
    assert listed("JOB_NAME", "shot*") == [two, one]
    assert listed("JOB_NAME", "shot") == []
    assert listed("JOB_DEFINITION", farm.definition) == [two, one]
    assert listed("JOB_DEFINITION", farm.definition.upper()) == []
    assert listed("JOB_DEFINITION", arn) == [two, one]
    assert listed("BEFORE_CREATED_AT", between) == [one]
    assert listed("AFTER_CREATED_AT", str(int(between) - 1)) == [two]


def test_list_jobs_refuses_what_aws_refuses(farm: Farm) -> None:
    named: Any = {"name": "JOB_NAME", "values": ["a"]}
    calls: list[tuple[dict[str, Any], str]] = [
        ({}, "Exactly one"),
        ({"jobQueue": farm.queue, "arrayJobId": "id"}, "Exactly one"),
        ({"jobQueue": farm.queue, "maxResults": 0}, "between 1 and 1000"),
        ({"jobQueue": farm.queue, "maxResults": 101, "filters": [named]}, "between 1 and 100"),
        ({"jobQueue": farm.queue, "filters": [named, named]}, "one filter"),
        ({"jobQueue": farm.queue, "filters": [{"name": "COLOUR", "values": ["a"]}]}, "COLOUR"),
        ({"jobQueue": farm.queue, "jobStatus": "DONE"}, "jobStatus"),
        ({"jobQueue": farm.queue, "nextToken": "mine"}, "nextToken"),
        ({"jobQueue": "not-there"}, "not-there"),
    ]
    for request, named_in in calls:
        assert named_in in farm.refusal(lambda request=request: farm.batch.list_jobs(**request))  # type: ignore[misc]


def test_a_web_page_in_a_browser_can_neither_read_nor_call_the_farm(server: Server) -> None:
    def answer(method: str, **headers: str) -> Any:
        request = urllib.request.Request(f"{server.endpoint_url}/v1/submitjob", method=method, headers=headers)  # noqa: S310
        try:
            return urllib.request.urlopen(request)  # noqa: S310
        except urllib.error.HTTPError as error:
            return error

    assert answer("POST", Host="evil.example").status == 403
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    assert not [name for name in answer("OPTIONS", **asked).headers if name.lower().startswith("access-control")]


def test_a_new_job_is_missing_for_a_moment_where_consistency_is_eventual(tmp_path: Path) -> None:
    server = Server(folder=tmp_path, command=SCRIPT, consistency_delay_s=0.5)
    server.start()
    try:
        farm = Farm(server)
        job_id = farm.submit("", size=2)
        assert farm.batch.describe_jobs(jobs=[job_id, f"{job_id}:0"])["jobs"] == []
        assert farm.batch.list_jobs(arrayJobId=job_id, jobStatus="SUCCEEDED")["jobSummaryList"] == []
        deadline = time.monotonic() + 5
        while not farm.batch.describe_jobs(jobs=[job_id])["jobs"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert len(farm.batch.describe_jobs(jobs=[job_id, f"{job_id}:0"])["jobs"]) == 2
    finally:
        server.stop()


def test_a_server_that_stops_leaves_no_worker_and_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    server = Server(folder=folder, command=SCRIPT)
    server.start()
    farm = Farm(server)
    pid_file = tmp_path / "pid"
    farm.submit(f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); import time; time.sleep(60)")
    pid = int(farm.wait_for_file(pid_file))
    server.stop()
    assert is_gone(pid)
    assert list(folder.iterdir()) == []
