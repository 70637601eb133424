"""Whatever a spreadsheet or a network does: no render is submitted twice, and none is forgotten."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from benchmarks.client_scale import Quiet, studio
from benchmarks.instant_aws import InstantAWS
from client import farm as farms
from client import submit
from client.errors import UnreachableError
from client.farm import Farm
from client.jobfile import JobFile, Status
from client.process import Process


class Heard(Quiet):
    """Keeps the warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


class Moody(InstantAWS):
    """Puts submissions off, and takes others without an answer."""

    busy = 0
    deaf = 0

    def _SubmitJob(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        if self.busy:
            self.busy -= 1
            return 429, {"x-amzn-ErrorType": "TooManyRequestsException"}, b"{}"
        answer = super()._SubmitJob(request)
        if self.deaf:
            self.deaf -= 1
            raise ReadTimeoutError(endpoint_url=request.url)
        return answer


@pytest.fixture
def aws() -> Moody:
    return Moody()


@pytest.fixture
def place(aws: Moody, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Farm, JobFile]]:
    monkeypatch.setattr(farms, "_SUBMIT_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(submit, "BATCH_LAG_SECONDS", 0)
    with studio(aws) as (_, farm, jobfile):
        jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 20, "step": 1, "breaksize": 5})
        yield farm, jobfile


def one_pass(place: tuple[Farm, JobFile]) -> list[str]:
    """Make a pass and give the warnings that tell of the job file."""
    heard = Heard()
    Process(place[1], place[0], heard).once()
    return [text for text in heard.warnings if "joblist.csv" in text]


def test_an_old_copy_that_a_spreadsheet_saves_submits_nothing_again(place: tuple[Farm, JobFile], aws: Moody) -> None:
    jobfile = place[1]
    old = jobfile.path.read_bytes()
    one_pass(place)
    run = jobfile.read()[0][0].run
    jobfile.path.write_bytes(old.replace(b"shot.blend,", b"shot.blend,my note"))
    told = one_pass(place)
    assert any("Render 1 of joblist.csv was not as the farm knows it" in text for text in told)
    assert len(aws.jobs) == 1
    render = jobfile.read()[0][0]
    assert (render.run, render.description) == (run, "my note")
    assert one_pass(place) == []


def test_describe_shows_what_the_farm_knows_although_an_old_copy_was_saved(place: tuple[Farm, JobFile]) -> None:
    old = place[1].path.read_bytes()
    one_pass(place)
    now = place[1].read()[0][0].status
    place[1].path.write_bytes(old)
    assert place[1].read()[0][0].status is now is not Status.PENDING


def test_set_back_to_pending_is_a_fresh_run(place: tuple[Farm, JobFile], aws: Moody) -> None:
    one_pass(place)
    aws.finish()
    jobfile = place[1]
    status = jobfile.read()[0][0].status.value
    text = jobfile.path.read_text(encoding="utf-8")
    jobfile.path.write_text(text.replace(status, "pending"), encoding="utf-8")
    assert one_pass(place) == []
    assert len(aws.jobs) == 2


def test_a_connection_lost_after_batch_took_the_job_submits_it_once(place: tuple[Farm, JobFile], aws: Moody) -> None:
    aws.deaf = 1
    with pytest.raises(UnreachableError):
        one_pass(place)
    assert place[1].read()[0][0].status is Status.UPLOADED
    one_pass(place)
    assert len(aws.jobs) == 1
    assert place[1].read()[0][0].job_id == "job-0"


def test_a_submission_that_batch_put_off_is_made_all_the_same(place: tuple[Farm, JobFile], aws: Moody) -> None:
    aws.busy = 2
    one_pass(place)
    assert len(aws.jobs) == 1


def test_a_submission_that_batch_puts_off_for_long_is_made_by_a_later_command(
    place: tuple[Farm, JobFile], aws: Moody
) -> None:
    aws.busy = 3
    with pytest.raises(UnreachableError, match="AWS is busy"):
        one_pass(place)
    one_pass(place)
    assert len(aws.jobs) == 1


def test_a_row_deleted_while_its_job_runs_is_told_once(place: tuple[Farm, JobFile]) -> None:
    one_pass(place)
    names = place[1].path.read_bytes().splitlines(keepends=True)[0]
    place[1].path.write_bytes(names)
    assert any("is no longer in joblist.csv, but its run" in text for text in one_pass(place))
    assert one_pass(place) == []


def test_an_id_is_never_given_twice(place: tuple[Farm, JobFile]) -> None:
    one_pass(place)
    names = place[1].path.read_bytes().splitlines(keepends=True)[0]
    place[1].path.write_bytes(names)
    added = place[1].add({"blend": "shot.blend", "startframe": 1, "endframe": 2})
    assert (added.id, added.run) == (2, "")


def test_a_ledger_that_the_power_cut_short_loses_its_last_line_alone(place: tuple[Farm, JobFile], aws: Moody) -> None:
    jobfile = place[1]
    old = jobfile.path.read_bytes()
    one_pass(place)
    ledger = jobfile.path.with_name("joblist.csv.journal")
    ledger.write_text(ledger.read_text(encoding="utf-8") + '\n{"id": 1, "bl', encoding="utf-8")
    jobfile.path.write_bytes(old)
    one_pass(place)
    assert len(aws.jobs) == 1


def edit(jobfile: JobFile, row: int, cells: dict[str, str]) -> None:
    """Change cells as a spreadsheet does that has the file as it is now."""
    with jobfile.path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[row].update(cells)
    with jobfile.path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("seed", range(40))
def test_random_saves_between_passes_lose_and_double_nothing(
    place: tuple[Farm, JobFile], aws: Moody, seed: int
) -> None:
    """A spreadsheet that was opened at any moment saves at any other, its rows sorted any way."""
    chance, jobfile = random.Random(seed), place[1]
    for _ in range(3):
        jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 20, "step": 1, "breaksize": 5})
    opened = jobfile.path.read_bytes()
    for _ in range(8):
        what = chance.choice(["open", "save", "pass", "pass", "lose", "sort", "again", "note"])
        if what == "open":
            opened = jobfile.path.read_bytes()
        elif what == "save":
            jobfile.path.write_bytes(opened)
        elif what == "sort":
            names, *rows = jobfile.path.read_bytes().splitlines(keepends=True)
            jobfile.path.write_bytes(names + b"".join(chance.sample(rows, len(rows))))
        elif what == "lose":
            aws.deaf = 1
        elif what in {"again", "note"}:
            edit(jobfile, chance.randrange(4), {"status": "pending"} if what == "again" else {"description": str(seed)})
        else:
            with suppress(UnreachableError):
                one_pass(place)
    aws.deaf = 0
    one_pass(place)
    renders, broken = jobfile.read()
    assert not broken
    assert sorted(render.id for render in renders) == [1, 2, 3, 4]
    names_of_jobs = [job["jobName"] for job in aws.jobs.values()]
    assert len(names_of_jobs) == len(set(names_of_jobs)), "no run is submitted twice"
    live = [job["jobName"] for job in aws.jobs.values() if job["status"] != "FAILED"]
    assert sorted(live) == sorted(render.run for render in renders), "and none goes on that no row knows"
