"""What AWS Batch refuses, and how it says so: moto refuses next to nothing.

Facts are from the AWS Batch API reference (https://docs.aws.amazon.com/batch/latest/APIReference/) and its service
quotas (https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MAX_SUBMIT_BYTES = 30 * 1024
MAX_DESCRIBED_JOBS = 100
MAX_LISTED_JOBS = 1000
MAX_FILTERED_JOBS = 100
ARRAY_SIZES = range(2, 10_001)
ATTEMPTS = range(1, 11)
MAX_RETRY_RULES = 5
MAX_PATTERN_CHARACTERS = 512
SHORTEST_TIMEOUT_S = 60

JOB_STATUSES = ("SUBMITTED", "PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")

_JOB_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_REASON_GLOB = re.compile(r"[A-Za-z0-9.:\s]*\*?")
_EXIT_CODE_GLOB = re.compile(r"[0-9]*\*?")
_UNSUPPORTED = (
    "dependsOn",
    "nodeOverrides",
    "eksPropertiesOverride",
    "ecsPropertiesOverride",
    "consumableResourcePropertiesOverride",
)


class ClientError(Exception):
    """Batch's ClientException, HTTP status 400: the caller's fault, with the sentence that the caller reads."""


@dataclass(frozen=True, kw_only=True)
class RetryRule:
    """One condition of a retry strategy: all given patterns must match for its action to be taken.

    A pattern is a whole text, or its start where it ends in `*`. None means that nothing is asked of that text.
    https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
    """

    action: str
    on_exit_code: str | None = None
    on_reason: str | None = None
    on_status_reason: str | None = None

    def matches(self, *, exit_code: int | None, reason: str | None, status_reason: str | None) -> bool:
        """Tell whether an attempt that ended so meets every condition; a text that is missing counts as empty."""
        code = "" if exit_code is None else str(exit_code)
        pairs = ((self.on_exit_code, code), (self.on_reason, reason), (self.on_status_reason, status_reason))
        return all(_glob(pattern, text or "") for pattern, text in pairs if pattern is not None)


@dataclass(frozen=True, kw_only=True)
class RetryStrategy:
    """How often a job may start (1 to 10 times) and the rules that end it sooner; what no rule meets is retried."""

    attempts: int = 1
    rules: tuple[RetryRule, ...] = ()

    def retries(
        self, *, attempts_made: int, exit_code: int | None, reason: str | None, status_reason: str | None
    ) -> bool:
        """Tell whether a job whose latest attempt failed so goes back to RUNNABLE."""
        if attempts_made >= self.attempts:
            return False
        for rule in self.rules:
            if rule.matches(exit_code=exit_code, reason=reason, status_reason=status_reason):
                return rule.action == "RETRY"
        return True


def check_submit(request: dict[str, Any], *, body_bytes: int) -> None:
    """Raise ClientError where SubmitJob would refuse the request, or where the local farm cannot honour it."""
    if body_bytes > MAX_SUBMIT_BYTES:
        raise ClientError(f"The request is {body_bytes} bytes; SubmitJob accepts at most {MAX_SUBMIT_BYTES}.")
    for field in ("jobName", "jobQueue", "jobDefinition"):
        if not isinstance(request.get(field), str) or not request[field]:
            raise ClientError(f"{field} must be given.")
    if not _JOB_NAME.fullmatch(request["jobName"]):
        raise ClientError(
            "jobName must start with a letter or number, hold letters, numbers, hyphens and underscores, "
            "and be at most 128 characters long."
        )
    for field in _UNSUPPORTED:
        if request.get(field):
            raise ClientError(f"The local farm does not support {field}; submit the job without it.")
    overrides = request.get("containerOverrides") or {}
    if overrides.get("command"):
        raise ClientError("The local farm always runs the render worker; submit the job without a command.")
    check_environment(overrides.get("environment"))
    array = request.get("arrayProperties")
    if array and (not _is_int(array.get("size")) or array["size"] not in ARRAY_SIZES):
        raise ClientError(f"The array size must be between {ARRAY_SIZES[0]} and {ARRAY_SIZES[-1]}.")


def check_environment(environment: object) -> None:
    """Raise ClientError when variables are not name and value, or one has a name that Batch keeps to itself."""
    for variable in environment if isinstance(environment, list) else []:
        if not isinstance(variable, dict) or not variable.get("name"):
            raise ClientError("An environment variable needs a name.")
        if variable["name"].startswith("AWS_BATCH"):
            raise ClientError("Environment variables must not start with AWS_BATCH: AWS Batch sets those itself.")


def retry_strategy(given: dict[str, Any] | None) -> RetryStrategy:
    """Read a retryStrategy; raises ClientError where AWS would refuse it."""
    if not given:
        return RetryStrategy()
    rules = given.get("evaluateOnExit") or []
    if rules and given.get("attempts") is None:
        raise ClientError("attempts must be given together with evaluateOnExit.")
    attempts = given.get("attempts", 1)
    if isinstance(attempts, str) and attempts.isdecimal():
        # A number that went through a CloudFormation parameter arrives as text.
        attempts = int(attempts)
    if not _is_int(attempts) or attempts not in ATTEMPTS:
        raise ClientError(f"retryStrategy.attempts must be between {ATTEMPTS[0]} and {ATTEMPTS[-1]}.")
    if len(rules) > MAX_RETRY_RULES:
        raise ClientError(f"evaluateOnExit can hold at most {MAX_RETRY_RULES} conditions.")
    return RetryStrategy(attempts=attempts, rules=tuple(_retry_rule(rule) for rule in rules))


def timeout_s(given: dict[str, Any] | None, *, shortest_s: float = SHORTEST_TIMEOUT_S) -> int | None:
    """Read a timeout's attemptDurationSeconds; None without one. Raises ClientError below the shortest allowed."""
    if not given or given.get("attemptDurationSeconds") is None:
        return None
    seconds = int(given["attemptDurationSeconds"])
    if seconds < shortest_s:
        raise ClientError(f"The timeout must be at least {shortest_s} seconds.")
    return seconds


def check_list(request: dict[str, Any]) -> None:
    """Raise ClientError where ListJobs would refuse the request."""
    if sum(bool(request.get(field)) for field in ("jobQueue", "arrayJobId", "multiNodeJobId")) != 1:
        raise ClientError("Exactly one of jobQueue, arrayJobId and multiNodeJobId must be given.")
    status = request.get("jobStatus")
    if status is not None and status not in JOB_STATUSES:
        raise ClientError(f"jobStatus must be one of {', '.join(JOB_STATUSES)}.")
    filters = request.get("filters") or []
    if len(filters) > 1:
        raise ClientError("Only one filter can be used at a time.")
    most = MAX_FILTERED_JOBS if filters else MAX_LISTED_JOBS
    size = request.get("maxResults", most)
    if not _is_int(size) or not 1 <= size <= most:
        raise ClientError(f"maxResults must be between 1 and {most}.")


def _retry_rule(given: dict[str, Any]) -> RetryRule:
    action = str(given.get("action", "")).upper()
    if action not in {"RETRY", "EXIT"}:
        raise ClientError("The action of an evaluateOnExit condition must be RETRY or EXIT.")
    for field, allowed in (
        ("onExitCode", _EXIT_CODE_GLOB),
        ("onReason", _REASON_GLOB),
        ("onStatusReason", _REASON_GLOB),
    ):
        pattern = given.get(field)
        if pattern is not None and (len(pattern) > MAX_PATTERN_CHARACTERS or not allowed.fullmatch(pattern)):
            raise ClientError(f"The pattern {pattern!r} is not allowed in {field}.")
    return RetryRule(
        action=action,
        on_exit_code=given.get("onExitCode"),
        on_reason=given.get("onReason"),
        on_status_reason=given.get("onStatusReason"),
    )


def _glob(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
