"""Cancelling: what was submitted is stopped, what is finished is kept."""

from __future__ import annotations

from client import fetch, runs
from client.errors import RenderError
from client.farm import Farm
from client.frames_folder import FramesFolder
from client.jobfile import RESTING, JobFile, Render, Status


def cancel(jobfile: JobFile, farm: Farm, render: Render) -> Render:
    """Stop a render's job with all its chunks, fetch what they had finished and give the row.

    Raises RenderError for a render that rests already, or runs in another farm.
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
    # A row that is only Uploaded may have been submitted by a command that crashed.
    job_id = farm.find_job(render.run) if render.status is Status.UPLOADED else render.job_id
    if job_id:
        farm.stop(job_id, "cancelled by the user")
    render = jobfile.update(render, changes)
    folder = FramesFolder.of(render, render.run)
    if folder:
        fetch.fetch_frames(farm, render.run, farm.frames(render.run), folder, lambda: None)
        render = jobfile.update(render, {"frames_done": len(folder.frames & folder.wanted)})
    return render
