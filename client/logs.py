"""The worker's log of one chunk, from its first line on, or why there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from client import runs
from client.account import Account, ChunkJob
from client.connection import MissingError
from client.errors import RenderError
from client.jobfile import Render

_SECONDS = 5.0
_LOCAL_SECONDS = 0.5


def lines(
    account: Account, render: Render, chunk: int, attempt: int | None, *, follow: bool, say: Callable[[str], None]
) -> Iterator[str]:
    """Give the log of a chunk: of one attempt, counted from 1, or of the latest.

    With `follow` it waits for the chunk to start, goes on to its next attempts and ends with the chunk; `say` hears
    what it waits for. Raises RenderError where there is no log, with the state of the job that would write it.
    """
    _check(account, render)
    pause = _LOCAL_SECONDS if account.config.endpoint_url else _SECONDS
    told, shown = "", 0
    while True:
        job = account.chunk_job(render.run, chunk)
        why_not = _why_not(account, render, chunk, attempt, job)
        if job is None or (why_not and (job.ended or not follow)):
            raise RenderError(why_not)
        if why_not:
            if why_not != told:
                say(why_not)
                told = why_not
            time.sleep(pause)
            continue
        number = attempt or (shown + 1 if shown else len(job.streams))
        if number <= len(job.streams):
            say(f"{render.label}, chunk {chunk}, attempt {number} of {len(job.streams)} ({job.status}):")
            yield from _stream(account, render, chunk, number, job, follow=follow, pause=pause)
            shown = number
        elif job.ended:
            return
        if not follow or attempt:
            return
        time.sleep(pause)


def _check(account: Account, render: Render) -> None:
    if not render.run:
        raise RenderError(
            f"{render.label} has no log yet: it is {render.status.value} and was not submitted; run `render process`."
        )
    if runs.farm_tag(render.run) != account.config.tag:
        raise RenderError(
            f"{render.label} has no log in the farm {account.config.stack_name}, since it ran in another: run `render "
            "configure` for that farm."
        )


def _why_not(account: Account, render: Render, chunk: int, attempt: int | None, job: ChunkJob | None) -> str:
    """Say why there is no log to show; nothing where there is one."""
    if job is None:
        return (
            f"Batch knows no job for chunk {chunk} of {render.label}: chunks count from 0, a new job takes a moment to "
            "be known, and one that ended is forgotten after about 7 days; its log may still be in the log group "
            f"{account.config.log_group}."
        )
    if attempt and attempt > len(job.streams):
        reason = f": {job.reason.rstrip('.')}" if job.reason else ""
        return (
            f"Chunk {chunk} of {render.label} has no attempt {attempt} with a log: it has {len(job.streams)} and is "
            f"{job.status}{reason}."
        )
    if job.streams:
        return ""
    reason = f" ({job.reason.rstrip('.')})" if job.reason else ""
    if job.ended:
        return (
            f"Chunk {chunk} of {render.label} has no log: it is {job.status}{reason} and its container never started."
        )
    return (
        f"Chunk {chunk} of {render.label} has no log yet: its job is {job.status}{reason}; its log will be in the log "
        f"group {account.config.log_group}. `render doctor` says what holds a job up."
    )


def _stream(
    account: Account, render: Render, chunk: int, attempt: int, job: ChunkJob, *, follow: bool, pause: float
) -> Iterator[str]:
    token: str | None = None
    empty = True
    ended = not _runs(job, attempt)
    while True:
        try:
            page, after = account.log_page(job.streams[attempt - 1], token)
        except MissingError:
            if ended:
                raise RenderError(_expired(account, render, chunk)) from None
            page, after = [], token or ""
        yield from page
        empty = empty and not page
        if after != token and after:
            token = after
            continue
        if ended or not follow:
            break
        # What is written until the attempt has ended is read once more after it was seen to have ended.
        latest = account.chunk_job(render.run, chunk)
        ended = latest is None or not _runs(latest, attempt)
        time.sleep(pause)
    if empty and ended:
        raise RenderError(_expired(account, render, chunk))


def _runs(job: ChunkJob, attempt: int) -> bool:
    return job.status == "RUNNING" and attempt == len(job.streams)


def _expired(account: Account, render: Render, chunk: int) -> str:
    days = account.log_retention_days()
    kept = f"keeps logs for {days} days" if days else "keeps logs for ever, so it wrote nothing or was deleted"
    return (
        f"The log of chunk {chunk} of {render.label} holds nothing (any more): the farm {kept} (the setting "
        "log_retention_days)."
    )
