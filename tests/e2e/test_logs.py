"""The worker's log, and why there is none."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.e2e.machine import Machine


def test_the_log_of_each_chunk_is_shown_whole_and_a_chunk_that_is_none_is_told(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-k", "2")
    assert "is Pending and was not submitted" in machine.render("logs", "1", code=1).err
    machine.render("process", code=3)
    followed = machine.render("logs", "1", "--follow")
    assert "Rendered frame 2: 2 of 2" in followed.out
    machine.render("process", "--watch")
    said = machine.render("logs", "1", "--chunk", "1")
    assert "chunk 1, attempt 1" in said.out
    assert "Rendered frame 4: 2 of 2" in said.out
    assert "chunk 1, attempt 1 of 1 (SUCCEEDED)" in said.err
    assert "knows no job for chunk 7" in machine.render("logs", "1", "--chunk", "7", code=1).err
    assert "has no attempt 3 with a log: it has 1" in machine.render("logs", "1", "--attempt", "3", code=1).err


def test_a_log_that_has_expired_is_told_with_how_long_it_is_kept(machine: Machine, blend: Path, aws: Any) -> None:
    machine.render("add", "-b", blend, "-e", "1")
    machine.render("process", "--watch")
    job = aws("batch").describe_jobs(jobs=[machine.rows()[0]["job_id"]])["jobs"][0]
    stream = job["container"]["logStreamName"]
    aws("logs").delete_log_stream(logGroupName=aws.farm.log_group, logStreamName=stream)
    assert re.search(
        r"holds nothing \(any more\): the farm keeps logs for \d+ days", machine.render("logs", "1", code=1).err
    )


def test_a_job_that_did_not_start_is_told_with_its_state_and_reason(machine: Machine, blend: Path, aws: Any) -> None:
    batch = aws("batch")
    (name,) = [each["computeEnvironmentArn"] for each in batch.describe_compute_environments()["computeEnvironments"]]
    batch.update_compute_environment(computeEnvironment=name, state="DISABLED")
    try:
        machine.render("add", "-b", blend, "-e", "1")
        machine.render("process", code=3)
        said = machine.render("logs", "1", code=1)
        assert "has no log yet: its job is RUNNABLE" in said.err
        machine.render("cancel", "1")
    finally:
        batch.update_compute_environment(computeEnvironment=name, state="ENABLED")
