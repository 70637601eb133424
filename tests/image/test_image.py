"""The image as it is built and run: as whom, with what in it, and that it renders what the local worker renders."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image, ImageChops

from local_farm.server import REGION
from render_worker import contract
from render_worker.contract import ExitCode, Report
from tests.image.conftest import BLENDER, ContainerFarm, Mirror, make_blend
from tests.image.engine import docker
from tests.image.run_container import CONFINED, LABEL

_LAYER_BYTES = 2_000_000_000


def render_here(containers: ContainerFarm, run: str, chunk: int, results: str, folder: Path) -> None:
    """Render a chunk of a run with the worker of this machine and the same Blender, into a bucket of its own."""
    variables = {
        "AWS_ENDPOINT_URL": containers.config.endpoint_url,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        contract.SOURCE_BUCKET_VARIABLE: containers.config.source_bucket,
        contract.RESULTS_BUCKET_VARIABLE: results,
        contract.DEVICE_VARIABLE: "cpu",
        contract.RUN_VARIABLE: run,
        contract.ARRAY_INDEX_VARIABLE: str(chunk),
        contract.OUTPUT_VARIABLE: str(folder / "output"),
        "RENDER_WORK": str(folder / "work"),
        "RENDER_BLENDER": str(BLENDER),
        "PATH": os.environ["PATH"],
    }
    worker = [sys.executable, "-P", "-m", "render_worker"]
    done = subprocess.run(worker, env=variables, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr


def wait_for(what: Callable[[], bool], seconds: float = 100) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_check_tells_the_versions_and_the_devices_that_cycles_sees(image: str, mirror: Mirror) -> None:
    said = docker("run", *CONFINED, image, "check")
    assert said.startswith("Worker ")
    assert f"\nBlender {mirror.version}\n" in said
    assert "\nCPU: " in said
    assert "Cycles sees no GPU here" in said


def test_an_archive_with_another_checksum_than_the_one_wanted_fails_the_build(base: str, mirror: Mirror) -> None:
    said = mirror.build(base, f"BLENDER_SHA256={'0' * 64}", tag="render-farm-tests:forged", code=1)
    assert "tar.xz: FAILED" in said


def test_it_runs_as_nobody_in_particular_and_carries_no_tools(image: str) -> None:
    tools = "cc curl gcc g++ git make pip pip3 wget xz"
    assert docker("inspect", "--format={{.Config.User}}", image).strip() == "10001:10001"
    script = f"for each in {tools}; do command -v $each; done; python3 -c 'import pip'; find /tmp -mindepth 1"
    said = docker("run", *CONFINED, "--entrypoint=sh", image, "-c", script, code=None).splitlines()
    assert said[-1] == "ModuleNotFoundError: No module named 'pip'"
    assert not [line for line in said if line.startswith("/")]


def test_no_layer_is_too_large_to_pull_in_parallel_with_others(image: str) -> None:
    sizes = docker("history", "--human=false", "--format={{.Size}}", image).split()
    assert max(map(int, sizes)) < _LAYER_BYTES


def test_an_array_job_of_containers_renders_what_the_local_worker_renders(
    containers: ContainerFarm, tmp_path: Path
) -> None:
    machine = containers.machine
    machine.render("add", "-b", make_blend(tmp_path / "shot.blend"), "-f", "1", "-e", "4", "-k", "2")
    machine.render("process", "--watch")
    (row,) = machine.rows()
    assert row["status"] == "Success"

    here = containers.bucket("this-machines-frames")
    here.create()
    for chunk in (0, 1):
        render_here(containers, row["run"], chunk, here.name, tmp_path)

    frames = sorted(machine.folder_of().glob("0*.png"))
    assert [path.name for path in frames] == ["0001.png", "0002.png", "0003.png", "0004.png"]
    for path in frames:
        body = here.Object(contract.frames_prefix(row["run"]) + path.name).get()["Body"].read()
        with Image.open(path) as theirs, Image.open(io.BytesIO(body)) as ours:
            assert (theirs.mode, theirs.size) == (ours.mode, ours.size)
            assert ImageChops.difference(theirs.convert("RGB"), ours.convert("RGB")).getbbox() is None, path.name
    shared = [path for path in containers.cache.iterdir() if path.suffix == ""]
    assert [path.stat().st_uid for path in shared] == [10001], "fetched once, for both containers"


def test_a_container_that_is_stopped_is_gone_in_time_and_the_next_attempt_goes_on(
    containers: ContainerFarm, tmp_path: Path
) -> None:
    machine = containers.machine
    machine.render(
        "add", "-b", make_blend(tmp_path / "long.blend", end=12), "-k", "12", "-x", "300", "-y", "300", "-s", "64"
    )
    machine.render("process", code=3)
    run = machine.rows()[0]["run"]
    results = containers.bucket(containers.config.results_bucket)
    prefix = contract.frames_prefix(run)
    wait_for(lambda: len(list(results.objects.filter(Prefix=prefix))) > 1)

    (container,) = docker("ps", "--quiet", "--filter", f"label={LABEL}").split()
    began = time.monotonic()
    docker("stop", "--time=60", container)
    assert time.monotonic() - began < 25

    machine.render("process", "--watch")
    assert machine.rows()[0]["status"] == "Success"
    first, second = (
        Report.from_json(results.Object(contract.report_key(run, 0, attempt)).get()["Body"].read())
        for attempt in (1, 2)
    )
    assert first.exit_code == ExitCode.PASSING
    assert len(first.frames) > 1
    assert second.skipped == tuple(frame.frame for frame in first.frames), "no finished frame is rendered again"
    assert len(second.frames) == 12 - len(first.frames)
