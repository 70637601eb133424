"""Passes over the job file: in each, every row goes as far as it can now."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field

from client import config, follow, runs, submit
from client.errors import RenderError, UnreachableError
from client.farm import Farm
from client.frames_folder import Folders, FramesFolder
from client.jobfile import RESTING, ChangedError, JobFile, Render, Status
from client.outlook import Outlook
from client.passes import Listener, Pass
from client.pictures import album
from client.standing import Standing
from render_worker.contract import CONTRACT_VERSION

_FLYING = {Status.SCHEDULED, Status.RUNNING, Status.RENDERED, Status.FETCHING}


@dataclass
class Outcome:
    """What one pass left: ids of rows in flight, of rows that failed or were refused, and whether rows are broken."""

    in_flight: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    for_good: set[int] = field(default_factory=set)
    """Of the refused, those that were not submitted yet: only their owner can mend them."""
    broken: int = 0
    stands: dict[int, tuple[Status, int]] = field(default_factory=dict)
    """Status and finished frames of each row, to see whether a pass has changed anything."""

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 3 not finished yet."""
        if self.in_flight:
            return 3
        return 1 if self.failed or self.refused or self.broken else 0


class Process:
    """Passes over one job file, which remember between them what is on the disk."""

    def __init__(self, jobfile: JobFile, farm: Farm, listener: Listener) -> None:
        self._work = Pass(jobfile=jobfile, farm=farm, listener=listener, folders=Folders(), outlook=Outlook(farm))

    def once(self, *, resting: Collection[int] = ()) -> Outcome:
        """Take every row as far as it can go now, leaving alone those in `resting`.

        Raises RenderError when the job file cannot be used, UnreachableError when the farm does not answer; what
        concerns a row alone is told to the listener and written into the row.
        """
        outcome, work = Outcome(), self._work
        _check_contract(work.farm)
        for sentence in work.jobfile.settle():
            work.listener.warn(sentence)
        work.renders, broken = work.jobfile.read()
        outcome.broken = len(broken)
        for row in broken:
            work.listener.warn(row.reason)
        ids = [render.job_id for render in work.renders if render.status in _FLYING and work.is_ours(render)]
        work.jobs = work.farm.jobs([job_id for job_id in ids if job_id])
        work.others_run = any(job.children.get("RUNNING") or job.status == "RUNNING" for job in work.jobs.values())
        for render in work.renders:
            if render.id in resting:
                outcome.refused.add(render.id)
                outcome.for_good.add(render.id)
            else:
                self._advance(render, outcome)
        # Only now: a long movie holds no other row up.
        while work.succeeded:
            album.after_success(*work.succeeded.pop(0), work.listener)
        return outcome

    def _advance(self, render: Render, outcome: Outcome) -> None:
        """Take one row further, and note where it now stands."""
        listener = self._work.listener
        try:
            render = _advanced(self._work, render)
        except UnreachableError:
            raise
        except ChangedError:
            outcome.in_flight.add(render.id)  # as somebody else wishes; the next pass reads it
            return
        except (RenderError, OSError) as error:
            outcome.refused.add(render.id)
            if render.status is Status.PENDING:
                outcome.for_good.add(render.id)
            listener.warn(f"{render.label}: {error}")
            with suppress(RenderError):  # the sentence was told; a disk that is full cannot hold it too
                (render,) = self._work.jobfile.chosen([render.id])
                render = self._work.jobfile.update(render, {"error": error})
            listener.stands(Standing(render=render))
            return
        listener.stands(self._standing(render))
        outcome.stands[render.id] = (render.status, render.frames_done)
        if render.status is Status.FAILED:
            outcome.failed.add(render.id)
        elif render.status not in RESTING:
            outcome.in_flight.add(render.id)
            return
        self._work.folders.forget(render.run)
        self._work.failed_chunks.pop(render.run, None)

    def _standing(self, render: Render) -> Standing:
        work, job = self._work, self._work.jobs.get(render.job_id)
        folder = work.folders.of(render) if job and job.started and render.status not in RESTING else None
        return work.outlook.standing(render, job, folder, others_run=work.others_run)


def _advanced(work: Pass, render: Render) -> Render:
    if render.status in RESTING:
        return render
    if render.status is Status.PENDING:
        return submit.start(work, render) if submit.stop_earlier_job(work, render) else render
    if not render.run:
        raise RenderError(f"it is {render.status.value} but its run cell is empty: set its status to Pending.")
    if not work.is_ours(render):
        return _leave_old_farm(work, render)
    if render.status is Status.UPLOADED:
        return submit.submit_once(work, render)
    return follow.follow(work, render)


def _leave_old_farm(work: Pass, render: Render) -> Render:
    """Go on with a run whose farm was destroyed; one whose farm may still be there is not touched."""
    name = work.farm.config.stack_name
    if not config.replaced_by(runs.farm_tag(render.run), work.farm.config):
        raise RenderError(
            f"it runs in another farm than {name}: run `render configure` for that farm to follow it, or set its "
            "status to Pending to render it here."
        )
    folder = FramesFolder.of(render, render.run)
    work.listener.warn(
        f"{render.label}: ran in an earlier {name} that is gone; {folder.done if folder else 0} fetched frames are "
        "kept and the rest is submitted again."
    )
    if folder and folder.complete:
        return follow.succeed(work, render, folder, folder.reports.here(render.run))
    return submit.start(work, render, folder)


def _check_contract(farm: Farm) -> None:
    theirs, name = farm.config.contract_version, farm.config.stack_name
    if theirs > CONTRACT_VERSION:
        raise RenderError(f"The farm {name} is newer than this client: update it (pipx upgrade blender-aws-batch).")
    if theirs < CONTRACT_VERSION:
        raise RenderError(
            f"The farm {name} is older than this client: run `cdk deploy` for it, then `render configure --stackname "
            f"{name}`."
        )
