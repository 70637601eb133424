"""Following a run: its frames come as they are finished, and its end is understood."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from client import cost, fetch, inspection, limit, plan, wording
from client.errors import RenderError
from client.farm import Job
from client.frames import spelled
from client.frames_folder import FramesFolder
from client.jobfile import Render, Status
from client.passes import Pass, now
from render_worker.contract import Report, frame_of

_LOG_LINES = 8
_UNKNOWN_SECONDS = 600.0
"""So long after its submission, a job that Batch does not know will not be known any more."""


def follow(work: Pass, render: Render) -> Render:
    """Fetch what is finished, and see whether the run has ended. Raises RenderError when either cannot be done."""
    job = work.jobs.get(render.job_id)
    if job is None and _may_become_known(work, render):
        return render
    if job and not job.started:
        return _stand(work, render, Status.SCHEDULED)
    folder = work.folders.of(render)
    if folder is None:
        wanted = plan.plan(render, inspection.inspect(render.blend))
        folder = FramesFolder.new(render, render.run, wanted.frames, wanted.fps)
    try:
        if job and not job.ended:
            render = _fetched(work, _stand(work, render, Status.RUNNING), folder, everything=False)
            return _bounded(work, _told_of_failures(work, render, folder, job), job)
        return _ended(work, render, folder, job)
    finally:
        work.folders.keep(render.run, folder)


def succeed(work: Pass, render: Render, folder: FramesFolder, reports: Sequence[Report]) -> Render:
    """Write down that every frame is on the disk."""
    work.listener.say(f"{render.label}: all {len(folder.wanted)} frames are in {folder.path}")
    if gone := folder.deleted:
        work.listener.say(
            f"{render.label}: frames {spelled(gone)} came and were deleted here since; `render retry {render.id}` "
            "fetches them again"
        )
    seconds = sum(frame.seconds for report in reports for frame in report.frames)
    render = work.jobfile.update(
        render,
        {
            "status": Status.SUCCESS,
            "frames_done": len(folder.wanted),
            "error": "",
            "finished_at": now(),
            "render_seconds": f"{seconds:.1f}" if reports else "",
            "cost_usd": cost.cell(work.farm.config, reports),
        },
    )
    work.succeeded.append((render, folder))
    return render


def _may_become_known(work: Pass, render: Render) -> bool:
    """Say whether the run is so young, by AWS's clock, that Batch may yet tell of its job."""
    manifest = work.farm.buckets.manifest_written(render.run)
    return manifest is not None and manifest[1] < _UNKNOWN_SECONDS


def _stand(work: Pass, render: Render, status: Status) -> Render:
    return render if render.status is status else work.jobfile.update(render, {"status": status})


def _bounded(work: Pass, render: Render, job: Job) -> Render:
    """Start nothing more of a render that has cost its limit; written down first, so that its end is understood."""
    why = limit.reached(work.farm, render, work.listener.warn) if job.waits else ""
    if not why:
        return render
    render = work.jobfile.update(render, {"error": why})
    work.farm.cancel_waiting(job.id, why)
    work.listener.warn(f"{render.label}: {why}")
    return render


def _ended(work: Pass, render: Render, folder: FramesFolder, job: Job | None) -> Render:
    """Fetch the last frames, look at everything once more, and say how the run ended."""
    buckets = work.farm.buckets
    if job is None or job.status == "SUCCEEDED":
        if render.status is not Status.FETCHING:
            work.listener.say(f"{render.label}: rendered; fetching the last frames")
        render = _fetched(work, _stand(work, render, Status.FETCHING), folder, everything=True)
        fetch.fetch_output(buckets, render.run, folder)
        if not folder.complete:
            why = "Batch no longer knows its job" if job is None else "its job succeeded"
            missing = spelled(folder.wanted - folder.frames)
            return _fail(work, render, f"{why}, and frames {missing} are not in the results bucket")
        reports = folder.reports.of(buckets, render.run)
        if wrong := _still_wrong(work, render, folder, reports):
            return _fail(
                work,
                render,
                f"frames {wrong} in the results bucket are not what the worker reported; render them again with "
                f"`render retry {render.id} --frames {wrong.replace(' ', '')}`",
            )
        return succeed(work, render, folder, reports)
    render = _fetched(work, render, folder, everything=True)
    fetch.fetch_output(buckets, render.run, folder)
    if limit.stopped(render):
        return work.jobfile.update(render, {"status": Status.CANCELLED, "finished_at": now()})
    return _fail_with(work, render, folder, job)


def _fetched(work: Pass, render: Render, folder: FramesFolder, *, everything: bool) -> Render:
    """Fetch the frames that are new and write down how far the render is.

    A look costs what is new; the last one is for everything, also for the files beside a frame's main one.
    """
    if folder.complete and not everything:
        return render
    listing = work.farm.buckets.frames(render.run, () if everything else folder.missing_names)
    here = 0

    def got() -> None:
        nonlocal here
        here += 1

    try:
        fetch.fetch_frames(work.farm.buckets, render.run, listing, folder, got)
    finally:
        if folder.done != render.frames_done:
            changes = {"frames_done": folder.done, "frames_total": len(folder.wanted)}
            render = work.jobfile.update(render, changes)
        if here:
            work.listener.fetched(render, here)
    return render


def _still_wrong(work: Pass, render: Render, folder: FramesFolder, reports: Sequence[Report]) -> str:
    """Fetch once more what is not as reported, such as a file that a later attempt replaced, and name what stays so."""
    wrong = fetch.not_as_reported(folder, reports)
    if not wrong:
        return ""
    for name in wrong:
        (folder.path / name).unlink(missing_ok=True)
    folder.forget(wrong)
    _fetched(work, render, folder, everything=True)
    names = fetch.not_as_reported(folder, reports)
    return spelled({frame for frame in map(frame_of, names) if frame is not None}) or ", ".join(names)


def _fail(work: Pass, render: Render, why: str) -> Render:
    work.listener.warn(f"{render.label} failed: {why}.")
    return work.jobfile.update(render, {"status": Status.FAILED, "error": why, "finished_at": now()})


def _told_of_failures(work: Pass, render: Render, folder: FramesFolder, job: Job) -> Render:
    """Tell of chunks that failed while others go on; AWS is asked about them only when their count has grown."""
    count = job.children.get("FAILED", 0)
    if count <= work.failed_chunks.get(render.run, 0) or limit.stopped(render):
        return render
    work.failed_chunks[render.run] = count
    why, log = _failure(work, render, folder, job)
    _tell(work, render, f"{render.label}, which goes on: ", why, log)
    return work.jobfile.update(render, {"error": why})


def _fail_with(work: Pass, render: Render, folder: FramesFolder, job: Job) -> Render:
    why, log = _failure(work, render, folder, job)
    _tell(work, render, f"{render.label} failed: ", why, log)
    return work.jobfile.update(render, {"status": Status.FAILED, "error": why, "finished_at": now()})


def _tell(work: Pass, render: Render, what: str, why: str, log: Sequence[str]) -> None:
    """Tell why a chunk failed, with the end of its log; of one that was told before, without."""
    if render.error.partition("; ")[0] == why.partition("; ")[0]:
        work.listener.say(f"{what}{why}")
    else:
        tail = "".join(f"\n    {wording.printable(line)}" for line in log)
        work.listener.warn(f"{what}{why}.{tail}")


def _failure(work: Pass, render: Render, folder: FramesFolder, job: Job) -> tuple[str, list[str]]:
    """Say why the first failed chunk did, by its report if it left one, and how many more there are.

    Gives the last lines of its log too.
    """
    failed = work.farm.failed_chunks(job)
    if not failed:
        return job.reason or "Batch gives no reason", []
    first, buckets = min(failed), work.farm.buckets
    reports = [report for report in folder.reports.of(buckets, render.run) if report.chunk == first and report.error]
    latest = max(reports, key=lambda report: report.attempt, default=None)
    why = latest.error if latest and latest.error else failed[first] or "Batch gives no reason"
    with suppress(RenderError, IndexError):
        first_frames = spelled(buckets.manifest(render.run).chunks[first])
        why = f"chunk {first} (frames {first_frames}): {why.rstrip('.')}"
    more = f"; {len(failed) - 1} more of its chunks failed" if len(failed) > 1 else ""
    return f"{why}{more}", work.farm.log_tail(job, first, _LOG_LINES)
