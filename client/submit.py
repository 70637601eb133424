"""Submitting a render: check, upload, write down, submit, in this order; and never twice."""

from __future__ import annotations

import threading
import time

from client import inspection, limit, pace, package, places, plan, runs
from client.buckets import Buckets
from client.connection import MissingError
from client.digests import Digests, StaleError
from client.farm import Farm
from client.frames_folder import FramesFolder
from client.jobfile import AUTO, FARM_COLUMNS, Render, Status
from client.passes import Listener, Pass, now
from client.upload import upload
from render_worker.contract import Manifest, PackageFile

BATCH_LAG_SECONDS = 60.0
"""For so long, a job that was submitted may be unknown to Batch: its answers are eventually consistent."""
_FRESH_SECONDS = 20.0
"""A manifest older than this, since the machine slept say, is written anew just before its job is submitted."""


def start(work: Pass, render: Render, earlier: FramesFolder | None = None) -> Render:
    """Begin a run of the row, or of what an earlier folder of it lacks; nothing is submitted that is not on disk.

    Raises RenderError when the row, its `.blend` or its package cannot be rendered.
    """
    found = inspection.inspect(render.blend)
    if found is None:
        work.listener.warn(f"No Blender was found on this machine, so nothing of {render.blend.name} was checked.")
    plan.check_version(found, work.farm.config.blender_version)
    wanted = plan.plan(render, found, renders=work.renders)
    if render.breaksize == AUTO and not pace.seconds_a_frame(render, work.renders):
        work.listener.say(f"{render.label}: nothing of it was measured yet, so its chunks have the default size")
    here = frozenset(earlier.frames) if earlier else frozenset[int]()
    rest = plan.plan(render, found, renders=work.renders, without=here) if here else wanted
    run = runs.new_run(render, work.farm.config.tag)
    contents = _contents(work, render, found)
    manifest = Manifest(
        run=run,
        blend=contents.blend,
        files=send_package(work.farm.buckets, work.listener, render, contents),
        remap=contents.remap,
        chunks=rest.chunks,
        settings=wanted.settings,
        strict=not render.allow_missing,
        autoexec=render.autoexec,
    )
    work.farm.buckets.put_manifest(manifest)
    written = time.time()
    folder = earlier.joined_by(run) if earlier else FramesFolder.new(render, run, wanted.frames, wanted.fps)
    work.listener.say(f"{render.label}: uploaded; its frames will come to {folder.path}")
    render = work.jobfile.update(
        render,
        {
            **dict.fromkeys(FARM_COLUMNS),
            "status": Status.UPLOADED,
            "frames_done": len(wanted.frames) - len(rest.frames),
            "frames_total": len(wanted.frames),
            "run": run,
            "submitted_at": now(),
        },
    )
    return _submit(work, render, manifest, written)


def submit_once(work: Pass, render: Render) -> Render:
    """Submit what was uploaded, unless a command did that before it crashed: the job's name tells.

    The job in the row is the one before a retry, so it does not count. A row without a time was never tried.
    """
    buckets = work.farm.buckets
    if render.submitted_at:
        job_id, is_latest = latest_job(work.farm, render.run)
        if job_id and job_id != render.job_id:
            work.listener.say(f"{render.label}: was submitted as job {job_id} before")
            return work.jobfile.update(render, {"job_id": job_id, "status": Status.SCHEDULED})
        if not is_latest:
            work.listener.say(f"{render.label}: waiting until Batch would show a job of an earlier command")
            return render
    if why := limit.reached(work.farm, render, work.listener.warn):
        return work.jobfile.update(render, {"status": Status.CANCELLED, "error": why})
    try:
        manifest = buckets.manifest(render.run)
    except MissingError:
        return work.jobfile.update(render, {**dict.fromkeys(FARM_COLUMNS), "status": Status.PENDING})
    render = work.jobfile.update(render, {"submitted_at": now()})
    buckets.put_manifest(manifest)
    return _submit(work, render, manifest, time.time())


def stop_earlier_job(work: Pass, render: Render) -> bool:
    """Stop the run of a row that was set back to Pending: it must not go on at the user's cost.

    False when a job of it may have been submitted so recently that Batch does not show it yet.
    """
    goes_on = any(each.run == render.run and each.status is not Status.PENDING for each in work.renders)
    if not render.run or not work.is_ours(render) or goes_on:
        return True
    job_id, is_latest = latest_job(work.farm, render.run)
    job = work.farm.jobs([job_id]).get(job_id) if job_id else None
    if job and not job.ended:
        work.farm.stop(job.id, "the render was set back to Pending")
        work.listener.say(f"{render.label}: stopped the earlier job {job.id}")
    elif not is_latest:
        work.listener.say(f"{render.label}: waiting until Batch would show the earlier job, to stop it")
        return False
    return True


def latest_job(farm: Farm, run: str) -> tuple[str | None, bool]:
    """Give the run's latest job, and whether no later one can be there that Batch does not show yet.

    A run's manifest is written just before each of its jobs, and AWS tells the times of both by its own clocks.
    """
    found, manifest = farm.find_job(run), farm.buckets.manifest_written(run)
    if manifest is None or manifest[1] >= BATCH_LAG_SECONDS:
        return found and found[0], True
    return (found[0], found[1] >= manifest[0]) if found else (None, False)


def send_package(
    buckets: Buckets, listener: Listener, render: Render, contents: package.Package
) -> tuple[PackageFile, ...]:
    """Bring the package's files to the farm, those apart that it has, and give them as the manifest names them."""
    size, seen, lock = contents.size, 0, threading.Lock()

    def read(count: int) -> None:
        nonlocal seen
        with lock:
            seen += count
            listener.reading(render, seen, size)

    digests = Digests(places.digests_file())
    files = package.digested(contents, digests, read)
    try:
        upload(buckets, files, lambda sent, total: listener.sending(render, sent, total))
    except StaleError:
        digests.forget(path for path, _ in files)
        raise
    return tuple(file for _, file in files)


def _contents(work: Pass, render: Render, found: inspection.Inspection | None) -> package.Package:
    contents = package.collect(render.blend, render.files, found)
    contents.check_complete(allow_missing=render.allow_missing)
    for path, reason in contents.left_out.items():
        work.listener.warn(f"{render.label}: {path} is not sent: {reason}.")
    return contents


def _submit(work: Pass, render: Render, manifest: Manifest, written: float) -> Render:
    """Submit the run's latest chunks; its manifest, written at a time of this clock, is as old as its job."""
    if not 0 <= time.time() - written < _FRESH_SECONDS:
        work.farm.buckets.put_manifest(manifest)
    chunks = len(manifest.chunks) - manifest.first_chunk
    job_id = work.farm.submit(render.run, chunks, first_chunk=manifest.first_chunk)
    work.listener.say(f"{render.label}: submitted {chunks} {'chunks' if chunks > 1 else 'chunk'} as job {job_id}")
    return work.jobfile.update(render, {"job_id": job_id, "status": Status.SCHEDULED, "submitted_at": now()})
