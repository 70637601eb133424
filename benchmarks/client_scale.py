"""What large and many renders cost the client: AWS calls, its own time and its memory.

The AWS behind it answers at once, in the same process (benchmarks/instant_aws.py), so that seconds are the client's
own. A client that submits and asks chunk by chunk makes 20,000 calls and more where `submit_calls` counts ours.
"""

from __future__ import annotations

import csv
import hashlib
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

from benchmarks.instant_aws import InstantAWS
from benchmarks.report import tell
from client import config, fetch, inspection
from client.config import FarmConfig
from client.connection import Connection
from client.farm import Farm
from client.jobfile import COLUMNS, JobFile, Render
from client.process import Outcome, Process
from client.screen import Lines
from client.standing import Standing
from render_worker import contract
from render_worker.contract import CONTRACT_VERSION, FrameReport, Host, RenderedFile, Report

CHUNKS = 10_000
RENDERS = 100
ROWS = 1_000
FRAME = b"\x89PNG" + bytes(96)
FRAME_DIGEST = hashlib.sha256(FRAME).hexdigest()
FARM = FarmConfig(
    stack_name="Farm",
    stack_id="arn:aws:cloudformation:us-east-1:123456789012:stack/Farm/0",
    region="us-east-1",
    endpoint_url="http://localhost:9",
    source_bucket="source",
    results_bucket="results",
    job_queue="queue",
    job_definition="Farm",
    log_group="log",
    device="gpu",
    blender_version="5.0.1",
    contract_version=CONTRACT_VERSION,
    job_vcpus=4,
    source_expiry_days=30,
    max_vcpus=64,
)


class Quiet(Lines):
    """Says nothing."""

    def say(self, text: str) -> None:
        """Pass over it."""

    def warn(self, text: str) -> None:
        """Pass over it."""

    def fetched(self, render: Render, files: int) -> None:
        """Pass over it."""

    def stands(self, standing: Standing) -> None:
        """Pass over it."""


@contextmanager
def studio(aws: InstantAWS | None = None, stack: FarmConfig = FARM) -> Iterator[tuple[InstantAWS, Farm, JobFile]]:
    """Give an AWS, an empty one unless given, a farm in it and a job file."""
    aws, make = aws or InstantAWS(), Connection.client
    with tempfile.TemporaryDirectory() as folder:
        variables = {"RENDER_HOME": folder, "RENDER_CONFIG": f"{folder}/config"}
        variables |= {"AWS_ACCESS_KEY_ID": "nobody", "AWS_SECRET_ACCESS_KEY": "nothing"}
        with (
            mock.patch.dict(os.environ, variables),
            mock.patch.object(inspection, "find_blender", return_value=None),
            mock.patch.object(
                Connection,
                "client",
                lambda self, service, **how: aws.client(lambda name: make(self, name, **how), service),
            ),
        ):
            config.save(stack)
            blend = Path(folder, "shot.blend")
            blend.write_bytes(b"BLENDER" + os.urandom(1 << 16))
            jobfile = JobFile(Path(folder, "joblist.csv"))
            jobfile.create()
            yield aws, Farm(stack), jobfile


def one_pass(jobfile: JobFile, farm: Farm) -> Outcome:
    """Take every row as far as it can go."""
    return Process(jobfile, farm, Quiet()).once()


def large() -> dict[str, float]:
    """Submit one render of 10,000 chunks, poll it while nothing changes, and bring it to Success."""
    with studio() as (aws, farm, jobfile):
        jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": CHUNKS, "step": 1, "breaksize": 1})
        began = time.process_time()
        one_pass(jobfile, farm)
        submitting = time.process_time() - began
        submit_calls = aws.calls.total()

        aws.calls.clear()
        one_pass(jobfile, farm)
        idle_calls = aws.calls.total()

        run = jobfile.read()[0][0].run
        finish(aws, run)
        downloading = 0.0
        real = fetch.fetch_frames

        def timed(*arguments: object) -> int:
            nonlocal downloading
            began = time.process_time()
            count = real(*arguments)  # type: ignore[arg-type]
            downloading += time.process_time() - began
            return count

        aws.calls.clear()
        began = time.process_time()
        with mock.patch.object(fetch, "fetch_frames", timed):
            outcome = one_pass(jobfile, farm)
        finishing = time.process_time() - began - downloading
        if outcome.exit_code:
            raise SystemExit(f"the render did not succeed: {jobfile.read()[0][0].error}")
        return {
            "submit_calls": submit_calls,
            "idle_poll_calls_1": idle_calls,
            "finish_calls": aws.calls.total() - CHUNKS,
            "own_ms_a_chunk": (submitting + finishing) / CHUNKS * 1000,
        }


def finish(aws: InstantAWS, run: str) -> None:
    """Put every frame and report where the workers would, and let the job succeed."""
    for chunk in range(CHUNKS):
        name = f"{chunk + 1:04}.png"
        aws.objects[f"results/{contract.frames_prefix(run)}{name}"] = FRAME
        files = (RenderedFile(name=name, size=len(FRAME), digest=FRAME_DIGEST),)
        frames = (FrameReport(frame=chunk + 1, seconds=1.0, memory_mib=100, files=files),)
        report = Report(
            run=run,
            chunk=chunk,
            attempt=1,
            frames=frames,
            skipped=(),
            started=0.0,
            finished=1.0,
            exit_code=0,
            error=None,
            blender="5.0.1",
            device="OPTIX",
            samples=16,
            missing=(),
            host=Host(),
        )
        aws.objects[f"results/{contract.report_key(run, chunk, 1)}"] = report.to_json().encode()
    aws.finish()


def many() -> dict[str, float]:
    """Poll 100 renders in flight while nothing changes."""
    with studio() as (aws, farm, jobfile):
        for _ in range(RENDERS):
            jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 100, "step": 1, "breaksize": 10})
        one_pass(jobfile, farm)
        aws.calls.clear()
        one_pass(jobfile, farm)
        return {"idle_poll_calls_100": aws.calls.total()}


def commands() -> dict[str, float]:
    """Time `describe` with 1,000 rows, and `--help` against Python importing typer."""
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "joblist.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for number in range(1, ROWS + 1):
                writer.writerow({"id": number, "blend": "a.blend", "status": "Success", "run": f"a-{number}"})
        render = [sys.executable, "-c", "from client.cli import main; main()"]
        describe = seconds([*render, "describe"], folder)
        helping = seconds([*render, "--help"], folder)
        typer = seconds([sys.executable, "-c", "import typer"], folder)
        return {"describe_1000_s": describe, "help_ratio": helping / typer}


def seconds(command: list[str], folder: str) -> float:
    """Give the median of five runs, in seconds."""
    taken = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.monotonic() - began)
    return statistics.median(taken)


def main() -> None:
    """Measure and tell."""
    measures = {**large(), **many(), **commands()}
    measures["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    tell(f"The client with {CHUNKS:,} chunks, {RENDERS} renders, {ROWS:,} rows", measures)


if __name__ == "__main__":
    main()
