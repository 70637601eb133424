"""What `process` would upload and submit, found out on this machine alone."""

from __future__ import annotations

from dataclasses import dataclass

from client import inspection, package, plan
from client.errors import RenderError
from client.frames import spelled
from client.jobfile import JobFile, Render, Status


@dataclass(frozen=True, kw_only=True)
class Submission:
    """One row that would be submitted; `size` is the bytes of its files, of which the farm may have some already."""

    render: Render
    files: int
    size: int
    chunks: int
    frames: str


@dataclass(frozen=True, kw_only=True)
class DryRun:
    """The rows that would be submitted, and a sentence for each that would be refused."""

    submissions: list[Submission]
    refusals: list[str]


def dryrun(jobfile: JobFile) -> DryRun:
    """Check each pending row as `process` does, without writing anything or asking AWS."""
    renders, broken = jobfile.read()
    submissions: list[Submission] = []
    refusals = [row.reason for row in broken]
    for render in renders:
        if render.status is not Status.PENDING:
            continue
        try:
            found = inspection.inspect(render.blend)
            wanted = plan.plan(render, found, renders=renders)
            contents = package.collect(render.blend, render.files, found)
            contents.check_complete(allow_missing=render.allow_missing)
        except RenderError as error:
            refusals.append(f"{render.label}: {error}")
            continue
        submissions.append(
            Submission(
                render=render,
                files=len(contents.places),
                size=contents.size,
                chunks=len(wanted.chunks),
                frames=spelled(wanted.frames),
            )
        )
    return DryRun(submissions=submissions, refusals=refusals)
