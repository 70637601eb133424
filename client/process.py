"""One pass over the job file: each row goes as far as it can now."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Protocol

from client import album, config, cost, fetch, inspection, limit, pace, package, plan, runs
from client.errors import RenderError, UnreachableError
from client.farm import Farm, Job, MissingError
from client.frames import spelled
from client.frames_folder import FramesFolder
from client.jobfile import AUTO, FARM_COLUMNS, RESTING, JobFile, Render, Status
from client.standing import Standing
from render_worker.contract import CONTRACT_VERSION, Manifest, PackageFile, Report

_LOG_LINES = 8
_BATCH_LAG_SECONDS = 60
"""For so long, a job that was submitted may be unknown to Batch: its answers are eventually consistent."""


class Listener(Protocol):
    """Who hears what happens; the command line shows it."""

    def say(self, text: str) -> None:
        """Hear what was done."""

    def warn(self, text: str) -> None:
        """Hear what wants the user's attention."""

    def sending(self, render: Render, sent: int, total: int) -> None:
        """Hear how many bytes of the package are on the farm."""

    def fetched(self, render: Render, files: int) -> None:
        """Hear how many files have come; the row's `frames_done` counts the frames."""

    def stands(self, standing: Standing) -> None:
        """Hear where the row now stands."""


@dataclass
class Outcome:
    """What one pass left: ids of rows in flight, of rows that failed or were refused, and whether rows are broken."""

    in_flight: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    broken: int = 0
    stands: dict[int, tuple[Status, int]] = field(default_factory=dict)
    """Status and finished frames of each row, to see whether a pass has changed anything."""

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 3 not finished yet."""
        if self.in_flight:
            return 3
        return 1 if self.failed or self.refused or self.broken else 0


def process(jobfile: JobFile, farm: Farm, listener: Listener, *, resting: Collection[int] = ()) -> Outcome:
    """Take every row as far as it can go now, leaving alone those in `resting`.

    Raises RenderError when the job file cannot be used, UnreachableError when the farm does not answer; what concerns a
    row alone is told to the listener and written into the row.
    """
    outcome = Outcome()
    _check_contract(farm)
    for sentence in jobfile.settle():
        listener.warn(sentence)
    renders, broken = jobfile.read()
    outcome.broken = len(broken)
    for row in broken:
        listener.warn(row.reason)
    follow = _Pass(jobfile, farm, listener, renders)
    for render in renders:
        if render.id in resting:
            outcome.refused.add(render.id)
            continue
        try:
            render = follow.advance(render)  # noqa: PLW2901 -- the same row, further on
        except UnreachableError:
            raise
        except RenderError as error:
            outcome.refused.add(render.id)
            listener.warn(f"{render.label}: {error}")
            with suppress(RenderError):  # the sentence was told; a disk that is full cannot hold it too
                jobfile.update(render, {"error": error})
            continue
        listener.stands(Standing(render=render))
        outcome.stands[render.id] = (render.status, render.frames_done)
        if render.status is Status.FAILED:
            outcome.failed.add(render.id)
        elif render.status not in RESTING:
            outcome.in_flight.add(render.id)
    return outcome


def _check_contract(farm: Farm) -> None:
    theirs, name = farm.config.contract_version, farm.config.stack_name
    if theirs > CONTRACT_VERSION:
        raise RenderError(f"The farm {name} is newer than this client: update it (pipx upgrade blender-aws-batch).")
    if theirs < CONTRACT_VERSION:
        raise RenderError(
            f"The farm {name} is older than this client: run `cdk deploy` for it, then `render configure --stackname "
            f"{name}`."
        )


class _Pass:
    """The steps that a row can take."""

    def __init__(self, jobfile: JobFile, farm: Farm, listener: Listener, renders: list[Render]) -> None:
        self.jobfile = jobfile
        self.farm = farm
        self.listener = listener
        self.renders = renders
        self.runs = [render.run for render in renders]
        flying = {Status.SCHEDULED, Status.RUNNING, Status.RENDERED, Status.FETCHING}
        ids = [render.job_id for render in renders if render.status in flying and self._is_ours(render)]
        self.jobs = farm.jobs([job_id for job_id in ids if job_id])

    def advance(self, render: Render) -> Render:
        if render.status in RESTING:
            return render
        if render.status is Status.PENDING:
            self._stop_earlier_job(render)
            return self._start(render)
        if not render.run:
            raise RenderError(f"it is {render.status.value} but its run cell is empty: set its status to Pending.")
        if not self._is_ours(render):
            return self._leave_old_farm(render)
        if render.status is Status.UPLOADED:
            return self._submit_once(render)
        return self._follow(render)

    def _is_ours(self, render: Render) -> bool:
        return runs.farm_tag(render.run) == self.farm.config.tag

    def _start(self, render: Render, earlier: FramesFolder | None = None) -> Render:
        """Check, upload, write down, submit: in this order, so that nothing is submitted that is not on disk."""
        found = inspection.inspect(render.blend)
        if found is None:
            self.listener.warn(f"No Blender was found on this machine, so nothing of {render.blend.name} was checked.")
        plan.check_version(found, self.farm.config.blender_version)
        wanted = plan.plan(render, found, renders=self.renders)
        if render.breaksize == AUTO and not pace.seconds_a_frame(render, self.renders):
            self.listener.say(f"{render.label}: nothing of it was measured yet, so its chunks have the default size")
        here = frozenset(earlier.frames) if earlier else frozenset[int]()
        rest = plan.plan(render, found, renders=self.renders, without=here) if here else wanted
        run = runs.new_run(render, self.farm.config.tag)
        contents = self._contents(render, found)
        manifest = Manifest(
            run=run,
            blend=contents.blend,
            files=self._upload(render, contents),
            remap=contents.remap,
            chunks=rest.chunks,
            settings=wanted.settings,
            strict=not render.allow_missing,
            autoexec=render.autoexec,
        )
        self.farm.put_manifest(manifest)
        folder = earlier.joined_by(run) if earlier else FramesFolder.new(render, run, wanted.frames, wanted.fps)
        self.listener.say(f"{render.label}: uploaded; its frames will come to {folder.path}")
        render = self.jobfile.update(
            render,
            {
                **dict.fromkeys(FARM_COLUMNS),
                "status": Status.UPLOADED,
                "frames_done": len(wanted.frames) - len(rest.frames),
                "frames_total": len(wanted.frames),
                "run": run,
                "submitted_at": _now(),
            },
        )
        return self._submit(render, manifest)

    def _contents(self, render: Render, found: inspection.Inspection | None) -> package.Package:
        contents = package.collect(render.blend, render.files, found)
        contents.check_complete(allow_missing=render.allow_missing)
        for path, reason in contents.left_out.items():
            self.listener.warn(f"{render.label}: {path} is not sent: {reason}.")
        return contents

    def _upload(self, render: Render, contents: package.Package) -> tuple[PackageFile, ...]:
        files = package.digested(contents)
        total, sent = sum(file.size for _, file in files), 0
        for path, file in files:
            before = sent

            def told(count: int) -> None:
                nonlocal sent
                sent += count
                self.listener.sending(render, sent, total)

            self.farm.upload(path, file, told)
            sent = before + file.size
            self.listener.sending(render, sent, total)
        return tuple(file for _, file in files)

    def _submit(self, render: Render, manifest: Manifest) -> Render:
        chunks = len(manifest.chunks) - manifest.first_chunk
        job_id = self.farm.submit(render.run, chunks, first_chunk=manifest.first_chunk)
        self.listener.say(f"{render.label}: submitted {chunks} {'chunks' if chunks > 1 else 'chunk'} as job {job_id}")
        return self.jobfile.update(render, {"job_id": job_id, "status": Status.SCHEDULED, "submitted_at": _now()})

    def _submit_once(self, render: Render) -> Render:
        """Submit what was uploaded, unless a command did that before it crashed: the job's name tells.

        The job in the row is the one before a retry, so it does not count.
        """
        job_id = self.farm.find_job(render.run)
        if job_id and job_id != render.job_id:
            self.listener.say(f"{render.label}: was submitted as job {job_id} before")
            return self.jobfile.update(render, {"job_id": job_id, "status": Status.SCHEDULED})
        if _is_recent(render.submitted_at):
            self.listener.say(f"{render.label}: waiting until Batch would show a job of an earlier command")
            return render
        if why := limit.reached(self.farm, render, self.listener.warn):
            return self.jobfile.update(render, {"status": Status.CANCELLED, "error": why})
        try:
            manifest = self.farm.manifest(render.run)
        except MissingError:
            return self.jobfile.update(render, {**dict.fromkeys(FARM_COLUMNS), "status": Status.PENDING})
        return self._submit(self.jobfile.update(render, {"submitted_at": _now()}), manifest)

    def _stop_earlier_job(self, render: Render) -> None:
        """Set back to Pending means a fresh run: the old one must not go on at the user's cost."""
        if render.job_id and self._is_ours(render) and self.runs.count(render.run) == 1:
            job = self.farm.jobs([render.job_id]).get(render.job_id)
            if job and not job.ended:
                self.farm.stop(job.id, "the render was set back to Pending")
                self.listener.say(f"{render.label}: stopped the earlier job {job.id}")

    def _leave_old_farm(self, render: Render) -> Render:
        """Go on with a run whose farm was destroyed; one whose farm may still be there is not touched."""
        name = self.farm.config.stack_name
        if not config.replaced_by(runs.farm_tag(render.run), self.farm.config):
            raise RenderError(
                f"it runs in another farm than {name}: run `render configure` for that farm to follow it, or set its "
                "status to Pending to render it here."
            )
        folder = FramesFolder.of(render, render.run)
        kept = len(folder.frames & folder.wanted) if folder else 0
        self.listener.warn(
            f"{render.label}: ran in an earlier {name} that is gone; {kept} fetched frames are kept and "
            "the rest is submitted again."
        )
        if folder and folder.wanted <= folder.frames:
            return self._succeed(render, folder, [])
        return self._start(render, folder)

    def _follow(self, render: Render) -> Render:
        """Fetch what is finished, and see whether the run has ended."""
        job = self.jobs.get(render.job_id)
        if job is None and _is_recent(render.submitted_at):
            return render
        folder = FramesFolder.of(render, render.run)
        if folder is None:
            wanted = plan.plan(render, inspection.inspect(render.blend))
            folder = FramesFolder.new(render, render.run, wanted.frames, wanted.fps)
        if job and not job.ended:
            status = Status.RUNNING if job.started else Status.SCHEDULED
            # A poll costs what is new; the last one looks at everything, also at the files beside a frame's main one.
            return self._bounded(self._fetched(render, folder, status, after=folder.fetched_up_to), job)
        if job is None or job.status == "SUCCEEDED":
            if render.status is not Status.FETCHING:
                self.listener.say(f"{render.label}: rendered; fetching the last frames")
            render = self._fetched(render, folder, Status.FETCHING)
            fetch.fetch_output(self.farm, render.run, folder)
            missing = folder.wanted - folder.frames
            if not missing:
                return self._succeed(render, folder, self.farm.reports(render.run))
            why = "Batch no longer knows its job" if job is None else "its job succeeded"
            return self._fail(render, f"{why}, and frames {spelled(missing)} are not in the results bucket")
        render = self._fetched(render, folder, render.status)
        fetch.fetch_output(self.farm, render.run, folder)
        if limit.stopped(render):
            return self.jobfile.update(render, {"status": Status.CANCELLED, "finished_at": _now()})
        return self._fail_with(render, job)

    def _bounded(self, render: Render, job: Job) -> Render:
        """Start nothing more of a render that has cost its limit; written down first, so that its end is understood."""
        why = limit.reached(self.farm, render, self.listener.warn) if job.waits else ""
        if not why:
            return render
        render = self.jobfile.update(render, {"error": why})
        self.farm.cancel_waiting(job.id, why)
        self.listener.warn(f"{render.label}: {why}")
        return render

    def _fetched(self, render: Render, folder: FramesFolder, status: Status, *, after: str = "") -> Render:
        """Fetch the frames that are new and write down how far the render is."""
        listing = self.farm.frames(render.run, after=after)
        if render.status is not status:
            render = self.jobfile.update(render, {"status": status})
        here = 0

        def got() -> None:
            nonlocal here
            here += 1

        try:
            fetch.fetch_frames(self.farm, render.run, listing, folder, got)
        finally:
            done = len(folder.frames & folder.wanted)
            if done != render.frames_done:
                render = self.jobfile.update(render, {"frames_done": done, "frames_total": len(folder.wanted)})
            if here:
                self.listener.fetched(render, here)
        return render

    def _succeed(self, render: Render, folder: FramesFolder, reports: list[Report]) -> Render:
        self.listener.say(f"{render.label}: all {len(folder.wanted)} frames are in {folder.path}")
        seconds = sum(frame.seconds for report in reports for frame in report.frames)
        render = self.jobfile.update(
            render,
            {
                "status": Status.SUCCESS,
                "frames_done": len(folder.wanted),
                "error": "",
                "finished_at": _now(),
                "render_seconds": f"{seconds:.1f}" if reports else "",
                "cost_usd": cost.cell(self.farm.config, reports),
            },
        )
        album.after_success(render, folder, self.listener)
        return render

    def _fail(self, render: Render, why: str, log: Sequence[str] = ()) -> Render:
        tail = "".join(f"\n    {_printable(line)}" for line in log)
        self.listener.warn(f"{render.label} failed: {why}.{tail}")
        return self.jobfile.update(render, {"status": Status.FAILED, "error": why, "finished_at": _now()})

    def _fail_with(self, render: Render, job: Job) -> Render:
        """Tell of the first chunk that failed, in the worker's own words where it left a report."""
        failed = self.farm.failed_chunks(job)
        if not failed:
            return self._fail(render, job.reason or "Batch gives no reason")
        first = min(failed)
        reports = [report for report in self.farm.reports(render.run) if report.chunk == first and report.error]
        latest = max(reports, key=lambda report: report.attempt, default=None)
        why = latest.error if latest and latest.error else failed[first] or "Batch gives no reason"
        with suppress(RenderError, IndexError):
            first_frames = spelled(self.farm.manifest(render.run).chunks[first])
            why = f"chunk {first} (frames {first_frames}): {why.rstrip('.')}"
        more = f"; {len(failed) - 1} more of its chunks failed" if len(failed) > 1 else ""
        return self._fail(render, f"{why}{more}", self.farm.log_tail(job, first, _LOG_LINES))


def _printable(line: str) -> str:
    """Keep a log's line from steering the terminal."""
    return "".join(character if character.isprintable() else " " for character in line)


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_recent(submitted_at: str) -> bool:
    with suppress(ValueError):
        then = datetime.strptime(submitted_at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        return (datetime.now(timezone.utc) - then).total_seconds() < _BATCH_LAG_SECONDS
    return False
