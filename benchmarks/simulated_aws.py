"""An AWS in which time passes, on a clock of its own: hosts come slowly, Spot takes some back, calls are put off.

It stands where benchmarks/instant_aws.py does, behind botocore. The client's `time.sleep`, its own and botocore's
between two attempts, moves the clock, so that a day of rendering takes as long as the client's own work for it.
"""

from __future__ import annotations

import bisect
import hashlib
import heapq
import json
import random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from benchmarks.instant_aws import KEYS_OF_A_PAGE, InstantAWS
from render_worker import contract
from render_worker.contract import FrameReport, Host, Manifest, RenderedFile, Report

FRAME = b"\x89PNG" + bytes(96)
FRAME_DIGEST = hashlib.sha256(FRAME).hexdigest()
FRAME_SECONDS = 60.0
HOST_SECONDS = 20.0
"""Between two hosts that Spot gives, while the farm is below its size."""
RECLAIMS_AN_HOUR = 0.05
"""So many of the hosts, by chance, are taken back in an hour; a chunk then waits for another host."""
PUT_OFF = 0.02
"""So many of the calls are answered with TooManyRequestsException or SlowDown, as other clients of the account cause"""


class SimulatedAWS(InstantAWS):
    """Hosts that render one chunk each at a time, first in, first out, as a queue of AWS Batch has it."""

    def __init__(self, hosts: int, seed: int = 1) -> None:
        super().__init__()
        self.now = 0.0
        self.put_off = 0
        self.reclaims = 0
        self._chance = random.Random(seed)  # noqa: S311 -- no secret
        self._most = hosts
        self._hosts = 0
        self._idle = 0
        self._next_host = HOST_SECONDS
        self._waiting: list[tuple[int, int]] = []
        """Chunks by number of the job and index, the first to start at the front: a heap."""
        self._events: list[tuple[float, int, int, int]] = []
        """Frames that will be finished: time, number of the job, index of the chunk, index of the frame; a heap."""
        self._manifests: dict[int, Manifest] = {}
        self._keys: dict[str, list[str]] = {}
        """Keys of the results bucket, sorted, by run and folder."""

    def clock(self) -> float:
        """Give the simulated time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the time pass."""
        until = self.now + seconds
        while self._hosts < self._most and self._next_host <= until and (self._waiting or self._events):
            self._advance(self._next_host)
            self._hosts, self._idle = self._hosts + 1, self._idle + 1
            self._next_host += HOST_SECONDS
            self._start()
        self._next_host = max(self._next_host, until)
        self._advance(until)

    def _advance(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, job, chunk, frame = heapq.heappop(self._events)
            self._finish_frame(job, chunk, frame)
        self.now = until

    def _start(self) -> None:
        while self._idle and self._waiting:
            job, chunk = heapq.heappop(self._waiting)
            self._idle -= 1
            self._count(job, "RUNNABLE", "RUNNING")
            done = len(self._keys_of(job, chunk))
            heapq.heappush(self._events, (self.now + FRAME_SECONDS, job, chunk, done))

    def _finish_frame(self, job: int, chunk: int, frame: int) -> None:
        frames = self._manifests[job].chunks[chunk]
        if self._chance.random() < RECLAIMS_AN_HOUR * FRAME_SECONDS / 3600:
            self.reclaims += 1
            self._hosts -= 1
            self._count(job, "RUNNING", "RUNNABLE")
            heapq.heappush(self._waiting, (job, chunk))
            return
        self._put(contract.frames_prefix(self._manifests[job].run) + f"{frames[frame]:04}.png", FRAME)
        if frame + 1 < len(frames):
            heapq.heappush(self._events, (self.now + FRAME_SECONDS, job, chunk, frame + 1))
            return
        self._put(contract.report_key(self._manifests[job].run, chunk, 1), self._report(job, chunk))
        self._count(job, "RUNNING", "SUCCEEDED")
        self._idle += 1
        self._start()

    def _keys_of(self, job: int, chunk: int) -> list[int]:
        prefix = f"results/{contract.frames_prefix(self._manifests[job].run)}"
        return [frame for frame in self._manifests[job].chunks[chunk] if f"{prefix}{frame:04}.png" in self.objects]

    def _put(self, key: str, body: bytes) -> None:
        self.objects[f"results/{key}"] = body
        bisect.insort(self._keys.setdefault(key.rpartition("/")[0] + "/", []), key)

    def _report(self, job: int, chunk: int) -> bytes:
        frames = self._manifests[job].chunks[chunk]
        report = Report(
            run=self._manifests[job].run,
            chunk=chunk,
            attempt=1,
            frames=tuple(
                FrameReport(
                    frame=frame,
                    seconds=FRAME_SECONDS,
                    memory_mib=100,
                    files=(RenderedFile(name=f"{frame:04}.png", size=len(FRAME), digest=FRAME_DIGEST),),
                )
                for frame in frames
            ),
            skipped=(),
            started=0.0,
            finished=FRAME_SECONDS * len(frames),
            exit_code=0,
            error=None,
            blender="5.0.1",
            device="OPTIX",
            samples=16,
            missing=(),
            host=Host(),
        )
        return report.to_json().encode()

    def _count(self, job: int, before: str, after: str) -> None:
        described = self.jobs[f"job-{job}"]
        summary = described["arrayProperties"]["statusSummary"]
        summary[before] -= 1
        summary[after] = summary.get(after, 0) + 1
        if summary.get("SUCCEEDED") == described["arrayProperties"]["size"]:
            described["status"] = "SUCCEEDED"

    def answer(self, operation: str, request: Any) -> tuple[int, dict[str, str], bytes]:
        """Put some of the calls off."""
        if self._chance.random() < PUT_OFF:
            self.put_off += 1
            self.calls[operation] += 1
            return _put_off(is_batch=operation in {"SubmitJob", "DescribeJobs", "ListJobs"})
        return super().answer(operation, request)

    def _SubmitJob(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        number = len(self.jobs)
        answer = super()._SubmitJob(request)
        asked = json.loads(request.body)
        manifest = self.objects[f"source/{contract.manifest_key(asked['jobName'])}"]
        self._manifests[number] = Manifest.from_json(manifest)
        size = len(self._manifests[number].chunks)
        self.jobs[f"job-{number}"]["arrayProperties"] = {"size": size, "statusSummary": {"RUNNABLE": size}}
        for chunk in range(size):
            heapq.heappush(self._waiting, (number, chunk))
        self._start()
        return answer

    def _ListObjectsV2(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        query = parse_qs(urlsplit(request.url).query)
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        keys = self._keys.get(query["prefix"][0], [])
        first = bisect.bisect_right(keys, after)
        page = keys[first : first + KEYS_OF_A_PAGE]
        return self._page("results", page, more=first + len(page) < len(keys))


def _put_off(*, is_batch: bool) -> tuple[int, dict[str, str], bytes]:
    if is_batch:
        return 429, {"x-amzn-ErrorType": "TooManyRequestsException"}, b'{"message": "Too Many Requests"}'
    return 503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code><Message>Slow down</Message></Error>"
