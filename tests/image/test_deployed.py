"""The image that `cdk deploy` builds, and the jobs of that farm in its containers."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from client import config, connection, farm
from local_farm.server import REGION, Server
from tests.deployment.account import Account
from tests.e2e.machine import Machine
from tests.image.conftest import Mirror, make_blend
from tests.image.docker_without_registry import BUILD_VARIABLE, PUSHED
from tests.image.engine import docker, proxies

HERE = Path(__file__).parent


@pytest.fixture
def account(base: str, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """An account after `cdk bootstrap`, whose Batch runs what was pushed; a push is a tag there."""
    cache = tmp_path / "cache"
    cache.mkdir()
    os.chown(cache, 10001, 10001)
    program = tmp_path / "docker"
    program.write_text(
        f'#!/bin/sh\nexec {shlex.join([sys.executable, str(HERE / "docker_without_registry.py")])} "$@"\n'
    )
    program.chmod(0o755)
    given = [f"--build-arg=BASE={base}", f"--build-arg=BLENDER_MIRROR={mirror.url}", *proxies()]
    monkeypatch.setenv(BUILD_VARIABLE, shlex.join(["--network=host", *given]))
    command = (sys.executable, str(HERE / "run_container.py"), PUSHED, str(cache))
    server = Server(folder=tmp_path / "jobs", command=command)
    server.start()
    made = Account(endpoint_url=server.endpoint_url, folder=tmp_path, docker=program)
    made.cdk("bootstrap")
    yield made
    server.stop()


def test_cdk_deploy_builds_the_image_and_batch_runs_it(
    account: Account, mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.deploy({"gpu": "false", "job_vcpus": "1", "max_vcpus": "2", "blender_version": mirror.version})

    (definition,) = account.client("batch").describe_job_definitions(status="ACTIVE")["jobDefinitions"]
    uri = definition["containerProperties"]["image"]
    assert ".dkr.ecr." in uri
    assert docker("inspect", "--format={{.Id}}", uri) == docker("inspect", "--format={{.Id}}", PUSHED)

    monkeypatch.setenv("RENDER_CONFIG", str(tmp_path / "renderconfig"))
    config.save(farm.read_stack("RenderFarm", connection.Connection(region=REGION, endpoint_url=account.endpoint_url)))
    machine = Machine(home=tmp_path, folder=tmp_path, variables={"RENDER_CONFIG": str(tmp_path / "renderconfig")})
    machine.render("init")
    machine.render("add", "-b", make_blend(tmp_path / "shot.blend"), "-f", "1", "-e", "4", "-k", "2")
    machine.render("process", "--watch")
    assert machine.rows()[0]["status"] == "Success"
    assert len(list(machine.folder_of().glob("0*.png"))) == 4
