"""What became of each attempt at a chunk, from the worker's reports and from Batch."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

from client.attempts import FORGOTTEN, Attempt, Ending, attempts, lost_seconds, seconds_a_frame
from client.farm import Job, JobAttempt
from client.frames_folder import reports_of
from render_worker.contract import ContractError, ExitCode, FrameReport, Host, Report
from tests.past_run import NOON, past_run
from tests.unit.test_cost import report

TAKEN = "Host EC2 (instance i-0abc12) terminated."


def rendered(*frames: int, seconds: float = 10.0) -> tuple[FrameReport, ...]:
    return tuple(FrameReport(frame=each, seconds=seconds, memory_mib=1, files=()) for each in frames)


def second(chunk: int = 0, *, skipped: tuple[int, ...] = (1, 2)) -> Report:
    return replace(report(), chunk=chunk, attempt=2, skipped=skipped, frames=rendered(3, 4))


def batch(*told: JobAttempt, failed: dict[int, str] | None = None) -> tuple[Any, Job]:
    """Give a farm whose Batch tells so of every chunk it is asked about, and a job of three chunks."""
    farm = SimpleNamespace(
        attempts=lambda job, chunks: {chunk: [*told] for chunk in chunks}, failed_chunks=lambda job: failed or {}
    )
    children = {"SUCCEEDED": 3 - len(failed or {}), "FAILED": len(failed or {})}
    return farm, Job(id="job", status="PENDING", reason="", children=children, first_chunk=0)


def ended(reason: str, minutes: float = 5, exit_code: int | None = None) -> JobAttempt:
    return JobAttempt(started=NOON, finished=NOON + timedelta(minutes=minutes), exit_code=exit_code, reason=reason)


def test_a_host_that_spot_took_back_is_told_by_batch_with_its_times_and_instance() -> None:
    farm, job = batch(ended(TAKEN), ended("Essential container in task exited", exit_code=0))
    lost, done = attempts(farm, [job], [second()])
    assert (lost.ending, lost.reason, lost.seconds) == (Ending.RECLAIMED, TAKEN, 300)
    assert (lost.host, lost.skipped) == (Host(instance_id="i-0abc12"), None)
    assert (done.ending, done.attempt, done.skipped) == (Ending.DONE, 2, (1, 2))
    assert done.started == datetime(2026, 11, 22, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize("known", [True, False])
def test_what_batch_forgot_or_was_not_asked_about_is_shown_without_its_times(known: bool) -> None:
    farm, job = batch()
    lost, _ = attempts(farm, [job] if known else [], [second()])
    assert (lost.attempt, lost.started, lost.finished, lost.seconds) == (1, None, None, 0.0)
    assert (lost.ending, lost.reason) == (Ending.CUT_OFF, FORGOTTEN)


def test_a_chunk_that_failed_without_any_report_is_known_from_batch_alone() -> None:
    never = JobAttempt(started=None, finished=None, exit_code=None, reason="CannotPullContainerError: no space")
    farm, job = batch(never, ended("OutOfMemoryError: killed", exit_code=137), failed={2: "killed"})
    pulled, killed = attempts(farm, [job], [])
    assert (pulled.chunk, pulled.started, pulled.ending) == (2, None, Ending.CUT_OFF)
    assert (killed.chunk, killed.attempt, killed.reason) == (2, 2, "OutOfMemoryError: killed")


@pytest.mark.parametrize(
    ("exit_code", "told", "ending"),
    [
        (ExitCode.DONE, "Essential container in task exited", Ending.DONE),
        (ExitCode.FAILED, "Essential container in task exited", Ending.FAILED),
        (ExitCode.NO_GPU, "Essential container in task exited", Ending.FAILED),
        (ExitCode.PASSING, "Job attempt duration exceeded timeout", Ending.CUT_OFF),
        (ExitCode.PASSING, TAKEN, Ending.RECLAIMED),
    ],
)
def test_how_an_attempt_ended_is_told_by_its_exit_code_and_by_batch(exit_code: int, told: str, ending: Ending) -> None:
    farm, job = batch(ended(told))
    error = None if exit_code == ExitCode.DONE else "It ended"
    first, _ = attempts(farm, [job], [replace(report(), exit_code=exit_code, error=error), second()])
    assert first.ending is ending
    assert first.reason == (TAKEN if ending is Ending.RECLAIMED else error or "")


def test_batch_is_asked_about_a_hundred_children_a_call_and_about_no_others() -> None:
    with past_run(frames=600, breaksize=2, reclaimed=range(0, 300, 2)) as past:
        render = past.run()
        reports = reports_of(past.farm.buckets, render)
        past.aws.calls.clear()
        found = attempts(past.farm, past.farm.jobs_of(render.run), reports)
        assert past.aws.calls == {"ListJobs": 1, "DescribeJobs": 3}, "the job itself, then its 150 children"
        assert [each.ending for each in found].count(Ending.RECLAIMED) == 150
        assert all(each.started and each.host.instance_id for each in found)


def attempt(number: int, ending: Ending, minutes: float, *, frames: int = 0, skipped: int | None = None) -> Attempt:
    return Attempt(
        chunk=0,
        attempt=number,
        started=NOON,
        finished=NOON + timedelta(minutes=minutes),
        ending=ending,
        reason="",
        frames=rendered(*range(frames), seconds=60),
        skipped=None if skipped is None else tuple(range(skipped)),
        host=Host(),
    )


@pytest.mark.parametrize(
    ("run", "minutes"),
    [
        ([attempt(1, Ending.DONE, 9, frames=5, skipped=0)], 0),
        ([attempt(1, Ending.RECLAIMED, 5), attempt(2, Ending.DONE, 4, frames=2, skipped=3)], 2),
        ([attempt(1, Ending.RECLAIMED, 2), attempt(2, Ending.DONE, 4, frames=2, skipped=3)], 0),
        # Two hosts taken back in turn: what the third attempt found is theirs together.
        (
            [attempt(1, Ending.RECLAIMED, 4), attempt(2, Ending.RECLAIMED, 2),
             attempt(3, Ending.DONE, 4, frames=2, skipped=5)],
            1,
        ),
        # One that could still report has said what it finished.
        ([attempt(1, Ending.CUT_OFF, 5, frames=3, skipped=0), attempt(2, Ending.DONE, 4, frames=2, skipped=3)], 2),
        ([attempt(1, Ending.DONE, 2, frames=2, skipped=0), replace(attempt(1, Ending.RECLAIMED, 3), chunk=1)], 3),
        ([attempt(1, Ending.FAILED, 5, frames=1, skipped=0)], 0),
    ],
)  # fmt: skip
def test_time_is_lost_as_far_as_the_next_attempt_found_no_frames_for_it(run: list[Attempt], minutes: float) -> None:
    assert lost_seconds(run) == minutes * 60


def test_before_the_first_frame_no_time_of_a_frame_is_known() -> None:
    assert seconds_a_frame([]) is None
    assert lost_seconds([]) == 0
    assert lost_seconds([attempt(1, Ending.RECLAIMED, 3)]) == 180


@pytest.mark.parametrize(
    "wrong",
    [
        {"started": float("nan")},
        {"finished": float("inf")},
        {"started": -1.0},
        {"attempt": 10**9},
        {"chunk": -1},
        {"frames": rendered(10**12)},
        {"frames": rendered(1, seconds=float("nan"))},
    ],
)
def test_a_report_with_numbers_that_no_attempt_has_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="the report"):
        Report.from_json(replace(report(), **wrong).to_json())
