"""How long chunks are, and which frames come first."""

from __future__ import annotations

from pathlib import Path

import pytest

from client import frames, pace
from client.jobfile import JobFile, Render
from render_worker.contract import MAX_ARRAY_SIZE


@pytest.fixture
def jobfile(tmp_path: Path) -> JobFile:
    jobfile = JobFile(tmp_path / "joblist.csv")
    jobfile.create()
    return jobfile


def rendered(jobfile: JobFile, seconds: float, **cells: object) -> Render:
    """Add a row whose ten frames took so many seconds each."""
    render = jobfile.add({"blend": "a.blend", "scene": "Shot", "percentage": 100, "samples": 64, **cells})
    return jobfile.update(render, {"status": "Success", "frames_done": 10, "render_seconds": f"{10 * seconds:.1f}"})


def auto(jobfile: JobFile, count: int = 250, **cells: object) -> int:
    row = {"blend": "a.blend", "scene": "Shot", "percentage": 100, "samples": 64, "breaksize": "auto", **cells}
    render = jobfile.add(row)
    return pace.breaksize(render, jobfile.read()[0], count)


def test_auto_makes_chunks_of_a_quarter_of_an_hour_of_what_was_measured(jobfile: JobFile) -> None:
    rendered(jobfile, 30)
    assert auto(jobfile) == 30


def test_a_frame_of_half_the_size_and_twice_the_samples_takes_half_as_long(jobfile: JobFile) -> None:
    rendered(jobfile, 30)
    assert auto(jobfile, percentage=50, samples=128) == 60


def test_a_frame_that_takes_longer_than_a_chunk_is_a_chunk(jobfile: JobFile) -> None:
    rendered(jobfile, 4000)
    assert auto(jobfile) == 1


def test_another_file_or_scene_says_nothing(jobfile: JobFile) -> None:
    rendered(jobfile, 30)
    assert auto(jobfile, scene="Other") == frames.DEFAULT_BREAKSIZE
    assert auto(jobfile, blend="b.blend") == frames.DEFAULT_BREAKSIZE


def test_auto_never_makes_more_chunks_than_an_array_has(jobfile: JobFile) -> None:
    rendered(jobfile, 900)
    breaksize = auto(jobfile, count=25_000)
    assert len(frames.chunks(range(25_000), breaksize)) <= MAX_ARRAY_SIZE


@pytest.mark.parametrize("seconds", ["-5", "much", "1e9", "nan"])
def test_seconds_that_somebody_mistyped_say_nothing(jobfile: JobFile, seconds: str) -> None:
    jobfile.update(rendered(jobfile, 30), {"render_seconds": seconds})
    assert auto(jobfile) == frames.DEFAULT_BREAKSIZE


@pytest.mark.parametrize(("count", "breaksize", "review"), [(250, 10, 10), (7, 3, 2), (1, 1, 5), (20_001, 3, 3)])
def test_every_nth_frame_comes_first_and_none_is_lost(count: int, breaksize: int, review: int) -> None:
    cut = frames.chunks(range(count), breaksize, review)
    order = [frame for chunk in cut for frame in chunk]
    first = list(range(count))[::review]
    assert order[: len(first)] == first
    assert sorted(order) == list(range(count))
    assert all(len(chunk) <= breaksize for chunk in cut)
