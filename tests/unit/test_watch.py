"""Watching: how often it asks, and what it lives through."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from client import watch
from client.errors import RenderError, UnreachableError
from client.jobfile import Status
from client.process import Outcome

Pass = Callable[[], Outcome]


class Watched:
    """A job file of one row whose passes are given, and the pauses between them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, passes: list[Outcome | Exception]) -> None:
        self.pauses: list[float] = []
        self.warnings: list[str] = []
        self.waits: list[bool] = []
        """Whether each pass waited for a command that was at work."""
        self._passes = iter(passes)
        monkeypatch.setattr(watch, "Process", lambda *_: SimpleNamespace(once=self._process))
        monkeypatch.setattr("time.sleep", self.pauses.append)
        monkeypatch.setattr("random.uniform", lambda low, high: 1.0)

    def run(self, *, endpoint_url: str = "") -> Outcome:
        farm: Any = SimpleNamespace(config=SimpleNamespace(endpoint_url=endpoint_url))
        jobfile: Any = SimpleNamespace(one_pass=self._one_pass)
        listener: Any = SimpleNamespace(warn=self.warnings.append)
        return watch.watch(jobfile, farm, listener)

    def _one_pass(self, *, wait: bool) -> AbstractContextManager[None]:
        self.waits.append(wait)
        return nullcontext()

    def _process(self, *_: object, **__: object) -> Outcome:
        answer = next(self._passes)
        if isinstance(answer, Exception):
            raise answer
        return answer


def running(frames: int) -> Outcome:
    return Outcome(in_flight={1}, stands={1: (Status.RUNNING, frames)})


def test_it_asks_less_and_less_often_while_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, [*[running(1)] * 9, running(2), Outcome()])
    watched.run()
    assert watched.pauses[0] == 10
    assert watched.pauses[:9] == sorted(watched.pauses[:9])
    assert watched.pauses[8] == 60
    assert watched.pauses[9] == 10, "a new frame makes it look again soon"


def test_a_lost_connection_is_told_once_and_outlasted(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = UnreachableError("AWS cannot be reached.")
    watched = Watched(monkeypatch, [running(1), gone, gone, gone, running(3), Outcome()])
    assert watched.run().exit_code == 0
    assert len(watched.warnings) == 1


def test_a_local_farm_that_is_gone_does_not_come_back_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch, [running(1), UnreachableError("The local farm does not answer.")])
    with pytest.raises(UnreachableError):
        watched.run(endpoint_url="http://localhost:1")


def test_what_holds_the_job_file_for_a_while_is_outlasted_but_not_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    held = RenderError("joblist.csv cannot be written: close the program that holds it.")
    watched = Watched(monkeypatch, [running(1), held, held, running(2), Outcome()])
    assert watched.run().exit_code == 0
    assert watched.warnings == [f"{held} The renders go on meanwhile, and this command too."]
    assert watched.waits == [False, True, True, True, True], "a `cancel` or `retry` at work is waited for"
    with pytest.raises(RenderError, match="cannot be written"):
        Watched(monkeypatch, [held]).run()


def test_a_row_in_flight_that_is_refused_is_looked_at_again_a_new_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused = Outcome(refused={1, 2}, for_good={2})
    watched = Watched(monkeypatch, [refused, refused, Outcome(refused={2}, for_good={2}), Outcome()])
    watched.run()
    assert len(watched.pauses) == 2, "the third pass had nothing more to wait for"
    watched = Watched(monkeypatch, [refused, refused, refused, Outcome()])
    watched.run()
    assert len(watched.pauses) == 2, "what three passes refused rests"
