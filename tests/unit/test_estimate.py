"""What a render will cost and how long it takes, against what a person calculates by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from client import estimate, inspection, timing
from client.account import Size
from client.errors import RenderError
from client.estimate import Estimate, Market, Span
from client.jobfile import JobFile, Render
from client.timing import time_here
from render_worker.contract import Settings
from tests.unit.strict_aws import RefusalError
from tests.unit.test_cost_in_aws import Run
from tests.unit.test_doctor import FARM

G5 = Size(name="g5.xlarge", vcpus=4, share=1.0)
G5_TWICE = Size(name="g5.2xlarge", vcpus=8, share=1.0)
C6A = Size(name="c6a.2xlarge", vcpus=8, share=0.5)
CHUNKS = [10] * 25


def market(**sizes: Any) -> Market:
    return Market(vcpus=64, job_vcpus=4, **sizes)


def span(low: float, high: float) -> Any:
    low_end: Any = pytest.approx(low, abs=1e-6)
    high_end: Any = pytest.approx(high, abs=1e-6)
    return Span(low=low_end, high=high_end)


def test_the_example_of_the_manual_comes_out() -> None:
    prices = market(sizes=(G5,), spot={("g5.xlarge", "a"): 0.45}, on_demand={"g5.xlarge": 1.0})
    found = estimate.calculate(CHUNKS, [30.0], prices)
    host_hours = 250 * 30 / 3600 + 16 * 0.1
    assert found.usd == span(host_hours * 0.45, host_hours * 0.45)
    assert found.on_demand_usd == span(host_hours, host_hours)
    # 25 chunks on 16 hosts are two rounds of five minutes, after the start.
    assert found.hours == span(0.1 + 600 / 3600, 0.1 + 600 / 3600)
    assert found.at_once == Span(low=16, high=16)


def test_frames_and_pools_span_from_the_cheapest_to_the_dearest() -> None:
    spot = {("g5.xlarge", "a"): 0.4, ("g5.xlarge", "b"): 0.5, ("g5.2xlarge", "a"): 0.9}
    found = estimate.calculate(CHUNKS, [20.0, 36.0, 30.0], market(sizes=(G5, G5_TWICE), spot=spot))
    assert found.seconds == Span(low=20.0, high=36.0)
    # Hosts of 8 vCPUs are eight at once, with one GPU each.
    assert found.at_once == Span(low=8, high=16)
    assert found.usd == span((250 * 20 / 3600 + 1.6) * 0.4, (250 * 36 / 3600 + 0.8) * 0.9)
    assert found.hours == span(0.1 + 2 * 200 / 3600, 0.1 + 4 * 360 / 3600)
    assert found.on_demand_usd is None


def test_jobs_that_share_a_host_share_its_price() -> None:
    found = estimate.calculate(CHUNKS, [30.0], market(sizes=(C6A,), spot={("c6a.2xlarge", "a"): 0.3}))
    assert found.at_once == Span(low=16, high=16)
    assert found.usd == span((250 * 30 / 3600 + 1.6) * 0.5 * 0.3, (250 * 30 / 3600 + 1.6) * 0.5 * 0.3)


def test_one_chunk_starts_one_host_and_without_sizes_there_are_hours_alone() -> None:
    found = estimate.calculate([4], [900.0], market())
    assert found.hours == span(1.1, 1.1)
    assert (found.at_once, found.usd) == (Span(low=1, high=1), None)


@pytest.mark.parametrize(
    ("frame", "count", "chosen"),
    [(None, None, [6]), (3, None, [3]), (None, 1, [6]), (None, 3, [1, 6, 12]), (None, 2, [1, 12])],
)
def test_the_middle_frame_is_measured_or_the_one_named_or_so_many_over_the_range(
    frame: int | None, count: int | None, chosen: list[int]
) -> None:
    assert estimate.chosen_frames(range(1, 13), frame, count) == chosen


def test_no_more_frames_are_measured_than_there_are() -> None:
    assert estimate.chosen_frames([5, 6], None, 20) == [5, 6]


@pytest.mark.parametrize(
    ("frame", "count", "sentence"),
    [(99, None, "Frame 99 is none of the render's \\(1-12\\)"), (3, 3, "--frame names one frame and --frames says")],
)
def test_a_frame_that_is_none_of_the_renders_is_refused(frame: int, count: int | None, sentence: str) -> None:
    with pytest.raises(RenderError, match=sentence):
        estimate.chosen_frames(range(1, 13), frame, count)


class Asked:
    """A row of 250 frames without a Blender here, and a farm that takes 30 seconds a frame."""

    def __init__(self, patch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        patch.setattr(inspection, "inspect", lambda blend: None)
        self.run = Run(patch, tmp_path)
        self.run.aws.answers(GetServiceQuota={"Quota": {"Value": 64.0}})
        self.jobfile = JobFile(tmp_path / "renders.csv")
        self.jobfile.create()
        self.jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 250, "breaksize": 10})
        self.on_farm: list[list[int]] = []

    def _on_farm(self, _render: Render, _found: object, _settings: object, frames: list[int]) -> list[float]:
        self.on_farm.append(frames)
        return [30.0] * len(frames)

    def __call__(
        self, number: int = 1, *, config: Any = FARM, here: bool = False, count: int | None = None
    ) -> Estimate:
        return estimate.estimate(
            self.jobfile, number, config, here=here, frame=None, count=count, time_on_farm=self._on_farm, say=print
        )

    def measured(self, tag: str, seconds: float) -> None:
        earlier = self.jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 10})
        run = f"shot-2-20261122-120000-{tag}-aaaaaa"
        cells = {"status": "Success", "run": run, "frames_done": 10, "render_seconds": f"{10 * seconds}"}
        self.jobfile.update(earlier, cells)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Asked:
    return Asked(monkeypatch, tmp_path)


def test_what_was_never_measured_is_measured_on_the_farm_and_priced_as_aws_tells(asked: Asked) -> None:
    found = asked()
    assert asked.on_farm == [[125]]
    assert (found.frames, found.chunks) == (250, 25)
    host_hours = 250 * 30 / 3600 + 1.6
    assert found.figures.usd == span(host_hours * 0.36, host_hours * 0.5)
    assert found.figures.on_demand_usd == span(host_hours * 1.006, host_hours * 1.006)
    assert found.data()["usd_per_frame"] == {
        "low": round(host_hours * 0.36 / 250, 6),
        "high": round(host_hours / 500, 6),
    }
    assert found.notes[0] == "Frame 125 took 30.0 s on the farm."
    assert "Spot now, in dollars an hour: g6.xlarge in eu-west-1b 0.360, g5.xlarge in eu-west-1b 0.500." in found.notes
    assert any(note.startswith("Assumed: 6 minutes of each host") for note in found.notes)
    assert found.notes[-1] == estimate.LEFT_OUT
    assert found.cells()[0] == ["dollars on Spot", "1.3260", "1.8417"]


def test_what_this_farm_measured_earlier_is_taken_and_what_another_did_is_not(asked: Asked) -> None:
    asked.measured("ffffff", 1000)
    asked.measured(FARM.tag, 60)
    found = asked()
    assert not asked.on_farm
    assert found.figures.seconds == Span(low=60.0, high=60.0)
    assert found.notes[0] == "A frame took 60.0 s in earlier runs on this farm."


def test_frames_that_are_asked_for_are_measured_although_there_is_an_earlier_run(asked: Asked) -> None:
    asked.measured(FARM.tag, 60)
    assert asked(count=3).notes[0] == "Frames 1, 125, 250 took 30.0 and 30.0 and 30.0 s on the farm."


def test_prices_that_are_refused_leave_the_hours_and_are_told(asked: Asked) -> None:
    refusal = RefusalError("UnauthorizedOperation", "no")
    asked.run.aws.answers(DescribeSpotPriceHistory=refusal, GetProducts=refusal, DescribeInstanceTypes=refusal)
    found = asked()
    assert (found.figures.usd, found.data()["usd"], found.cells()[0][1:]) == (None, None, ["", ""])
    assert found.figures.hours == span(0.1 + 600 / 3600, 0.1 + 600 / 3600)
    assert any(
        note.startswith("Not everything was told: AWS refused the size g5.xlarge, g6.xlarge") for note in found.notes
    )


@pytest.mark.parametrize(
    ("vcpus", "at_once", "sentence"),
    [
        (16.0, 4, "bounds the farm to 16 vCPUs, less than its max_vcpus (64)."),
        (0.0, 16, "No job can start: `All G and"),
    ],
)
def test_a_quota_below_the_farms_size_is_told(asked: Asked, vcpus: float, at_once: int, sentence: str) -> None:
    asked.run.aws.answers(GetServiceQuota={"Quota": {"Value": vcpus}})
    found = asked()
    assert found.figures.at_once.high == at_once
    assert any(sentence in note for note in found.notes)


def test_the_local_farm_has_hours_and_costs_nothing(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    local = replace(FARM, endpoint_url="http://localhost:1")
    found = asked(config=local)
    assert found.data()["usd"] == {"low": 0.0, "high": 0.0}
    assert found.figures.hours == span(600 / 3600, 600 / 3600)
    assert found.notes[-1] == estimate.LOCAL
    monkeypatch.setattr(timing, "time_here", lambda *_: ([30.0], "CPU, 2 threads"))
    alone = asked(config=local, here=True)
    assert alone.figures.hours == span(250 * 30 / 3600, 250 * 30 / 3600), "every frame has the whole machine"
    assert not asked.run.aws.calls


def test_a_machine_without_blender_and_one_whose_blender_dies_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    render: Any = SimpleNamespace(label="Render 1 (a.blend)", blend=tmp_path / "a.blend")
    monkeypatch.setattr(inspection, "find_blender", lambda: None)
    with pytest.raises(RenderError, match="No Blender was found on this machine"):
        time_here(render, [1], Settings(), print)
    monkeypatch.setattr(inspection, "find_blender", lambda: ["/bin/false"])
    with pytest.raises(RenderError, match="Blender ended before frame 1 was rendered here"):
        time_here(render, [1], Settings(), print)
    monkeypatch.setattr(inspection, "find_blender", lambda: ["/nowhere/blender", "--python"])
    with pytest.raises(RenderError, match="Blender cannot be started \\(/nowhere/blender: No such file"):
        time_here(render, [1], Settings(), print)


def test_the_settings_reach_blender_and_what_it_refuses_is_told(shot: bytes, tmp_path: Path) -> None:
    blend = tmp_path / "shot.blend"
    blend.write_bytes(shot)
    render: Any = SimpleNamespace(label="Render 1 (shot.blend)", blend=blend)
    with pytest.raises(RenderError, match="Blender here cannot render it: the file has no scene 'Other'; it has Shot"):
        time_here(render, [1], Settings(scene="Other"), print)
