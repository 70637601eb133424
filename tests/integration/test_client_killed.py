"""A client that is killed at each write to the disk and at each call to AWS in turn, and then run again.

Whatever moment it is: one submission for each run, every frame there, the job file valid. Meanwhile the machine's clock
jumps between any two commands, and Batch shows a job only a while after it was submitted.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import dataclass, replace
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client_scale import FARM
from client import config
from client.jobfile import JobFile
from tests.integration.endpoint import EndpointAWS, frame_content, serve

_COMMANDS = 40
"""More than any story needs to come to its end."""
_CLOCK_JUMPS = (0.0, 86_400.0, -86_400.0, 3.0)
_PAUSE = 15.0
"""Seconds between two commands, by AWS's clock."""


class Nursery:
    """Client processes, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = 0

    def run(self, **order: Any) -> dict[str, Any]:
        """Run a client to its end, its own or a violent one."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        self.pid = json.loads(self._process.stdout.readline())["pid"]
        ended: dict[str, Any] = json.loads(self._process.stdout.readline())
        return ended

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


@dataclass(frozen=True)
class Death:
    """When the client dies: at so many writes, or before or after so many calls; never where all are 0."""

    write: int = 0
    before_call: int = 0
    after_call: int = 0


@dataclass(frozen=True)
class Moment:
    """How everything stood before a command of the life in which nobody dies: the disk, AWS, and what was counted."""

    folder: Path
    aws: dict[str, Any]
    writes: int
    calls: int


class Place:
    """A user's machine and the AWS that it talks to, in which one client dies once."""

    def __init__(self, folder: Path, nursery: Nursery, death: Death, moment: Moment | None = None) -> None:
        self.folder = folder
        self.aws = EndpointAWS()
        self.writes = 0
        self.calls = 0
        self.died = False
        self.moments: list[Moment] = []
        self._nursery = nursery
        self._death = death
        self._clock = random.Random(str(death))
        if moment:
            shutil.copytree(moment.folder, folder)
            self.aws.__dict__.update(deepcopy(moment.aws))
            self.writes, self.calls = moment.writes, moment.calls
        else:
            folder.mkdir()
            (folder / "shot.blend").write_bytes(b"BLENDER" + bytes(1000))
        self._server: ThreadingHTTPServer = serve(self.aws)
        self.aws.before = self._before
        self.aws.after = self._after
        self._variables = {
            "HOME": str(folder),
            "RENDER_HOME": str(folder / "rendering"),
            "RENDER_CONFIG": str(folder / "config"),
        }
        text = (folder / "config").read_text() if moment else _config(folder / "config")
        port = self._server.server_address[1]
        (folder / "config").write_text(re.sub(r"localhost:[0-9]+", f"localhost:{port}", text))

    def render(self, *words: str) -> int:
        """Type a command. A traceback fails the test, whatever the moment."""
        self.aws.now += _PAUSE
        if self._death == Death():
            self._remember()
        left = max(0, self._death.write - self.writes) if self._death.write and not self.died else 0
        ended = self._nursery.run(
            words=words,
            folder=str(self.folder),
            variables=self._variables,
            clock=self._clock.choice(_CLOCK_JUMPS),
            dies_at=left,
        )
        assert "Traceback" not in ended["said"], ended["said"]
        self.died = self.died or ended["code"] == -signal.SIGKILL
        self.writes += ended["writes"]
        self.said = ended["said"]
        code: int = ended["code"]
        return code

    def _remember(self) -> None:
        kept = self.folder.with_name(f"{self.folder.name}-{len(self.moments)}")
        shutil.copytree(self.folder, kept)
        aws = deepcopy({name: vars(self.aws)[name] for name in ("objects", "written", "jobs", "now", "submitted")})
        self.moments.append(Moment(folder=kept, aws=aws, writes=self.writes, calls=self.calls))

    def finish(self, *words: str) -> None:
        """Type a command again and again until it is done, as a user would."""
        for _ in range(_COMMANDS):
            self.read()
            if self.render(*words) == 0:
                return
        raise AssertionError(f"{words} came to no end: {self.said}")

    def read(self) -> list[dict[str, str]]:
        """Read the job file, which is whole at any moment."""
        renders, broken = JobFile(self.folder / "joblist.csv").read()
        assert not broken
        assert len(renders) == 1
        with (self.folder / "joblist.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def frames(self) -> dict[str, bytes]:
        """Give the frames of the row's folder, by name."""
        (record,) = [
            path
            for path in (self.folder / "rendering" / "finished_renders").glob("*/.render.json")
            if self.read()[0]["run"] in json.loads(path.read_text())["runs"]
        ]
        return {path.name: path.read_bytes() for path in record.parent.glob("0*.png")}

    def submissions(self) -> Counter[str]:
        return Counter(job["jobName"] for job in self.aws.jobs.values())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _before(self, _operation: str) -> None:
        self.calls += 1
        if self.calls == self._death.before_call:
            os.kill(self._nursery.pid, signal.SIGKILL)

    def _after(self, _operation: str) -> None:
        if self.calls == self._death.after_call:
            os.kill(self._nursery.pid, signal.SIGKILL)


def make(place: Place) -> None:
    """Make a job file with one row."""
    jobfile = JobFile(place.folder / "joblist.csv")
    jobfile.create()
    jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": 3, "breaksize": 2})


def render(place: Place) -> None:
    """The row is rendered and fetched, whatever happened to it so far."""
    if len(place.aws.jobs) > 1:
        return  # it is being rendered again
    place.finish("process")
    row = place.read()[0]
    assert (row["status"], row["frames_done"]) == ("Success", "3")
    assert place.submissions() == {row["run"]: 1}
    assert place.frames() == {f"{frame:04}.png": frame_content(row["run"], frame, 0) for frame in (1, 2, 3)}


def render_again(place: Place) -> None:
    """One of its frames is rendered again, by one job more."""
    while len(place.aws.jobs) == 1:
        if place.read()[0]["status"] == "Success":
            place.render("retry", "1", "--frames", "2")
        place.render("process")
    place.finish("process")
    row = place.read()[0]
    assert (row["status"], row["frames_done"]) == ("Success", "3")
    assert place.submissions() == {row["run"]: 2}
    jobs = {1: 0, 2: 1, 3: 0}
    assert place.frames() == {f"{frame:04}.png": frame_content(row["run"], frame, jobs[frame]) for frame in jobs}
    leftovers = [path.name for path in place.folder.rglob(".*") if path.name.startswith((".fetch-", ".joblist"))]
    assert leftovers == []


def _config(path: Path) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RENDER_CONFIG", str(path))
        config.save(replace(FARM, endpoint_url="http://localhost:9"))
    return path.read_text()


@pytest.fixture(scope="module")
def uncut(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The story in which nobody dies, with all its moments."""
    nursery = Nursery()
    place = Place(tmp_path_factory.mktemp("uncut") / "life", nursery, Death())
    try:
        make(place)
        render(place)
        render_again(place)
    finally:
        place.close()
        nursery.close()
    return place


def test_killed_at_any_write_nothing_is_lost_or_submitted_twice(uncut: Place, tmp_path: Path) -> None:
    _live_through_all(uncut, tmp_path, [Death(write=number) for number in range(1, uncut.writes + 1)])


def test_killed_before_any_call_nothing_is_lost_or_submitted_twice(uncut: Place, tmp_path: Path) -> None:
    _live_through_all(uncut, tmp_path, [Death(before_call=number) for number in range(1, uncut.calls + 1)])


def test_killed_before_any_answer_nothing_is_lost_or_submitted_twice(uncut: Place, tmp_path: Path) -> None:
    _live_through_all(uncut, tmp_path, [Death(after_call=number) for number in range(1, uncut.calls + 1)])


def _live_through_all(uncut: Place, folder: Path, deaths: list[Death]) -> None:
    """Live through each of them, as many at a time as there are cores."""
    left = iter(list(enumerate(deaths)))

    def live() -> None:
        nursery = Nursery()
        try:
            for number, death in left:
                _live_through(uncut, nursery, folder / str(number), death)
        finally:
            nursery.close()

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for each in [pool.submit(live) for _ in range(os.cpu_count() or 1)]:
            each.result()


def _live_through(uncut: Place, nursery: Nursery, folder: Path, death: Death) -> None:
    """Live from the command on in which the client dies; until then, every life is the same."""
    counted = max(death.before_call, death.after_call)
    moment = [each for each in uncut.moments if each.writes < death.write or each.calls < counted][-1]
    place = Place(folder, nursery, death, moment)
    try:
        render(place)
        render_again(place)
        assert place.died, f"{death} never came"
    except AssertionError as error:
        raise AssertionError(f"{death}: {error}") from error
    finally:
        place.close()
