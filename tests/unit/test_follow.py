"""Frames come once, whole and as the workers reported them; what the user does meanwhile is respected."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from benchmarks.client_scale import Quiet, studio
from benchmarks.instant_aws import InstantAWS
from client import retry, submit
from client.cancel import cancel, cancel_each
from client.errors import RenderError
from client.farm import Farm
from client.fetch import fetch_frames
from client.frames_folder import FramesFolder
from client.jobfile import ChangedError, JobFile, Render, Status
from client.ledger import Ledger
from client.process import Outcome, Process
from render_worker import contract
from render_worker.contract import FrameReport, Host, RenderedFile, Report

DAY = 86_400


class Heard(Quiet):
    """Keeps what was told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.said.append(text)


class Place:
    """A job file of one row of four frames, and what its workers do."""

    def __init__(self, aws: InstantAWS, farm: Farm, jobfile: JobFile) -> None:
        self.aws = aws
        self.farm = farm
        self.jobfile = jobfile
        self.heard = Heard()
        self.process = Process(jobfile, farm, self.heard)
        jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 4, "breaksize": 2})

    @property
    def row(self) -> Render:
        return self.jobfile.read()[0][0]

    @property
    def status(self) -> str:
        return self.row.status.value

    @property
    def folder(self) -> FramesFolder:
        found = FramesFolder.of(self.row, self.row.run)
        assert found
        return found

    def once(self) -> Outcome:
        return self.process.once()

    def finish_frame(self, frame: int, content: bytes | None = None) -> None:
        self.aws.objects[self.key(frame)] = content or b"frame %d" % frame

    def key(self, frame: int) -> str:
        return f"results/{contract.frames_prefix(self.row.run)}{frame:04}.png"

    def finish(self, reported: dict[int, bytes] | None = None) -> None:
        """Let the job succeed, with a report of what the frames were when they were rendered."""
        for frame in range(1, 5):
            if self.key(frame) not in self.aws.objects:
                self.finish_frame(frame)
        frames = []
        for frame in range(1, 5):
            content = (reported or {}).get(frame, self.aws.objects[self.key(frame)])
            file = RenderedFile(name=f"{frame:04}.png", size=len(content), digest=hashlib.sha256(content).hexdigest())
            frames.append(FrameReport(frame=frame, seconds=2.0, memory_mib=1, files=(file,)))
        report = Report(
            run=self.row.run, chunk=0, attempt=1, frames=tuple(frames), skipped=(), started=0.0, finished=9.0,
            exit_code=0, error=None, blender="5.0.1", device="OPTIX", samples=16, missing=(), host=Host(),
        )  # fmt: skip
        self.aws.objects[f"results/{contract.report_key(self.row.run, 0, 1)}"] = report.to_json().encode()
        self.aws.finish()


@pytest.fixture
def place() -> Iterator[Place]:
    with studio() as (aws, farm, jobfile):
        yield Place(aws, farm, jobfile)


def test_a_frame_that_was_deleted_here_comes_again_on_a_retry_alone(place: Place) -> None:
    place.once()
    place.finish_frame(1)
    place.once()
    (place.folder.path / "0001.png").unlink()
    place.finish()
    place.once()
    assert place.row.status is Status.SUCCESS
    assert not (place.folder.path / "0001.png").exists()
    assert any(
        "frames 1 came and were deleted here since; `render retry 1` fetches them" in each for each in place.heard.said
    )
    done = retry.retry(place.jobfile, place.farm, place.row, None)
    assert (done.again, done.fetched) == ([], 1)
    assert (place.folder.path / "0001.png").read_bytes() == b"frame 1"
    with pytest.raises(RenderError, match="has all of its 4 frames: name some with --frames"):
        retry.retry(place.jobfile, place.farm, place.row, None)


def test_a_frame_that_a_later_attempt_replaced_is_fetched_anew_before_success(place: Place) -> None:
    place.once()
    place.finish_frame(2, b"frame 2, of an attempt that was cut off")
    place.once()
    place.finish_frame(2, b"frame 2, of the next")
    place.finish()
    place.once()
    assert place.row.status is Status.SUCCESS
    assert (place.folder.path / "0002.png").read_bytes() == b"frame 2, of the next"


def test_a_frame_that_is_not_what_the_worker_reported_is_no_success(place: Place) -> None:
    place.once()
    place.finish(reported={3: b"something else"})
    place.once()
    assert place.row.status is Status.FAILED
    assert place.row.error == (
        "frames 3 in the results bucket are not what the worker reported; render them again with "
        "`render retry 1 --frames 3`"
    )


def test_each_file_is_fetched_once_and_each_report_read_once(place: Place) -> None:
    place.once()
    for frame in (1, 2):
        place.finish_frame(frame)
        place.once()
    place.finish()
    place.once()
    assert place.row.status is Status.SUCCESS
    assert place.aws.calls["GetObject"] == 4 + 1
    assert len(place.folder.reports.here(place.row.run)) == 1, "it is kept beside the frames"


def test_what_a_killed_command_left_half_fetched_goes(place: Place) -> None:
    place.once()
    half = place.folder.path / ".fetch-abc"
    half.write_bytes(b"half of a fra")
    place.finish()
    place.once()
    assert not half.exists()


def test_a_connection_that_breaks_within_a_frame_is_taken_up_where_it_broke(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    real = place.aws._response

    def breaking(request: Any, status: int, headers: dict[str, str], body: bytes) -> AWSResponse:
        if request.url.endswith("0001.png") and status == 200:
            start = request.headers.get("Range")
            asked.append(start.decode() if isinstance(start, bytes) else start)
            rest = body[int(asked[-1].removeprefix("bytes=").rstrip("-")) :] if asked[-1] else body
            answer = real(request, 206 if asked[-1] else 200, {**headers, "ETag": '"1"'}, rest[:3])
            answer.headers["Content-Length"] = str(len(rest))
            return answer
        return real(request, status, headers, body)

    monkeypatch.setattr(place.aws, "_response", breaking)
    place.once()
    place.finish()
    place.once()
    assert place.row.status is Status.SUCCESS
    assert (place.folder.path / "0001.png").read_bytes() == b"frame 1"
    assert asked == [None, "bytes=3-", "bytes=6-"]


def test_a_look_costs_a_page_for_each_thousand_new_frames_wherever_a_frame_is_missing() -> None:
    with studio() as (aws, farm, jobfile):
        row = jobfile.add({"blend": "shot.blend"})
        folder = FramesFolder.new(row, "run", range(1, 10_001))
        for frame in (each for each in range(1, 10_001) if each not in {2, 9_000}):
            aws.objects[f"results/{contract.frames_prefix('run')}{frame:04}.png"] = b"x"
        fetch_frames(farm.buckets, "run", farm.buckets.frames("run"), folder, lambda: None)
        aws.objects[f"results/{contract.frames_prefix('run')}9000.png"] = b"x"
        aws.calls.clear()
        listing = farm.buckets.frames("run", folder.missing_names)
        assert aws.calls["ListObjectsV2"] == 2, "one at each gap, and not ten"
        assert "9000.png" in listing


def test_a_job_that_batch_does_not_show_yet_is_waited_for_by_awss_clock(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = time.time()
    monkeypatch.setattr(place.aws, "clock", lambda: there)
    place.once()
    jobs, place.aws.jobs = place.aws.jobs, {}
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)  # this machine slept for years
    place.once()
    assert place.status == "Scheduled"
    place.aws.jobs = jobs
    place.finish()
    place.aws.jobs = {}
    for key in place.aws.written:
        place.aws.written[key] -= 8 * DAY
    place.once()
    assert place.status == "Success", "its record has expired, and the bucket knows"


def test_a_row_that_somebody_changed_meanwhile_is_left_to_the_next_pass(place: Place) -> None:
    place.once()
    seen = place.row
    cancel(place.jobfile, place.farm, seen)
    with pytest.raises(ChangedError, match="was changed by somebody else meanwhile"):
        place.jobfile.update(seen, {"status": Status.RUNNING})
    assert place.once().exit_code == 0
    assert place.row.status is Status.CANCELLED


def test_a_row_set_back_while_its_job_was_being_submitted_leaves_no_job_behind(place: Place) -> None:
    real = Farm.submit

    def meanwhile(farm: Farm, run: str, chunks: int, *, first_chunk: int = 0) -> str:
        job_id = real(farm, run, chunks, first_chunk=first_chunk)
        text = place.jobfile.path.read_text(encoding="utf-8")
        place.jobfile.path.write_text(text.replace("Uploaded", "Pending"), encoding="utf-8")
        return job_id

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Farm, "submit", meanwhile)
        assert place.once().exit_code == 3
    assert (place.row.status, place.row.job_id) == (Status.PENDING, "")
    place.once()
    statuses = [job["status"] for job in place.aws.jobs.values()]
    assert statuses == ["FAILED", "PENDING"], "the first was stopped, a fresh one runs"


def test_cancelling_takes_two_calls_whatever_the_size(place: Place) -> None:
    place.once()
    place.aws.calls.clear()
    cancel(place.jobfile, place.farm, place.row)
    assert place.aws.calls == {"TerminateJob": 1}


def test_what_may_just_have_been_submitted_is_not_called_cancelled(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Farm, "submit", lambda *_, **__: (_ for _ in ()).throw(RenderError("cut off")))
    place.once()
    assert place.row.status is Status.UPLOADED
    with pytest.raises(RenderError, match="may have been submitted a moment ago, which Batch does not show yet"):
        cancel(place.jobfile, place.farm, place.row)
    monkeypatch.setattr(submit, "BATCH_LAG_SECONDS", 0)
    assert cancel(place.jobfile, place.farm, place.row).status is Status.CANCELLED


def test_a_chunk_that_failed_is_told_at_once_and_once(place: Place) -> None:
    place.once()
    (job,) = place.aws.jobs.values()
    job["arrayProperties"]["statusSummary"] = {"RUNNING": 1, "FAILED": 1}
    child = {"jobId": f"{job['jobId']}:1", "jobName": "", "status": "FAILED", "arrayProperties": {"index": 1}}

    def listed(request: Any) -> Any:
        place.aws.calls["children"] += b"arrayJobId" in request.body
        return real(request) if b"arrayJobId" not in request.body else _json({"jobSummaryList": [child]})

    real, place.aws._ListJobs = place.aws._ListJobs, listed  # type: ignore[method-assign]
    child["statusReason"] = "Host EC2 (instance i-0a) terminated."
    for _ in range(3):
        place.once()
    told = "Render 1 (shot.blend), which goes on: chunk 1 (frames 3-4): Host EC2 (instance i-0a) terminated."
    assert place.heard.said.count(told) == 1
    assert place.aws.calls["children"] == 1
    assert place.status == "Running"
    assert place.row.error.startswith("chunk 1 (frames 3-4): Host EC2")
    job["status"] = "FAILED"
    place.once()
    assert place.status == "Failed"
    assert sum("Host EC2" in each for each in place.heard.said) == 2, "and at the end, in short"


def _json(answer: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def hide_latest_job(place: Place) -> None:
    """Let Batch not show the job that was submitted last, as it may for a moment."""
    real = place.aws._ListJobs

    def late(request: Any) -> Any:
        jobs = place.aws.jobs
        place.aws.jobs = dict(list(jobs.items())[:-1])
        try:
            return real(request)
        finally:
            place.aws.jobs = jobs

    place.aws._ListJobs = late  # type: ignore[method-assign]


def test_after_a_retry_that_was_cut_off_neither_cancel_nor_a_fresh_run_takes_the_old_job_for_the_new(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.once()
    place.finish()
    place.once()
    clock = time.time() + 100
    monkeypatch.setattr(place.aws, "clock", lambda: clock)
    retry.retry(place.jobfile, place.farm, place.row, {2})
    real = Farm.submit

    def cut_off(farm: Farm, run: str, chunks: int, *, first_chunk: int = 0) -> str:
        real(farm, run, chunks, first_chunk=first_chunk)
        raise RenderError("the line broke")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Farm, "submit", cut_off)
        place.once()
    hide_latest_job(place)
    with pytest.raises(RenderError, match="may have been submitted a moment ago"):
        cancel(place.jobfile, place.farm, place.row)
    text = place.jobfile.path.read_text(encoding="utf-8")
    place.jobfile.path.write_text(text.replace("Uploaded", "Pending"), encoding="utf-8")
    place.once()
    assert place.status == "Pending"
    assert len(place.aws.jobs) == 2, "no third one beside a second that cannot be seen"


def test_another_file_in_an_old_copy_of_a_row_that_was_submitted_stops_the_job(place: Place) -> None:
    old = place.jobfile.path.read_text(encoding="utf-8")
    place.once()
    place.jobfile.resolve("shot_v2.blend").write_bytes(b"BLENDER v2")
    place.jobfile.path.write_text(old.replace("shot.blend", "shot_v2.blend"), encoding="utf-8")
    place.once()
    assert [job["status"] for job in place.aws.jobs.values()] == ["FAILED", "PENDING"]


def test_a_row_and_its_copy_that_are_both_set_back_stop_their_job(place: Place) -> None:
    place.once()
    names, row = place.jobfile.path.read_text(encoding="utf-8").splitlines()
    pending = row.replace("Scheduled", "Pending")
    place.jobfile.path.write_text("\n".join((names, pending, pending.replace("1,", ",", 1))), encoding="utf-8")
    place.once()
    assert [job["status"] for job in place.aws.jobs.values()] == ["FAILED", "PENDING", "PENDING"]


def test_cancelling_several_goes_on_after_one_that_cannot_be(place: Place) -> None:
    place.jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 4})
    place.once()
    cancel(place.jobfile, place.farm, place.row)
    stopped, refusals = cancel_each(place.jobfile, place.farm, [1, 2])
    assert [row.id for row in stopped] == [2]
    assert refusals == ["Render 1 (shot.blend) is Cancelled already."]


def test_what_the_ledger_cannot_hold_is_not_submitted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Ledger, "write", full)
    place.once()
    assert not place.aws.jobs
    assert any("No space left on device" in each for each in place.heard.said)


def test_an_error_after_the_status_has_changed_is_in_the_row_all_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Farm, "submit", lambda *_, **__: (_ for _ in ()).throw(RenderError("AWS refused it.")))
    place.once()
    assert (place.status, place.row.error) == ("Uploaded", "AWS refused it.")


def test_an_older_folder_that_the_user_deletes_hides_no_newer_one(place: Place) -> None:
    row = place.row
    first, second = (FramesFolder.new(row, run, {1}) for run in ("old", "new"))
    shutil.rmtree(first.path)
    found = FramesFolder.of(row, "new")
    assert found
    assert found.path == second.path
    assert FramesFolder.new(row, "third", {1}).path == first.path, "its name is free again"


def test_a_frame_rendered_again_takes_its_other_files_along(place: Place) -> None:
    place.once()
    side = f"results/{contract.frames_prefix(place.row.run)}views/0002_L.png"
    place.aws.objects[side] = b"left"
    place.finish()
    key = f"results/{contract.report_key(place.row.run, 0, 1)}"
    report = Report.from_json(place.aws.objects[key])
    left = RenderedFile(name="views/0002_L.png", size=4, digest=hashlib.sha256(b"left").hexdigest())
    frames = [replace(each, files=(*each.files, left)) if each.frame == 2 else each for each in report.frames]
    place.aws.objects[key] = replace(report, frames=tuple(frames)).to_json().encode()
    place.once()
    folder = place.folder.path
    assert (folder / "views" / "0002_L.png").exists()
    retry.retry(place.jobfile, place.farm, place.row, {2})
    assert side not in place.aws.objects
    assert not (folder / "views" / "0002_L.png").exists()
    assert (folder / "earlier" / "views" / "0002_L.png").read_bytes() == b"left"
    assert (folder / "earlier" / "0002.png").read_bytes() == b"frame 2"
