"""The local farm as the client uses it: up, status and down, with the farm's real template in a real server process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest

from local_farm import daemon
from local_farm.daemon import LocalFarm, LocalFarmError
from local_farm.stack import create_stack

CLONE = Path(__file__).resolve().parent.parent.parent
OUTPUTS = {
    "SourceBucket",
    "ResultsBucket",
    "JobQueue",
    "JobDefinition",
    "LogGroup",
    "Device",
    "BlenderVersion",
    "ContractVersion",
    "JobVcpus",
    "MaxVcpus",
    "SourceExpiryDays",
}

SERVER = """
import sys, time
from pathlib import Path
from local_farm.server import Server
server = Server(folder=Path(sys.argv[1]), command=(sys.executable, "-c", "import os; exec(os.environ['DO'])"))
server.start()
print(server.endpoint_url, flush=True)
time.sleep(60)
"""


def client_of(endpoint_url: str, service: str) -> Any:
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name="us-east-1")  # noqa: S106
    make: Callable[..., Any] = session.client
    return make(service, endpoint_url=endpoint_url)


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home") / "with a space"
    yield home
    daemon.down(home)


@pytest.fixture(scope="module")
def farm(home: Path) -> LocalFarm:
    """Call `up` twice at once, as two terminals may."""
    with ThreadPoolExecutor() as pool:
        (first, new_first), (second, new_second) = pool.map(lambda _: daemon.up(home), range(2))
    assert first == second
    assert {new_first, new_second} == {True, False}
    return first


def test_up_gives_a_farm_whose_stack_is_complete(farm: LocalFarm, home: Path) -> None:
    (stack,) = client_of(farm.endpoint_url, "cloudformation").describe_stacks(StackName=daemon.STACK_NAME)["Stacks"]
    assert stack["StackStatus"] == "CREATE_COMPLETE"
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    assert outputs.keys() >= OUTPUTS
    assert outputs["MaxVcpus"] == str(os.cpu_count())
    assert farm.blender.endswith(outputs["BlenderVersion"])
    assert farm.log == home / "local_farm" / "server.log"
    assert daemon.status(home) == farm


def test_the_template_s_definition_queue_and_log_group_carry_a_job_through_the_emulator(farm: LocalFarm) -> None:
    stack = client_of(farm.endpoint_url, "cloudformation").describe_stacks(StackName=daemon.STACK_NAME)["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    batch = client_of(farm.endpoint_url, "batch")
    (definition,) = batch.describe_job_definitions(jobDefinitionName=outputs["JobDefinition"])["jobDefinitions"]
    assert definition["timeout"]["attemptDurationSeconds"] >= 60
    job_id = batch.submit_job(
        jobName="none",
        jobQueue=outputs["JobQueue"],
        jobDefinition=outputs["JobDefinition"],
        containerOverrides={"environment": [{"name": "RENDER_RUN", "value": "none"}]},
        retryStrategy={"attempts": 1},
    )["jobId"]
    jobs: list[Any] = []

    def ended() -> bool:
        jobs[:] = batch.describe_jobs(jobs=[job_id])["jobs"]
        return jobs[0]["status"] in {"SUCCEEDED", "FAILED"}

    wait_until(ended)
    # There is no such run; what the worker says of it is in the log group that the template made.
    assert jobs[0]["status"] == "FAILED"
    assert jobs[0]["statusReason"] == "Essential container in task exited"
    events = client_of(farm.endpoint_url, "logs").get_log_events(
        logGroupName=outputs["LogGroup"], logStreamName=jobs[0]["container"]["logStreamName"]
    )["events"]
    assert events


def test_a_state_file_whose_token_the_endpoint_does_not_know_is_no_farm(
    farm: LocalFarm, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "local_farm"
    folder.mkdir()
    state = json.loads((home / "local_farm" / "state.json").read_text())
    (folder / "state.json").write_text(json.dumps(state | {"token": "of an earlier start"}))
    assert daemon.status(tmp_path) is None
    assert daemon.down(tmp_path) is False
    assert daemon.status(home) == farm


def test_the_stack_can_be_deleted_and_created_anew(farm: LocalFarm) -> None:
    cloudformation = client_of(farm.endpoint_url, "cloudformation")
    template = json.dumps(cloudformation.get_template(StackName=daemon.STACK_NAME)["TemplateBody"])
    cloudformation.delete_stack(StackName=daemon.STACK_NAME)
    assert cloudformation.list_stacks(StackStatusFilter=["CREATE_COMPLETE"])["StackSummaries"] == []
    assert client_of(farm.endpoint_url, "batch").describe_job_queues()["jobQueues"] == []
    assert client_of(farm.endpoint_url, "batch").describe_compute_environments()["computeEnvironments"] == []
    vpcs = client_of(farm.endpoint_url, "ec2").describe_vpcs()["Vpcs"]
    assert [vpc for vpc in vpcs if not vpc["IsDefault"]] == []
    create_stack(endpoint_url=farm.endpoint_url, region=farm.region, stack_name=daemon.STACK_NAME, template=template)


def test_a_stack_that_cannot_be_made_names_the_resource_and_the_reason(farm: LocalFarm) -> None:
    definition = {
        "Type": "AWS::Batch::JobDefinition",
        "Properties": {"Type": "container", "ContainerProperties": {"Image": "none"}},
    }
    template = json.dumps({"Resources": {"Broken": definition}})
    with pytest.raises(LocalFarmError, match=r"Broken \(AWS::Batch::JobDefinition\).*memory"):
        create_stack(endpoint_url=farm.endpoint_url, region=farm.region, stack_name="broken", template=template)


def test_deleting_a_change_set_that_is_not_there_succeeds(farm: LocalFarm) -> None:
    cloudformation = client_of(farm.endpoint_url, "cloudformation")
    cloudformation.delete_change_set(StackName=daemon.STACK_NAME, ChangeSetName="not-there")


def test_a_port_in_use_is_said_in_one_sentence_with_the_log_s_path(farm: LocalFarm, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(LocalFarmError, match=r"port \d+ is in use.*server\.log"):
            daemon.up(tmp_path, port=taken.getsockname()[1])
    assert daemon.status(tmp_path) is None


def test_down_ends_the_farm_and_a_second_down_says_that_none_was_up(farm: LocalFarm, home: Path) -> None:
    assert daemon.down(home) is True
    wait_until(lambda: not is_running(farm.pid))
    assert daemon.status(home) is None
    assert daemon.down(home) is False
    assert daemon.down(home / "never used") is False


def test_after_a_crash_up_clears_what_was_left_and_sigterm_ends_the_farm(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(lambda: daemon.down(tmp_path))
    said: list[str] = []
    crashed, _ = daemon.up(tmp_path, progress=said.append)
    assert len(said) >= 3
    (tmp_path / "local_farm" / "jobs" / "left").mkdir()
    os.kill(crashed.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(crashed.pid))
    assert daemon.status(tmp_path) is None
    farm, new = daemon.up(tmp_path)
    assert new
    assert not (tmp_path / "local_farm" / "jobs" / "left").exists()
    os.kill(farm.pid, signal.SIGTERM)
    wait_until(lambda: not is_running(farm.pid))
    assert not (tmp_path / "local_farm" / "state.json").exists()


def test_a_worker_does_not_outlive_a_server_that_is_killed(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(tmp_path / "jobs")], cwd=CLONE, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    with server:
        endpoint_url = server.stdout.readline().strip()
        batch, logs, iam, ec2 = (client_of(endpoint_url, service) for service in ("batch", "logs", "iam", "ec2"))
        logs.create_log_group(logGroupName="workers")
        role = iam.create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        environment = batch.create_compute_environment(
            computeEnvironmentName="environment",
            type="MANAGED",
            state="ENABLED",
            serviceRole=role,
            computeResources={
                "type": "FARGATE",
                "maxvCpus": 1,
                "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
                "securityGroupIds": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
            },
        )["computeEnvironmentArn"]
        order = [{"order": 1, "computeEnvironment": environment}]
        batch.create_job_queue(jobQueueName="queue", priority=1, state="ENABLED", computeEnvironmentOrder=order)
        batch.register_job_definition(
            jobDefinitionName="definition",
            type="container",
            containerProperties={
                "image": "none",
                "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "256"}],
                "logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "workers"}},
            },
        )
        note = tmp_path / "pid"
        # The worker ignores SIGTERM and starts a process of its own: only the end of its whole group ends both.
        do = (
            "import signal, subprocess, sys, time\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
            f"open({str(note)!r}, 'w').write(f'{{os.getpid()}} {{child.pid}} .')\n"
            "time.sleep(60)"
        )
        batch.submit_job(
            jobName="job",
            jobQueue="queue",
            jobDefinition="definition",
            containerOverrides={"environment": [{"name": "DO", "value": do}]},
        )
        wait_until(lambda: note.exists() and note.read_text().endswith("."))
        pids = [int(pid) for pid in note.read_text().split()[:2]]
        assert all(map(is_running, pids))
        server.kill()
    wait_until(lambda: not any(map(is_running, pids)))
    wait_until(lambda: list((tmp_path / "jobs").iterdir()) == [])


def test_no_blender_is_said_with_what_to_install(tmp_path: Path) -> None:
    # A Python without the bpy module: the same one, without its site-packages but for what this call imports.
    asking = "from local_farm.blender import find_blender; find_blender()"
    found = subprocess.run(
        [sys.executable, "-S", "-c", asking],
        cwd=CLONE,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pip install bpy==5.0.1" in found.stderr.splitlines()[-1]


def test_a_blender_program_serves_where_there_is_no_module(tmp_path: Path) -> None:
    program = tmp_path / "blender"
    program.write_text(f"#!{shutil.which('sh')}\necho 'Blender 4.2.1 LTS'\n")
    program.chmod(0o755)
    asking = "from local_farm.blender import find_blender; b = find_blender(); print(b, b.program)"
    found = subprocess.run(
        [sys.executable, "-S", "-c", asking],
        cwd=CLONE,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == f"blender 4.2.1 {program}"
