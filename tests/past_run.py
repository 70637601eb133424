"""A run that is over, as its reports, its frames and Batch tell of it: see `main` for an example.

Nothing is rendered and no AWS is asked: the frames are drawn here, and the AWS is that of benchmarks/instant_aws.py.
"""

from __future__ import annotations

import json
import math
import random
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from unittest import mock

from PIL import Image, ImageDraw

from benchmarks.client_scale import FARM, one_pass, studio
from benchmarks.instant_aws import InstantAWS
from client.account import Account
from client.farm import Farm
from client.frames_folder import FramesFolder
from client.jobfile import JobFile, Render, Status
from client.report import write as report
from render_worker import contract
from render_worker.contract import FrameReport, Host, Report

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
IN_AWS = replace(FARM, endpoint_url="")
SPOT = Host(instance_type="g5.xlarge", availability_zone="us-east-1a", life_cycle="spot")
_HOSTS = 5
_START_SECONDS = 40.0
_NEW_HOST_SECONDS = 150.0


class PastAWS(InstantAWS):
    """Knows the attempts and the logs of jobs that are over."""

    def __init__(self) -> None:
        super().__init__()
        self.children: dict[str, dict[str, Any]] = {}
        """What DescribeJobs gives, by job:index."""
        self.logs: dict[str, list[str]] = {}

    def _ListJobs(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        asked = json.loads(request.body)
        if "arrayJobId" not in asked:
            return super()._ListJobs(request)
        of_array = [each for name, each in self.children.items() if name.startswith(f"{asked['arrayJobId']}:")]
        return _json({"jobSummaryList": [each for each in of_array if each["status"] == asked["jobStatus"]]})

    def _DescribeJobs(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        known = {**self.jobs, **self.children}
        return _json({"jobs": [known[each] for each in json.loads(request.body)["jobs"] if each in known]})

    def _GetLogEvents(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        lines = self.logs.get(json.loads(request.body)["logStreamName"], [])
        return _json({"events": [{"timestamp": 0, "message": line} for line in lines]})

    def _DescribeLogGroups(self, _request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        return _json({"logGroups": [{"logGroupName": FARM.log_group, "retentionInDays": 7}]})


@dataclass
class PastRun:
    """A row whose run is over, and how it went; `run` plays it into the farm and onto the disk."""

    aws: PastAWS
    farm: Farm
    jobfile: JobFile
    frames: int
    breaksize: int = 2
    description: str = ""
    seconds: Mapping[int, float] = field(default_factory=dict)
    """What a frame took, where it was not about 20."""
    reclaimed: Collection[int] = ()
    """Chunks whose first host was taken back, when one frame was finished."""
    failed: Mapping[int, str] = field(default_factory=dict)
    """Chunks of which nothing came, with the worker's sentence."""
    missing: tuple[str, ...] = ()
    size: tuple[int, int] = (64, 36)
    draw: Callable[[Path, int, int, tuple[int, int]], object] = field(default_factory=lambda: draw)
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def run(self) -> Render:
        """Submit it with the real client, then let it have rendered."""
        cells = {
            "blend": "shot.blend",
            "startframe": 1,
            "endframe": self.frames,
            "step": 1,
            "description": self.description,
        }
        self.jobfile.add({**cells, "breaksize": self.breaksize, "xres": 1920, "yres": 1080, "samples": 128})
        one_pass(self.jobfile, self.farm)
        render = self.render
        manifest, (job,) = self.farm.buckets.manifest(render.run), self.aws.jobs
        free, hosts = [0.0] * _HOSTS, [*range(_HOSTS)]
        for chunk, frames in enumerate(manifest.chunks):
            host = free.index(min(free))
            if chunk in self.reclaimed:
                began, free[host] = free[host], free[host] + _START_SECONDS + 1.6 * self._took(frames[0])
                self._lose(job, chunk, hosts[host], began, free[host])
                free[host], hosts[host] = free[host] + _NEW_HOST_SECONDS, max(hosts) + 1
                host = free.index(min(free))
            free[host] = self._render(job, chunk, frames, hosts[host], free[host])
        self.aws.finish()
        if self.failed:
            self.aws.jobs[job]["status"] = "FAILED"
        status = Status.FAILED if self.failed else Status.SUCCESS
        first = min(self.failed, default=0)
        times = {"submitted_at": _cell(NOON), "finished_at": _cell(NOON + timedelta(seconds=max(free) + 60))}
        done = len(self.folder.frames)
        error = f"chunk {first}: {self.failed[first]}" if self.failed else ""
        return self.jobfile.update(render, {**times, "status": status, "frames_done": done, "error": error})

    @property
    def render(self) -> Render:
        return self.jobfile.read()[0][0]

    @property
    def folder(self) -> FramesFolder:
        found = FramesFolder.of(self.render, self.render.run)
        assert found
        return found

    def _took(self, frame: int) -> float:
        return self.seconds.get(frame, 20 + 3 * math.sin(frame / max(self.frames, 1) * 5) + self.rng.uniform(-1, 1))

    def _lose(self, job: str, chunk: int, host: int, start: float, end: float) -> None:
        """Let Batch tell of an attempt that left no report."""
        times = {name: int((NOON.timestamp() + at) * 1000) for name, at in (("startedAt", start), ("stoppedAt", end))}
        lost = {**times, "container": {}, "statusReason": f"Host EC2 (instance {_instance(host)}) terminated."}
        self._child(job, chunk, "SUCCEEDED", [lost, {"container": {"exitCode": 0}, **times}])

    def _child(self, job: str, chunk: int, status: str, attempts: list[dict[str, Any]]) -> None:
        name = f"{job}:{chunk}"
        container = {"logStreamName": name}
        self.aws.children[name] = {
            "jobId": name, "jobName": self.render.run, "status": status, "arrayProperties": {"index": chunk},
            "container": container, "attempts": attempts,
        }  # fmt: skip

    def _render(self, job: str, chunk: int, frames: tuple[int, ...], host: int, start: float) -> float:
        skipped, error = frames[:1] if chunk in self.reclaimed else (), self.failed.get(chunk)
        rendered = [
            FrameReport(frame=each, seconds=self._took(each), memory_mib=2210, files=())
            for each in frames
            if each not in skipped
        ]
        rendered = [] if error else rendered
        end = start + _START_SECONDS + sum(each.seconds for each in rendered)
        folder = self.folder.path
        for each in () if error else frames:
            self.draw(folder / f"{each:04}.png", each, self.frames, self.size)
        if error:
            self._child(job, chunk, "FAILED", [{"container": {"exitCode": 1}}])
        told = Report(
            run=self.render.run,
            chunk=chunk,
            attempt=2 if chunk in self.reclaimed else 1,
            frames=tuple(rendered),
            skipped=tuple(skipped),
            started=NOON.timestamp() + start,
            finished=NOON.timestamp() + end,
            exit_code=1 if error else 0,
            error=error,
            blender="5.0.1",
            device="OPTIX: NVIDIA A10G",
            samples=128,
            missing=self.missing,
            host=replace(SPOT, instance_id=_instance(host)),
        )
        self.aws.objects[f"results/{contract.report_key(told.run, chunk, told.attempt)}"] = told.to_json().encode()
        return end + 5


@contextmanager
def past_run(**how: Any) -> Iterator[PastRun]:
    """Give a run in an AWS that has prices."""
    aws = PastAWS()
    with (
        studio(aws, how.pop("stack", IN_AWS)) as (_, farm, jobfile),
        mock.patch.object(Account, "spot_prices", return_value=[(NOON - timedelta(hours=20), 0.43)]),
        mock.patch.object(Account, "on_demand_price", return_value=1.006),
        mock.patch.object(Account, "share_of_host", return_value=1.0),
    ):
        yield PastRun(aws, farm, jobfile, **how)


def draw(path: Path, frame: int, frames: int, size: tuple[int, int]) -> None:
    """Draw a ball that goes round over a floor, as a stand-in for a rendered frame."""
    width, height = size
    along = frame / max(frames, 1) * 2 * math.pi
    picture = Image.new("RGB", size)
    brush = ImageDraw.Draw(picture)
    for row in range(height):
        part = row / height
        sky = (int(28 + 150 * part), int(40 + 90 * part), int(90 + 40 * part))
        brush.line(
            [(0, row), (width, row)], fill=sky if part < 0.62 else (int(70 * part), int(58 * part), int(64 * part))
        )
    x, y, radius = width * (0.5 + 0.3 * math.sin(along)), height * (0.5 - 0.14 * math.cos(along)), height * 0.2
    brush.ellipse([x - radius * 1.2, height * 0.78, x + radius * 1.2, height * 0.86], fill=(24, 20, 26))
    for ring in range(10):
        small = radius * (1 - ring / 10)
        light = (150 + ring * 10, 60 + ring * 16, 40 + ring * 12)
        at = (x - radius * ring * 0.035, y - radius * ring * 0.045)
        brush.ellipse([at[0] - small, at[1] - small, at[0] + small, at[1] + small], fill=light)
    picture.save(path)


def _instance(host: int) -> str:
    return f"i-0{host + 10:x}4c1d9e27b6f5a8{host:02x}"


def _cell(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(answer: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def main(frames: int, path: Path) -> None:
    """Write the report of a run in which a good deal happened."""
    many = frames > 100
    how: dict[str, Any] = {
        "breaksize": 25 if many else 2,
        "seconds": {frames * 3 // 10: 71.0, frames * 3 // 10 + 1: 64.0, frames * 7 // 10: 96.0, frames: 3.0}
        if many
        else {},
        "reclaimed": (3, 11, 29, 57) if many else (1,),
        "failed": {17: "The hook pre_render.sh ended with exit code 7"} if many else {},
        "missing": ("//textures/wood_albedo.png",) if many else (),
        "size": (320, 180) if many else (1280, 720),
        "description": "Turntable for the client, second take",
    }
    with past_run(frames=frames, **how) as past:
        past.aws.logs["job-0:17"] = [
            "Run shot, chunk 17, attempt 1: 25 of 25 frames to render",
            "unzip: cannot find caches.zip",
        ]
        render = past.run()
        for frame in (frames * 6 // 10, frames * 6 // 10 + 1) if many else ():
            (past.folder.path / f"{frame:04}.png").unlink(missing_ok=True)
        print(report.write(render, path, print))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
