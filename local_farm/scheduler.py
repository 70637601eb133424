"""The scheduler of the local farm's AWS Batch: one thread that moves every job from submission to its end.

A thread more runs for each worker process, never for a job that waits.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from local_farm.jobs import BEFORE_STARTING, EXITED, ArrayJob, Job, Submission, given, now_ms
from local_farm.worker import Outcome, Worker, Workplace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from moto.batch.models import ComputeEnvironment

TIMED_OUT = "Job attempt duration exceeded timeout"
TOO_LARGE = (
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE - "
    "All compute environments have a maxvCpu setting that is smaller than the job requirements."
)
"""Why a job waits for ever: https://docs.aws.amazon.com/batch/latest/APIReference/API_JobDetail.html, statusReason."""

STOP_GRACE_S = 30.0
"""Seconds from SIGTERM to SIGKILL, ECS's default.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
"""

_LOOK_AGAIN_S = 1.0


@dataclass(eq=False)
class _Run:
    """An attempt that has not ended, what it holds, and when (on the monotonic clock) something is due for it."""

    job: Job
    worker: Worker
    environment: ComputeEnvironment
    log_stream: str
    started_at: int | None = None
    timeout_at: float | None = None
    kill_at: float | None = None
    stop_reason: str | None = None

    @property
    def due(self) -> list[float]:
        """When this run next needs the scheduler."""
        return [at for at in (self.timeout_at, self.kill_at) if at is not None]


class Scheduler:
    """All jobs of one farm.

    Each queue is first in, first out: as on AWS, a job that cannot start holds up those behind it. Queues of
    a higher priority go first. Public methods may be called from any thread.
    """

    def __init__(self, workplace: Workplace, *, stop_grace_s: float = STOP_GRACE_S) -> None:
        """Make a scheduler; `stop_grace_s` is the time in seconds between SIGTERM and SIGKILL."""
        self._workplace = workplace
        self._stop_grace_s = stop_grace_s
        self._changed = threading.Condition(threading.RLock())
        self._jobs: dict[str, Job] = {}
        self._submitted: deque[Job] = deque()
        self._waiting: dict[str, deque[Job]] = {}
        self._runs: dict[Job, _Run] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._schedule, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin to start jobs."""
        self._thread.start()

    def stop(self) -> None:
        """Kill every worker and wait until they are gone; nothing starts afterwards."""
        with self._changed:
            self._stopping = True
            workers = [run.worker for run in self._runs.values()]
            for worker in workers:
                worker.kill()
            self._changed.notify()
        self._thread.join()
        for worker in workers:
            worker.join()

    def submit(self, submission: Submission, *, size: int | None = None) -> Job:
        """Add a job, or with a size an array job with so many children."""
        job_id = str(uuid.uuid4())
        with self._changed:
            sequence = len(self._jobs)
            job = (
                Job(job_id, submission, sequence=sequence)
                if size is None
                else ArrayJob(job_id, submission, sequence=sequence, size=size)
            )
            self._jobs[job_id] = job
            self._submitted.append(job)
            self._changed.notify()
        return job

    def details(self, ids: Iterable[str], *, submitted_before_ms: int) -> list[dict[str, Any]]:
        """Describe the jobs with these ids; those unknown or submitted later are left out."""
        with self._changed:
            jobs = [job for job in map(self._find, dict.fromkeys(ids)) if job is not None]
            return [job.detail() for job in jobs if (job.parent or job).created_at <= submitted_before_ms]

    def summaries(
        self, jobs: Callable[[dict[str, Job]], Iterable[Job]], wanted: Callable[[Job], bool], *, most: int
    ) -> tuple[list[dict[str, Any]], int | None]:
        """Summarize the first jobs that are wanted; with them the sequence number of the last, if there are more."""
        found: list[Job] = []
        with self._changed:
            for job in jobs(self._jobs):
                if not wanted(job):
                    continue
                if len(found) == most:
                    return [each.summary() for each in found], found[-1].sequence
                found.append(job)
            return [job.summary() for job in found], None

    def cancel(self, job_id: str, reason: str) -> None:
        """End a job, or an array's children, that have not reached STARTING; others go on."""
        with self._changed:
            for job in self._targets(job_id, reason):
                if job.status in BEFORE_STARTING:
                    job.cancelled = True
                    self._end_waiting(job, reason)
            self._changed.notify()

    def terminate(self, job_id: str, reason: str) -> None:
        """End a job, or all of an array's children, whatever they do; a job that has ended stays as it is."""
        with self._changed:
            for job in self._targets(job_id, reason):
                if job.status in BEFORE_STARTING:
                    job.terminated = True
                    self._end_waiting(job, reason)
                elif job in self._runs:
                    job.terminated = True
                    self._stop(self._runs[job], reason)
            self._changed.notify()

    def _find(self, job_id: str) -> Job | None:
        parent_id, _, index = job_id.partition(":")
        job = self._jobs.get(parent_id)
        if not index:
            return job
        if isinstance(job, ArrayJob) and index.isdecimal() and int(index) < len(job.children):
            return job.children[int(index)]
        return None

    def _targets(self, job_id: str, reason: str) -> list[Job]:
        job = self._find(job_id)
        if isinstance(job, ArrayJob):
            job.end_with(reason)
            return list(job.children)
        return [job] if job is not None else []

    def _end_waiting(self, job: Job, reason: str) -> None:
        if job.parent is not None and job.parent.status == "SUBMITTED":
            job.parent.move("PENDING")
        job.move("FAILED", reason)

    def _schedule(self) -> None:
        with self._changed:
            while not self._stopping:
                self._admit()
                self._place()
                self._enforce(time.monotonic())
                self._changed.wait(self._idle_s())

    def _idle_s(self) -> float | None:
        due = [at for run in self._runs.values() for at in run.due]
        idle = max(0.0, min(due) - time.monotonic()) if due else None
        if any(self._waiting.values()):
            # A compute environment can be enabled or made larger while jobs wait; nothing tells us.
            return min(idle, _LOOK_AGAIN_S) if idle is not None else _LOOK_AGAIN_S
        return idle

    def _admit(self) -> None:
        while self._submitted:
            job = self._submitted.popleft()
            if job.status != "SUBMITTED":
                continue
            if isinstance(job, ArrayJob):
                job.move("PENDING")
            for each in job.children if isinstance(job, ArrayJob) else [job]:
                if each.status in BEFORE_STARTING:
                    self._enqueue(each)

    def _enqueue(self, job: Job) -> None:
        job.move("RUNNABLE")
        self._waiting.setdefault(job.submission.queue.arn, deque()).append(job)

    def _place(self) -> None:
        for waiting in sorted(
            (jobs for jobs in self._waiting.values() if jobs),
            key=lambda jobs: int(jobs[0].submission.queue.priority),
            reverse=True,
        ):
            while waiting:
                job = waiting[0]
                if job.status == "RUNNABLE":
                    environment = self._environment_for(job)
                    if environment is None:
                        break
                    self._begin(job, environment)
                waiting.popleft()

    def _environment_for(self, job: Job) -> ComputeEnvironment | None:
        vcpus = job.submission.vcpus
        enabled = [each for each in job.submission.queue.environments if each.state == "ENABLED"]
        for environment in enabled:
            if self._vcpus_in_use(environment) + vcpus <= _max_vcpus(environment):
                return environment
        too_large = bool(enabled) and all(vcpus > _max_vcpus(environment) for environment in enabled)
        job.status_reason = TOO_LARGE if too_large else None
        return None

    def _vcpus_in_use(self, environment: ComputeEnvironment) -> float:
        return sum(run.job.submission.vcpus for run in self._runs.values() if run.environment is environment)

    def _begin(self, job: Job, environment: ComputeEnvironment) -> None:
        submission = job.submission
        stream = f"{submission.log_prefix}/default/{uuid.uuid4().hex}"
        variables = submission.environment | {
            "AWS_BATCH_JOB_ID": job.id,
            "AWS_BATCH_JOB_ATTEMPT": str(len(job.attempts) + 1),
            "AWS_BATCH_JQ_NAME": submission.queue.name,
            "AWS_BATCH_CE_NAME": environment.name,
        }
        if job.index is not None:
            variables["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        worker = Worker(
            self._workplace,
            environment=variables,
            log_group=submission.log_group,
            log_stream=stream,
            started=lambda: self._started(job),
            ended=lambda outcome: self._ended(job, outcome),
        )
        self._runs[job] = _Run(job=job, worker=worker, environment=environment, log_stream=stream)
        job.move("STARTING")
        worker.start()

    def _started(self, job: Job) -> None:
        with self._changed:
            run = self._runs[job]
            job.move("RUNNING")
            job.started_at = run.started_at = now_ms()
            job.latest = {"logStreamName": run.log_stream}
            if job.submission.timeout_s is not None:
                run.timeout_at = time.monotonic() + job.submission.timeout_s
            self._changed.notify()

    def _ended(self, job: Job, outcome: Outcome) -> None:
        with self._changed:
            run = self._runs.pop(job)
            self._changed.notify()
            if self._stopping:
                return
            # Where no process started there is neither an exit code nor a log.
            log_stream = None if outcome.exit_code is None else run.log_stream
            job.latest = given(exitCode=outcome.exit_code, reason=outcome.reason, logStreamName=log_stream)
            status_reason = run.stop_reason or outcome.status_reason
            attempt = given(startedAt=run.started_at, stoppedAt=now_ms(), statusReason=status_reason)
            job.attempts = (*job.attempts, {"container": job.latest | {"networkInterfaces": []}} | attempt)
            if run.stop_reason is None and outcome.exit_code == 0:
                job.move("SUCCEEDED", EXITED)
            elif run.stop_reason is None and job.submission.retry.retries(
                attempts_made=len(job.attempts),
                exit_code=outcome.exit_code,
                reason=outcome.reason,
                status_reason=outcome.status_reason,
            ):
                self._enqueue(job)
            else:
                job.move("FAILED", status_reason)

    def _enforce(self, now: float) -> None:
        for run in self._runs.values():
            if run.timeout_at is not None and now >= run.timeout_at:
                self._stop(run, TIMED_OUT)
            if run.kill_at is not None and now >= run.kill_at:
                run.kill_at = None
                run.worker.kill()

    def _stop(self, run: _Run, reason: str) -> None:
        if run.stop_reason is None:
            run.stop_reason = reason
            run.timeout_at = None
            run.kill_at = time.monotonic() + self._stop_grace_s
            run.worker.terminate()


def _max_vcpus(environment: ComputeEnvironment) -> int:
    # Text where the number went through a CloudFormation parameter.
    return int(environment.compute_resources["maxvCpus"])
