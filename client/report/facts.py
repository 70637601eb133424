"""What is known of a render, from the farm and from this machine's disk, however much of both is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from client import config, cost, runs
from client.account import Account
from client.attempts import Attempt, Ending, attempts
from client.errors import RenderError, UnreachableError
from client.farm import Farm, Job
from client.frames_folder import FramesFolder, reports_of
from client.jobfile import RESTING, Render
from render_worker.contract import Manifest, Report, frame_of

_Answer = TypeVar("_Answer")
_NO_COSTS: tuple[list[cost.Cost], list[str]] = ([], [])
_LOG_LINES = 40
_MOST_LOGS = 5


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A chunk that failed, why, and the last lines of its log; `note` says why there are none, or is empty."""

    chunk: int
    reason: str
    log: tuple[str, ...] = ()
    note: str = ""


@dataclass(kw_only=True)
class Facts:
    """What is known of a render; what nobody could tell is as it is here, and `notes` say why."""

    render: Render
    folder: FramesFolder | None
    files: dict[int, Path] = field(default_factory=dict)
    """The picture of each frame that is on this machine."""
    manifest: Manifest | None = None
    reports: list[Report] = field(default_factory=list)
    attempts: tuple[Attempt, ...] = ()
    cost: cost.Cost | None = None
    is_local: bool = False
    """Whether the farm is on this machine, and costs nothing."""
    failures: tuple[Failure, ...] = ()
    notes: list[str] = field(default_factory=list)

    @property
    def frames(self) -> list[int]:
        """Give the frames that the render shall have in the end."""
        if self.folder:
            return sorted(self.folder.wanted)
        return sorted({frame for chunk in self.manifest.chunks for frame in chunk}) if self.manifest else []


def gather(render: Render, folder: FramesFolder | None) -> Facts:
    """Learn what can be known of a render now. A farm that refuses or does not answer is told in the notes."""
    facts = Facts(render=render, folder=folder, files=_files(folder))
    if not render.run:
        facts.notes.append("This render was not submitted yet.")
        return facts
    try:
        settings = config.load()
        farm = Farm(settings)
        if folder:
            facts.reports = folder.reports.here(render.run)
            facts.attempts = attempts(farm, (), facts.reports)
        if runs.farm_tag(render.run) != settings.tag:
            facts.notes.append(f"It ran in another farm than {settings.stack_name}, so only what is here is shown.")
            return facts
        _ask(facts, farm, Account(settings))
    except UnreachableError as error:
        facts.notes.append(f"{error} Until then, only what is here is shown.")
    except RenderError as error:
        facts.notes.append(str(error))
    return facts


def _files(folder: FramesFolder | None) -> dict[int, Path]:
    """Find a picture for each frame: of several files (views, passes) the first by name."""
    if folder is None:
        return {}
    try:
        paths = sorted(Path(entry.path) for entry in os.scandir(folder.path) if entry.is_file())
    except OSError as error:
        raise RenderError(f"The folder {folder.path} cannot be read ({error.strerror}): mend its rights.") from None
    found: dict[int, Path] = {}
    for path in paths:
        frame = frame_of(path.name)
        if frame in folder.wanted:
            found.setdefault(frame, path)
    return found


def _ask(facts: Facts, farm: Farm, account: Account) -> None:
    """Ask for one thing after the other; what is refused leaves out no more than itself."""
    run = facts.render.run
    facts.is_local = bool(farm.config.endpoint_url)

    def asked(question: Callable[[], _Answer], otherwise: _Answer) -> _Answer:
        try:
            return question()
        except UnreachableError:
            raise
        except RenderError as error:
            facts.notes.append(str(error))
            return otherwise

    facts.manifest = asked(lambda: farm.buckets.manifest(run), None)
    facts.reports = asked(lambda: reports_of(farm.buckets, facts.render), facts.reports)
    facts.attempts = attempts(farm, (), facts.reports)
    jobs: list[Job] = asked(lambda: farm.jobs_of(run), [])
    facts.attempts = asked(lambda: attempts(farm, jobs, facts.reports), facts.attempts)
    facts.failures = asked(lambda: _failures(facts, farm, account, jobs), ())
    costs, warnings = asked(lambda: cost.costs(farm, account, [facts.render]), _NO_COSTS)
    facts.cost = costs[0] if costs else None
    facts.notes += warnings


def _failures(facts: Facts, farm: Farm, account: Account, jobs: Sequence[Job]) -> tuple[Failure, ...]:
    """Give the chunks that failed and that nothing has made good since, the first few with their logs."""
    job_of = {chunk: job for job in reversed(jobs) for chunk in job.chunks}
    found: list[Failure] = []
    for chunk, latest in {each.chunk: each for each in facts.attempts}.items():
        if latest.ending is Ending.DONE or not _is_final(facts, latest):
            continue
        log: list[str] = []
        if len(found) >= _MOST_LOGS:
            note = f"See its log with `render logs {facts.render.id} --chunk {chunk}`."
        elif chunk not in job_of:
            note = "Its log cannot be found: Batch no longer knows its job, about 7 days after its end."
        else:
            log = farm.log_tail(job_of[chunk], chunk, _LOG_LINES)
            note = "" if log else _no_log(account)
        found.append(Failure(chunk=chunk, reason=latest.reason, log=tuple(log), note=note))
    return tuple(found)


def _is_final(facts: Facts, attempt: Attempt) -> bool:
    """Say whether frames of a chunk are not here, and no further attempt or retry is on its way to render them."""
    chunks = facts.manifest.chunks if facts.manifest else ()
    here = attempt.chunk < len(chunks) and facts.files.keys() >= {*chunks[attempt.chunk]}
    return not here and (attempt.ending is Ending.FAILED or facts.render.status in RESTING)


def _no_log(account: Account) -> str:
    days = account.log_retention_days()
    kept = f"the farm keeps logs for {days} days" if days else "the farm keeps logs for ever, so it wrote none"
    return f"Its log holds nothing (any more): {kept}."
