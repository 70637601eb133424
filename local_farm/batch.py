"""AWS Batch's API for jobs: SubmitJob, DescribeJobs, ListJobs, CancelJob and TerminateJob, in front of moto.

moto 5.2.5 keeps the compute environments, queues and job definitions; its own jobs need Docker, ignore retries and
timeouts, and refuse next to nothing. https://docs.aws.amazon.com/batch/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from moto.batch.models import batch_backends
from moto.core import DEFAULT_ACCOUNT_ID

from local_farm.jobs import ArrayJob, Job, Submission, now_ms
from local_farm.limits import (
    MAX_DESCRIBED_JOBS,
    MAX_FILTERED_JOBS,
    MAX_LISTED_JOBS,
    SHORTEST_TIMEOUT_S,
    ClientError,
    check_list,
    check_submit,
    retry_strategy,
    timeout_s,
)

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from moto.batch.models import JobDefinition, JobQueue

    from local_farm.scheduler import Scheduler

_MAX_BODY_BYTES = 1024 * 1024
_DEFAULT_LOG_GROUP = "/aws/batch/job"


class BatchJobs:
    """A WSGI application that answers Batch's calls about jobs and passes every other call on."""

    def __init__(
        self,
        app: WSGIApplication,
        scheduler: Scheduler,
        *,
        region: str,
        consistency_delay_s: float = 0.0,
        shortest_timeout_s: float = SHORTEST_TIMEOUT_S,
    ) -> None:
        """Answer for one region.

        `consistency_delay_s` is for how many seconds a new job is missing from DescribeJobs and ListJobs;
        AWS promises no particular time. `shortest_timeout_s` is what SubmitJob accepts, 60 on AWS.
        """
        self._app = app
        self._scheduler = scheduler
        self._region = region
        self._consistency_delay_s = consistency_delay_s
        self._shortest_timeout_s = shortest_timeout_s
        self._calls: dict[str, Callable[[dict[str, Any], int], dict[str, Any]]] = {
            "/v1/submitjob": self._submit_job,
            "/v1/describejobs": self._describe_jobs,
            "/v1/listjobs": self._list_jobs,
            "/v1/canceljob": self._cancel_job,
            "/v1/terminatejob": self._terminate_job,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request; every call about jobs comes through here, so limits on their rate belong here."""
        call = self._calls.get(environ.get("PATH_INFO", ""))
        scope = environ.get("HTTP_AUTHORIZATION", "")
        if call is None or "/batch/aws4_request" not in scope:
            return self._app(environ, start_response)
        try:
            if f"/{self._region}/batch/aws4_request" not in scope:
                raise ClientError(f"This farm is in {self._region}; ask that region for its jobs.")
            body = environ["wsgi.input"].read(min(int(environ.get("CONTENT_LENGTH") or 0), _MAX_BODY_BYTES))
            answer = call(_request(body), len(body))
        except ClientError as error:
            headers = [("Content-Type", "application/json"), ("x-amzn-ErrorType", "ClientException")]
            start_response("400 Bad Request", [*headers, _request_id()])
            return [json.dumps({"message": str(error)}).encode()]
        start_response("200 OK", [("Content-Type", "application/json"), _request_id()])
        return [json.dumps(answer).encode()]

    def _submit_job(self, request: dict[str, Any], body_bytes: int) -> dict[str, Any]:
        check_submit(request, body_bytes=body_bytes)
        submission = self._submission(request)
        job = self._scheduler.submit(submission, size=(request.get("arrayProperties") or {}).get("size"))
        return {"jobArn": job.arn, "jobId": job.id, "jobName": submission.name}

    def _describe_jobs(self, request: dict[str, Any], _: int) -> dict[str, Any]:
        ids = request.get("jobs")
        if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
            raise ClientError("jobs must be a list of job IDs.")
        if len(ids) > MAX_DESCRIBED_JOBS:
            raise ClientError(f"jobs can hold at most {MAX_DESCRIBED_JOBS} job IDs.")
        return {"jobs": self._scheduler.details(ids, submitted_before_ms=self._visible_ms())}

    def _list_jobs(self, request: dict[str, Any], _: int) -> dict[str, Any]:
        check_list(request)
        after = _sequence(request.get("nextToken"))
        visible = self._visible_ms()
        # A filter does not reach the children of an array, says the reference; then the status still counts.
        filters = [] if request.get("arrayJobId") else request.get("filters") or []
        status = request.get("jobStatus") or "RUNNING"
        matches = _filter(filters[0]) if filters else lambda job: job.status == status

        if queue_name := request.get("jobQueue"):
            queue = self._queue(queue_name)

            def jobs(known: dict[str, Job]) -> Iterable[Job]:
                return (
                    job
                    for job in reversed(known.values())
                    if job.submission.queue is queue
                    and job.created_at <= visible
                    and (after is None or job.sequence < after)
                )
        else:
            parent_id = request.get("arrayJobId")

            def jobs(known: dict[str, Job]) -> Iterable[Job]:
                parent = known.get(parent_id) if parent_id else None
                children = parent.children if isinstance(parent, ArrayJob) and parent.created_at <= visible else []
                return children if after is None else children[after + 1 :]

        most = request.get("maxResults") or (MAX_FILTERED_JOBS if filters else MAX_LISTED_JOBS)
        summaries, last = self._scheduler.summaries(jobs, matches, most=most)
        return {"jobSummaryList": summaries} | ({} if last is None else {"nextToken": str(last)})

    def _cancel_job(self, request: dict[str, Any], _: int) -> dict[str, Any]:
        self._scheduler.cancel(*_id_and_reason(request))
        return {}

    def _terminate_job(self, request: dict[str, Any], _: int) -> dict[str, Any]:
        self._scheduler.terminate(*_id_and_reason(request))
        return {}

    def _visible_ms(self) -> int:
        return now_ms() - math.ceil(self._consistency_delay_s * 1000)

    def _submission(self, request: dict[str, Any]) -> Submission:
        queue = self._queue(request["jobQueue"])
        if queue.state != "ENABLED":
            raise ClientError(f"The job queue {queue.name} is not ENABLED.")
        definition = self._definition(request["jobDefinition"])
        properties: dict[str, Any] = definition.container_properties or {}
        overrides = request.get("containerOverrides") or {}
        environment = {
            each["name"]: str(each.get("value", ""))
            for each in [*properties.get("environment", []), *overrides.get("environment", [])]
        }
        resources = {
            each["type"]: str(each["value"])
            for each in [*properties.get("resourceRequirements", []), *overrides.get("resourceRequirements", [])]
        }
        container = properties | {
            "environment": [{"name": name, "value": value} for name, value in environment.items()],
            "resourceRequirements": [{"type": kind, "value": value} for kind, value in resources.items()],
            "networkInterfaces": [],
        }
        log_options = (properties.get("logConfiguration") or {}).get("options") or {}
        strategy = request.get("retryStrategy") or definition.retry_strategy or {}
        own_timeout = timeout_s(request.get("timeout"), shortest_s=self._shortest_timeout_s)
        return Submission(
            name=request["jobName"],
            queue=queue,
            definition_arn=definition.arn,
            container=container,
            environment=environment,
            vcpus=float(resources.get("VCPU") or properties.get("vcpus") or 1),
            retry=retry_strategy(strategy),
            retry_strategy=strategy,
            timeout_s=timeout_s(definition.timeout) if own_timeout is None else own_timeout,
            log_group=log_options.get("awslogs-group", _DEFAULT_LOG_GROUP),
            log_prefix=log_options.get("awslogs-stream-prefix", definition.name),
            parameters=(definition.parameters or {}) | (request.get("parameters") or {}),
            tags=request.get("tags") or {},
        )

    def _queue(self, name_or_arn: str) -> JobQueue:
        queue = batch_backends[DEFAULT_ACCOUNT_ID][self._region].get_job_queue(name_or_arn)
        if queue is None:
            raise ClientError(f"The job queue {name_or_arn} does not exist.")
        return queue

    def _definition(self, name_or_arn: str) -> JobDefinition:
        known = batch_backends[DEFAULT_ACCOUNT_ID][self._region].describe_job_definitions(status="ACTIVE")
        found = [each for each in known if name_or_arn in _names(each)]
        if not found:
            raise ClientError(f"The job definition {name_or_arn} does not exist or is not ACTIVE.")
        return max(found, key=lambda each: int(each.revision))


def _names(definition: JobDefinition) -> tuple[str, ...]:
    # "definition-name, definition-name:revision, or the ARN, with or without the revision", says SubmitJob's reference.
    return (
        definition.name,
        f"{definition.name}:{definition.revision}",
        definition.arn,
        definition.arn.rpartition(":")[0],
    )


def _request(body: bytes) -> dict[str, Any]:
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise ClientError("The request is not a JSON object.")
    return request


def _request_id() -> tuple[str, str]:
    return ("x-amzn-RequestId", str(uuid.uuid4()))


def _id_and_reason(request: dict[str, Any]) -> tuple[str, str]:
    for field in ("jobId", "reason"):
        if not isinstance(request.get(field), str) or not request[field]:
            raise ClientError(f"{field} must be given.")
    return request["jobId"], request["reason"]


def _sequence(token: str | None) -> int | None:
    if token is None:
        return None
    if not token.isdecimal():
        raise ClientError("The nextToken is not one that ListJobs gave.")
    return int(token)


def _filter(given: dict[str, Any]) -> Callable[[Job], bool]:
    tests = [_filter_one(given.get("name"), str(value)) for value in given.get("values") or []]
    return lambda job: any(test(job) for test in tests)


def _filter_one(name: object, value: str) -> Callable[[Job], bool]:
    if name == "JOB_NAME":
        return lambda job: _starts_or_is(job.submission.name.lower(), value.lower())
    if name == "JOB_DEFINITION" and value.startswith("arn:"):
        return lambda job: job.submission.definition_arn == value
    if name == "JOB_DEFINITION":
        return lambda job: _starts_or_is(job.submission.definition_name, value)
    if name in {"BEFORE_CREATED_AT", "AFTER_CREATED_AT"}:
        if not value.isdecimal():
            raise ClientError(f"The value of {name} must be a time in milliseconds since 1970.")
        at = int(value)
        return (lambda job: job.created_at < at) if name == "BEFORE_CREATED_AT" else (lambda job: job.created_at > at)
    raise ClientError(f"The filter {name} is not supported.")


def _starts_or_is(text: str, pattern: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
