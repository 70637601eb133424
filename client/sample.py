"""Measuring a few frames of a render on the farm, by one job of their own that leaves nothing behind."""

from __future__ import annotations

import time
from collections.abc import Sequence

from client import package, runs, submit
from client.errors import RenderError
from client.farm import Farm, Job
from client.inspection import Inspection
from client.jobfile import Render
from client.passes import Listener
from client.reports import Reports
from render_worker.contract import Manifest, Settings, frame_of

_SECONDS = 10.0
_LOCAL_SECONDS = 1.0
_TELL_SECONDS = 60.0


def time_on_farm(
    farm: Farm, listener: Listener, render: Render, found: Inspection | None, settings: Settings, frames: Sequence[int]
) -> list[float]:
    """Render frames of a row in one job, wait for it, and give the seconds of each frame.

    The job is stopped when this is interrupted. Raises RenderError when the package is not complete, or a frame fails.
    """
    contents = package.collect(render.blend, render.files, found)
    contents.check_complete(allow_missing=render.allow_missing)
    run = runs.new_run(render, farm.config.tag)
    manifest = Manifest(
        run=run,
        blend=contents.blend,
        files=submit.send_package(farm.buckets, listener, render, contents),
        remap=contents.remap,
        chunks=(tuple(frames),),
        settings=settings,
        strict=not render.allow_missing,
        autoexec=render.autoexec,
    )
    farm.buckets.put_manifest(manifest)
    job_id = farm.submit(run, 1)
    listener.say(f"{render.label}: rendering {len(frames)} of its frames on the farm, as job {job_id}")
    try:
        job = _ended(farm, listener, render, job_id)
    except BaseException:
        farm.stop(job_id, "the estimate was interrupted")
        raise
    return _seconds(farm, render, run, job, frames)


def _ended(farm: Farm, listener: Listener, render: Render, job_id: str) -> Job:
    """Wait for the job; says now and then how it stands."""
    pause = _LOCAL_SECONDS if farm.config.endpoint_url else _SECONDS
    told, began = time.monotonic(), time.monotonic()
    while True:
        job = farm.jobs([job_id]).get(job_id)
        if job and job.ended:
            return job
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            stands = job.status if job else "SUBMITTED"
            reason = f" ({job.reason.rstrip('.')})" if job and job.reason else ""
            listener.say(f"{render.label}: its job is {stands}{reason} after {(told - began) / 60:.0f} min")
        time.sleep(pause)


def _seconds(farm: Farm, render: Render, run: str, job: Job, frames: Sequence[int]) -> list[float]:
    buckets = farm.buckets
    reports = Reports(None).of(buckets, run)
    taken = {frame.frame: frame.seconds for report in reports for frame in report.frames}
    buckets.delete_frames(run, [name for name in buckets.frames(run) if frame_of(name) in taken])
    if missing := [frame for frame in frames if frame not in taken]:
        why = next((report.error for report in reports if report.error), job.reason or "Batch gives no reason")
        raise RenderError(f"{render.label}: frame {missing[0]} could not be measured on the farm: {why.rstrip('.')}.")
    return [taken[frame] for frame in frames]
