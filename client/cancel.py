"""Cancelling: what was submitted is stopped, what is finished is kept."""

from __future__ import annotations

from collections.abc import Sequence

from client import fetch, runs, submit
from client.errors import RenderError
from client.farm import Farm
from client.frames_folder import FramesFolder
from client.jobfile import RESTING, ChangedError, JobFile, Render, Status


def cancel(jobfile: JobFile, farm: Farm, render: Render) -> Render:
    """Stop a render's job with all its chunks, in one call of AWS or two, and give the row.

    Raises RenderError for a render that rests already, runs in another farm, or was submitted by a command that was
    cut off so recently that Batch does not show its job yet.
    """
    if render.status in RESTING:
        raise RenderError(f"{render.label} is {render.status.value} already.")
    changes: dict[str, object] = {"status": Status.CANCELLED, "error": ""}
    if not render.run:
        return jobfile.update(render, changes)
    if runs.farm_tag(render.run) != farm.config.tag:
        raise RenderError(
            f"{render.label} runs in another farm than {farm.config.stack_name}: run `render configure` for that farm."
        )
    job_id, is_latest = render.job_id or None, True
    if render.status is Status.UPLOADED and render.submitted_at:
        # It may have been submitted by a command that crashed.
        job_id, is_latest = submit.latest_job(farm, render.run)
    if not is_latest:
        raise RenderError(
            f"{render.label} may have been submitted a moment ago, which Batch does not show yet: try in a minute."
        )
    if job_id:
        farm.stop(job_id, "cancelled by the user")
    return jobfile.update(render, changes)


def cancel_each(jobfile: JobFile, farm: Farm, ids: Sequence[int]) -> tuple[list[Render], list[str]]:
    """Cancel renders; give the rows of those that are stopped, and a sentence for each that could not be."""
    stopped, refusals = [], []
    for render in jobfile.chosen(ids):
        try:
            try:
                stopped.append(cancel(jobfile, farm, render))
            except ChangedError:
                (now,) = jobfile.chosen([render.id])
                stopped.append(cancel(jobfile, farm, now))
        except RenderError as error:
            refusals.append(str(error))
    return stopped, refusals


def keep_finished(jobfile: JobFile, farm: Farm, render: Render) -> Render:
    """Fetch what a cancelled render had finished and give the row."""
    folder = FramesFolder.of(render, render.run) if render.run else None
    if folder is None:
        return render
    fetch.fetch_frames(farm.buckets, render.run, farm.buckets.frames(render.run), folder, lambda: None)
    return jobfile.update(render, {"frames_done": folder.done, "frames_total": len(folder.wanted)})
