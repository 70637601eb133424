"""Cutting a frame range into chunks."""

from __future__ import annotations

import pytest

from client import frames
from client.errors import RenderError


def test_the_walk_through_gives_two_chunks_of_two() -> None:
    assert frames.chunks(frames.frame_range(1, 4, 1), 2) == ((1, 2), (3, 4))


def test_both_ends_and_the_step_are_kept() -> None:
    assert frames.frame_range(1, 10, 4) == [1, 5, 9]


def test_no_chunk_is_a_stub() -> None:
    sizes = [len(chunk) for chunk in frames.chunks(range(101), 50)]
    assert sum(sizes) == 101
    assert max(sizes) - min(sizes) <= 1


def test_every_frame_is_in_one_chunk_and_in_order() -> None:
    for count in (1, 2, 7, 250):
        for breaksize in (1, 2, 3, 10, 1000):
            cut = frames.chunks(range(count), breaksize)
            assert [frame for chunk in cut for frame in chunk] == list(range(count))
            assert all(len(chunk) <= breaksize for chunk in cut)


@pytest.mark.parametrize(("start", "end", "step"), [(4, 1, 1), (1, 4, 0), (1, 4, -1), (0, 10_000_000, 1)])
def test_a_range_of_no_use_is_refused(start: int, end: int, step: int) -> None:
    with pytest.raises(RenderError):
        frames.frame_range(start, end, step)


def test_more_chunks_than_an_array_job_has_are_refused_with_the_breaksize_to_give() -> None:
    with pytest.raises(RenderError, match="--breaksize of 3"):
        frames.chunks(range(20_001), 1)


def test_frames_are_spelled_as_people_do() -> None:
    assert frames.spelled([1, 2, 3, 7, 9, 10]) == "1-3, 7, 9-10"
