"""What a watched run shows beyond its row: chunks, reclaims, dollars, time left, and why nothing runs yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest

from benchmarks.client_scale import Quiet, studio
from benchmarks.instant_aws import InstantAWS
from client.account import Account, Part, Waiting
from client.farm import Farm, Job
from client.frames_folder import FramesFolder
from client.jobfile import Status
from client.outlook import Outlook
from client.process import Process
from client.standing import Chunks, Standing
from tests.past_run import IN_AWS, past_run

SOUND = Part(name="queue", state="ENABLED", status="VALID", reason="")


class Told(Quiet):
    """Keeps where rows stand."""

    def __init__(self) -> None:
        super().__init__()
        self.standings: list[Standing] = []

    def stands(self, standing: Standing) -> None:
        self.standings.append(standing)


class Asked:
    """An account that says what it is told to, and counts how often it is asked."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.queue = SOUND
        self.waiting: list[Waiting] = []
        self.hosts: list[Any] = []
        self.quota: tuple[str, float] | None = ("All G and VT Spot Instance Requests", 64.0)
        patch.setattr(Account, "queue", lambda _: self._queue())
        patch.setattr(Account, "environments", lambda _: [SOUND])
        patch.setattr(Account, "waiting", lambda _: self.waiting)
        patch.setattr(Account, "instances", lambda _: self.hosts)
        patch.setattr(Farm, "spot_quota", lambda _: self.quota)

    def _queue(self) -> Part:
        self.count += 1
        return self.queue


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@pytest.fixture
def place() -> Iterator[tuple[InstantAWS, Process, Told]]:
    """A row that was submitted to a farm in AWS, and whose chunks all wait."""
    told = Told()
    with studio(stack=IN_AWS) as (aws, farm, jobfile):
        jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 40, "breaksize": 10})
        process = Process(jobfile, farm, told)
        process.once()
        for job in aws.jobs.values():
            job["arrayProperties"]["statusSummary"] = {"RUNNABLE": 4}
        yield aws, process, told


def waits_for(place: tuple[InstantAWS, Process, Told]) -> str:
    place[1].once()
    return place[2].standings[-1].waits_for


def test_a_row_that_waits_says_why_and_since_when_and_asks_once_a_minute(
    place: tuple[InstantAWS, Process, Told], asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waits_for(place) == "a Spot host"
    standing = place[2].standings[-1]
    assert standing.chunks == Chunks(waiting=4)
    assert standing.waits_since
    assert abs((datetime.now(timezone.utc) - standing.waits_since).total_seconds()) < 60
    asked.waiting = [Waiting(name="run", id="job-0", minutes=3, reason="CAPACITY:INSUFFICIENT_INSTANCE_CAPACITY - no")]
    assert waits_for(place) == "a Spot host", "the minute is not over"
    assert asked.count == 1
    monkeypatch.setattr("time.monotonic", lambda: 1e9)
    assert waits_for(place) == "a Spot host (no capacity now)"


def test_reasons_are_told_in_the_order_in_which_they_hold(
    place: tuple[InstantAWS, Process, Told], asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(10_000, 10_000_000, 1000))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    asked.hosts = ["i-0a"]
    assert waits_for(place) == "its host to start"
    asked.waiting = [Waiting(name="run", id="job-0", minutes=3, reason="MISCONFIGURATION:X - mend it.")]
    assert waits_for(place) == "MISCONFIGURATION:X - mend it"
    asked.quota = ("All G and VT Spot Instance Requests", 0.0)
    assert waits_for(place) == "quota: `All G and VT Spot Instance Requests` is 0 vCPUs and a job takes 4"
    asked.queue = replace(SOUND, state="DISABLED", reason="by hand.")
    assert waits_for(place) == "queue, which is DISABLED and VALID: by hand"


def test_one_that_waits_behind_others_asks_nobody(place: tuple[InstantAWS, Process, Told], asked: Asked) -> None:
    aws, process, told = place
    process._work.jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 20, "breaksize": 10})
    process.once()
    told.standings.clear()
    process.once()
    first, second = told.standings
    assert (first.waits_for, second.waits_for) == ("hosts, while others render", "")
    assert second.chunks == Chunks(running=2)
    assert asked.count == 1, "before the second was there"
    assert aws.calls["DescribeInstances"] == 0


def test_what_has_ended_tells_reclaims_minutes_dollars_and_the_time_left() -> None:
    with past_run(frames=40, breaksize=4, reclaimed={2, 5}) as past:
        render = past.run()
        (job,) = past.farm.jobs([render.job_id]).values()
        going = replace(render, status=Status.RUNNING, frames_done=30, frames_total=40)
        chunks = {"SUCCEEDED": 8, "RUNNING": 2}
        flying = Job(id=job.id, status="PENDING", reason="", children=chunks, first_chunk=0)
        folder = FramesFolder.of(render, render.run)
        outlook = Outlook(past.farm)
        standing = outlook.standing(going, flying, folder, others_run=True)
        assert (standing.reclaims, standing.chunks) == (2, Chunks(running=2, done=8))
        assert standing.lost_minutes > 0
        assert standing.seconds_a_frame == pytest.approx(20, abs=4)
        assert standing.seconds_left == pytest.approx(10 * (standing.seconds_a_frame or 0) / 2)
        assert standing.usd
        assert standing.usd_to_completion == pytest.approx(standing.usd / 38 * 10), "of the frames that were reported"
        past.aws.calls.clear()
        again = outlook.standing(replace(going, frames_done=34), flying, folder, others_run=True)
        assert past.aws.calls.total() == 0, "no chunk has ended since"
        assert again.seconds_left is not None
        assert again.seconds_left < 1, "frames came four at once, just now"
        over = outlook.standing(render, job, folder, others_run=False)
        assert over.chunks == Chunks()
