"""What renders cost and may cost, asked through botocore with AWS's own shapes of answers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from client import cost, limit
from client.account import Account
from client.errors import RenderError
from client.jobfile import JobFile, Render
from render_worker.contract import FrameReport, Report
from tests.unit.reported import buckets_with
from tests.unit.strict_aws import RefusalError, StrictAWS, paged, product, spot_history
from tests.unit.test_cost import NOON, RUN, SPOT, report
from tests.unit.test_doctor import FARM

VCPUS = {"g5.xlarge": (4, 1), "g6.xlarge": (4, 1), "g5.12xlarge": (48, 4)}


def size(name: str) -> dict[str, Any]:
    vcpus, gpus = VCPUS[name]
    return {"InstanceType": name, "VCpuInfo": {"DefaultVCpus": vcpus}, "GpuInfo": {"Gpus": [{"Count": gpus}]}}


def milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


class Run:
    """A run's jobs in Batch and its reports: an array whose children a test sets."""

    def __init__(self, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.aws = StrictAWS(patch)
        self.reports: list[Report] = []
        self.children: dict[int, dict[str, Any]] = {}
        self._tmp_path = tmp_path
        environment = {
            "computeEnvironmentName": "ce", "computeEnvironmentArn": "ce",
            "computeResources": {
                "type": "SPOT", "maxvCpus": 64, "instanceTypes": ["g5.xlarge", "g6.xlarge"],
                "subnets": ["subnet-0", "subnet-1", "subnet-2"],
            },
        }  # fmt: skip
        subnets = [
            {"SubnetId": f"subnet-{number}", "AvailabilityZone": zone}
            for number, zone in enumerate(("eu-west-1a", "eu-west-1b", "eu-west-1b"))
        ]
        order = [{"order": 1, "computeEnvironment": "ce"}]
        queue = {
            "jobQueueName": "q", "jobQueueArn": "q", "state": "ENABLED", "priority": 1, "computeEnvironmentOrder": order
        }  # fmt: skip
        hourly = {"unit": "Hrs", "pricePerUnit": {"USD": "1.0060000000"}}
        self.aws.answers(
            ListJobs=self._listed,
            DescribeJobs=lambda asked: {"jobs": [self._described(each) for each in asked["jobs"]]},
            DescribeInstanceTypes=lambda asked: {"InstanceTypes": list(map(size, asked["InstanceTypes"]))},
            DescribeJobQueues={"jobQueues": [queue]},
            DescribeComputeEnvironments={"computeEnvironments": [environment]},
            DescribeSubnets=paged("Subnets", subnets, "NextToken"),
            GetProducts={"PriceList": [json.dumps(product("EU-BoxUsage:g5.xlarge", hourly))]},
        )
        self.spot(
            ("g5.xlarge", "eu-west-1a", NOON - timedelta(days=2), "0.400000"),
            ("g5.xlarge", "eu-west-1b", NOON - timedelta(days=2), "0.500000"),
            ("g6.xlarge", "eu-west-1b", NOON - timedelta(days=2), "0.360000"),
            ("g6.xlarge", "eu-west-1c", NOON - timedelta(days=2), "0.010000"),
        )

    def spot(self, *prices: tuple[str, str, datetime, str]) -> None:
        self.aws.answers(DescribeSpotPriceHistory=spot_history(prices))

    def child(self, index: int, status: str, *attempts: tuple[float, float], running: float = 0) -> None:
        """Set a child: attempts that ended, as minutes ago from and to, and for how long one runs."""
        detail = [
            {
                "container": {},
                "startedAt": milliseconds(datetime.now(timezone.utc) - timedelta(minutes=begun)),
                "stoppedAt": milliseconds(datetime.now(timezone.utc) - timedelta(minutes=ended)),
                "statusReason": "Host EC2 (instance i-0) terminated.",
            }
            for begun, ended in attempts
        ]
        began = {"startedAt": milliseconds(datetime.now(timezone.utc) - timedelta(minutes=running))} if running else {}
        self.children[index] = {"status": status, "attempts": detail, **began}

    def _described(self, number: str) -> dict[str, Any]:
        index = number.partition(":")[2]
        common = {
            "jobId": number,
            "jobName": RUN,
            "jobQueue": "q",
            "jobDefinition": "Farm",
            "createdAt": 1,
            "startedAt": 0,
        }
        if index:
            child = self.children[int(index)]
            return {**common, **child, "arrayProperties": {"index": int(index)}}
        counts: dict[str, int] = {}
        for child in self.children.values():
            counts[child["status"]] = counts.get(child["status"], 0) + 1
        array = {"size": len(self.children), "statusSummary": counts}
        return {**common, "status": "PENDING", "arrayProperties": array}

    def _listed(self, asked: dict[str, Any]) -> dict[str, Any]:
        if "arrayJobId" not in asked:
            assert asked["filters"] == [{"name": "JOB_NAME", "values": [RUN]}]
            found = [{"jobId": "array", "jobName": RUN, "createdAt": 1}] if self.children else []
            return {"jobSummaryList": found}
        rows = [
            {
                "jobId": f"array:{index}",
                "jobName": RUN,
                "arrayProperties": {"index": index},
                **({"startedAt": child["startedAt"]} if "startedAt" in child else {}),
            }
            for index, child in self.children.items()
            if child["status"] == asked["jobStatus"]
        ]
        return paged("jobSummaryList", rows)(asked)

    def farm(self) -> Any:
        return SimpleNamespace(config=FARM, buckets=buckets_with(RUN, self.reports))

    def row(self, **cells: object) -> Render:
        jobfile = JobFile(self._tmp_path / "joblist.csv")
        jobfile.create()
        added = jobfile.add({"blend": "shot.blend", **cells})
        return jobfile.update(added, {"run": RUN, "frames_total": 40, "status": "Running"})

    def costs(self) -> tuple[cost.Cost, list[str]]:
        (found,), warnings = cost.costs(self.farm(), Account(FARM), [self.row()])
        return found, warnings

    def reached(self, max_cost: str) -> tuple[str, list[str]]:
        told: list[str] = []
        return limit.reached(self.farm(), self.row(max_cost=max_cost), told.append), told


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    return Run(monkeypatch, tmp_path)


def test_the_history_of_a_price_is_read_over_every_page_with_what_held_at_its_start(run: Run) -> None:
    changes = [(-3, "0.10"), (-1, "0.40"), (1, "0.50"), (2, "0.60"), (9, "0.70")]
    run.spot(*(("g5.xlarge", "eu-west-1a", NOON + timedelta(hours=hours), usd) for hours, usd in changes))
    told = Account(FARM).spot_prices("g5.xlarge", "eu-west-1a", NOON, NOON + timedelta(hours=3))
    assert [usd for _, usd in told] == [0.4, 0.5, 0.6]
    assert told[0][0] == NOON - timedelta(hours=1)
    assert run.aws.calls["DescribeSpotPriceHistory"] == 2
    assert cost.spot_usd(told, NOON, NOON + timedelta(hours=3)) == pytest.approx(0.4 + 0.5 + 0.6)


def test_no_price_is_asked_for_of_the_future(run: Run) -> None:
    def answer(asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["EndTime"] <= datetime.now(timezone.utc)
        return {"SpotPriceHistory": []}

    run.aws.answers(DescribeSpotPriceHistory=answer)
    now = datetime.now(timezone.utc)
    Account(FARM).spot_prices("g5.xlarge", "eu-west-1a", now, now + timedelta(days=1))


def test_the_prices_of_now_are_those_of_the_farms_sizes_in_the_farms_zones(run: Run) -> None:
    account = Account(FARM)
    assert account.spot_now(account.sizes()) == {
        ("g5.xlarge", "eu-west-1a"): 0.4,
        ("g5.xlarge", "eu-west-1b"): 0.5,
        ("g6.xlarge", "eu-west-1b"): 0.36,
    }


def test_the_price_list_tells_on_demand_in_dollars_or_nothing(run: Run) -> None:
    assert Account(FARM).on_demand_price("g5.xlarge") == 1.006
    chinese = {"unit": "Hrs", "pricePerUnit": {"CNY": "7.1"}}
    run.aws.answers(GetProducts={"PriceList": [json.dumps(product("CNN1-BoxUsage:g5.xlarge", chinese))]})
    assert Account(FARM).on_demand_price("g5.xlarge") is None


def test_a_price_list_of_another_form_is_refused_in_a_sentence(run: Run) -> None:
    run.aws.answers(GetProducts={"PriceList": ['{"terms": {}}']})
    with pytest.raises(RenderError, match="price list is not in the form that this client knows"):
        Account(FARM).on_demand_price("g5.xlarge")


def test_a_job_takes_the_share_of_its_gpu(run: Run) -> None:
    assert Account(FARM).share_of_host("g5.12xlarge") == 0.25
    assert Account(replace(FARM, device="cpu")).share_of_host("g5.12xlarge") == pytest.approx(4 / 48)


def test_what_runs_is_counted_at_the_price_of_the_runs_other_attempts(run: Run) -> None:
    run.reports = [report()]
    run.child(0, "SUCCEEDED")
    run.child(1, "RUNNING", running=30)
    run.child(2, "RUNNABLE")
    found, warnings = run.costs()
    assert found.usd == pytest.approx(0.4 + 0.2, abs=0.02)
    assert found.on_demand_usd == pytest.approx(1.006 * 1.5, abs=0.05)
    assert found.usd_per_frame == pytest.approx(0.04), "what runs has told of no frame yet"
    assert found.usd_to_completion == pytest.approx(30 * 0.04 - 0.2, abs=0.02)
    assert (found.data()["attempts_running"], found.data()["attempts_cut_off"]) == (1, 0)
    assert any("1 attempts that run and 0 that were cut off have not reported" in each for each in warnings)


def test_an_attempt_that_spot_cut_off_is_counted_by_batchs_time_and_its_frames_too(run: Run) -> None:
    later = replace(report(frames=6), attempt=2, skipped=(7, 8, 9, 10))
    run.reports = [later]
    run.child(0, "SUCCEEDED", (120, 60), (60, 0))
    found, _ = run.costs()
    assert found.frames == 10
    assert found.usd == pytest.approx(0.8)
    assert found.usd_per_frame == pytest.approx(0.08)
    assert found.data()["attempts_cut_off"] == 1
    assert cost.cell(FARM, [later]) == "0.8000"


def test_a_chunk_that_failed_without_a_word_is_counted_and_one_cancelled_before_its_start_is_not(run: Run) -> None:
    run.reports = [report()]
    run.child(0, "SUCCEEDED")
    run.child(1, "FAILED", (90, 60), running=90)
    run.child(2, "FAILED")
    found, _ = run.costs()
    assert found.usd == pytest.approx(0.4 + 0.2)
    assert found.data()["attempts_running"] == 0


def test_an_attempt_that_batch_has_forgotten_leaves_the_sum_unknown(run: Run) -> None:
    later = replace(report(), attempt=3)
    run.reports = [later]
    found, warnings = run.costs()
    assert found.usd == pytest.approx(0.4)
    assert any("The price of 2 attempts is unknown" in each for each in warnings)
    assert cost.cell(FARM, [later]) == "", "a sum that is too low would be believed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"started": NOON.timestamp(), "finished": NOON.timestamp() - 60},
        {"started": 0.0},
        {"host": replace(SPOT, availability_zone="us-west-2a")},
        {"host": replace(SPOT, instance_type="../g5.xlarge")},
    ],
    ids=["clock back", "years", "other region", "no size"],
)
def test_a_report_of_what_cannot_be_has_no_price_and_asks_aws_nothing_of_prices(
    run: Run, wrong: dict[str, Any]
) -> None:
    run.reports = [replace(report(), **wrong)]
    found, warnings = run.costs()
    assert found.usd is None
    assert (found.usd_per_frame, found.usd_to_completion) == (None, None)
    assert any("The price of 1 attempts is unknown" in each for each in warnings)
    assert run.aws.calls["DescribeSpotPriceHistory"] == 0
    assert len(cost.months([found])) == 1


def test_no_frame_has_no_price_a_frame(run: Run) -> None:
    run.reports = [report(frames=0)]
    found, _ = run.costs()
    assert (found.usd_per_frame, found.usd_to_completion, found.cells()[-1]) == (None, None, "")


def test_a_price_below_the_last_digit_is_not_shown_as_nothing(run: Run) -> None:
    rendered = tuple(FrameReport(frame=each, seconds=0.1, memory_mib=1, files=()) for each in range(1, 10_001))
    run.reports = [replace(report(), frames=rendered)]
    assert run.costs()[0].cells()[-2:] == ["<0.0001", "0.0000"]


def test_the_limit_acts_while_chunks_run_and_before_any_has_reported(run: Run) -> None:
    for index in range(10):
        run.child(index, "RUNNING", running=60)
    why, told = run.reached("3.50")
    so_far = r"Its max_cost of 3\.50 dollars is reached \(3\.6\d so far, 3\.6\d of it by chunks that run\): what had "
    assert re.match(so_far, why), why
    assert told == []
    assert limit.stopped(SimpleNamespace(error=why))  # type: ignore[arg-type]  # all that it reads


def test_a_limit_that_is_not_reached_says_nothing_and_asks_few_questions(run: Run) -> None:
    run.reports = [report()]
    run.child(0, "SUCCEEDED")
    for index in range(1, 4):
        run.child(index, "RUNNING", running=5)
    assert run.reached("3.50") == ("", [])
    assert run.aws.calls == {
        "ListJobs": 3, "DescribeJobs": 2, "DescribeInstanceTypes": 1, "DescribeSpotPriceHistory": 1
    }  # fmt: skip


def test_without_a_limit_nothing_is_asked(run: Run) -> None:
    assert limit.reached(run.farm(), run.row(), print) == ""
    assert not run.aws.calls


def test_a_price_that_is_refused_is_told_and_the_limit_counts_without_it(run: Run) -> None:
    run.aws.answers(DescribeSpotPriceHistory=RefusalError("UnauthorizedOperation", "no"))
    run.child(0, "RUNNING", running=600)
    why, told = run.reached("0.01")
    assert why == ""
    assert told == ["Render 1 (shot.blend): the price of 1 attempts is unknown, so its max_cost counts without them."]


def test_jobs_that_batch_does_not_tell_of_are_told_by_cost(run: Run) -> None:
    run.reports = [report()]
    run.aws.answers(ListJobs=RefusalError("AccessDeniedException", "not authorized to perform batch:ListJobs"))
    found, warnings = run.costs()
    assert found.usd == pytest.approx(0.4)
    assert any(each.startswith("Not everything was told: AWS refused the jobs (not authorized") for each in warnings)
