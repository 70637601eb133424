"""The image, built by our unchanged Dockerfile on a stand-in base from a stand-in archive, and a farm that runs it."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest

from client import config, connection, farm
from client.config import FarmConfig
from local_farm.server import REGION, Server
from local_farm.stack import StackSettings, Synthesis, create_stack
from tests.e2e.machine import Machine
from tests.image import engine
from tests.image.run_container import LABEL

CLONE = Path(__file__).parents[2]
BLENDER = Path("/usr/bin/blender")
TAG = "render-farm-tests:worker"
_STACK = "ContainerFarm"
_STOP_SECONDS = 25.0
"""Between SIGTERM and SIGKILL; the worker promises to be gone by then."""


@dataclass(frozen=True)
class Mirror:
    """A server of what looks like Blender's release of this version, with its checksum beside it."""

    url: str
    version: str

    def build(self, base: str, *arguments: str, tag: str = TAG, code: int = 0) -> str:
        """Type `docker build` as a deployer would, with this mirror; give all that it said."""
        given = [f"BASE={base}", f"BLENDER_MIRROR={self.url}", f"BLENDER_VERSION={self.version}", *arguments]
        words = [f"--build-arg={each}" for each in given]
        # The host's network has the mirror and the way to the package archives.
        return engine.docker(
            "build", "--network=host", f"--tag={tag}", *engine.proxies(), *words, CLONE / "render_worker", code=code
        )


@dataclass
class ContainerFarm:
    """A local farm whose Batch runs the image, and the folder that its containers share."""

    config: FarmConfig
    machine: Machine
    cache: Path

    def bucket(self, name: str) -> Any:
        """Give a bucket of the emulator."""
        return boto3.resource(
            "s3",
            endpoint_url=self.config.endpoint_url,
            region_name=REGION,
            aws_access_key_id="tests",
            aws_secret_access_key="tests",  # noqa: S106 -- the emulator takes any
        ).Bucket(name)


def make_blend(path: Path, **options: object) -> Path:
    """Make a .blend that this Blender can open, by this very Blender."""
    words = [f"{name}={value}" for name, value in options.items()]
    script = ["--python-exit-code", "1", "--python", str(CLONE / "tests" / "make_blend.py")]
    blender = [str(BLENDER), "--background", "--factory-startup", *script, "--", str(path), *words]
    subprocess.run(blender, check=True, capture_output=True)
    return path


@pytest.fixture(scope="session", autouse=True)
def running_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    having = engine.engine(tmp_path_factory.mktemp("engine") / "dockerd.log")
    try:
        having.__enter__()
    except engine.NoEngineError as error:
        pytest.skip(str(error))
    yield
    having.__exit__(None, None, None)


@pytest.fixture(scope="session")
def base(running_engine: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    return engine.base_image(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def mirror(running_engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    """Serve an archive laid out as Blender's, whose `blender` hands over to the base's own."""
    said = subprocess.run([BLENDER, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"Blender ((\d+\.\d+)\.\d+)", said)
    assert found is not None, said
    version, series = found.groups()
    root = tmp_path_factory.mktemp("mirror")
    launcher = root / "blender"
    launcher.write_text(f'#!/bin/sh\nexec {BLENDER} "$@"\n')
    launcher.chmod(0o755)
    folder = root / f"Blender{series}"
    folder.mkdir()
    archive = folder / f"blender-{version}-linux-x64.tar.xz"
    with tarfile.open(archive, "w:xz") as tar:
        tar.add(launcher, f"blender-{version}-linux-x64/blender")
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    (folder / f"blender-{version}.sha256").write_text(f"{digest}  {archive.name}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Mirror(f"http://127.0.0.1:{server.server_port}", version)
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def image(base: str, mirror: Mirror) -> str:
    """The worker's image; it stays, so that the next run builds only what changed."""
    mirror.build(base)
    return TAG


@pytest.fixture(scope="session")
def container_farm(
    image: str, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[FarmConfig, Path]]:
    """A local farm with a container in place of each worker process."""
    folder = tmp_path_factory.mktemp("farm")
    cache = folder / "cache"
    cache.mkdir()
    os.chown(cache, 10001, 10001)
    synthesis = Synthesis(StackSettings(stack_name=_STACK, blender_version=mirror.version, cpus=os.cpu_count() or 1))
    command = (sys.executable, str(Path(__file__).with_name("run_container.py")), image, str(cache))
    server = Server(folder=folder / "jobs", command=command, stop_grace_s=_STOP_SECONDS)
    server.start()
    try:
        create_stack(endpoint_url=server.endpoint_url, region=REGION, stack_name=_STACK, template=synthesis.template())
        yield farm.read_stack(_STACK, connection.Connection(region=REGION, endpoint_url=server.endpoint_url)), cache
    finally:
        synthesis.close()
        server.stop()
        left = engine.docker("ps", "--quiet", "--filter", f"label={LABEL}").split()
        if left:
            engine.docker("rm", "--force", *left)


@pytest.fixture
def containers(
    container_farm: tuple[FarmConfig, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ContainerFarm:
    """A user of that farm, in a folder with an empty job file."""
    found, cache = container_farm
    settings = tmp_path / "renderconfig"
    monkeypatch.setenv("RENDER_CONFIG", str(settings))
    config.save(found)
    machine = Machine(home=tmp_path, folder=tmp_path, variables={"RENDER_CONFIG": str(settings)})
    machine.render("init")
    return ContainerFarm(found, machine, cache)
