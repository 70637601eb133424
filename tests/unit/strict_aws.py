"""An AWS behind botocore that is as strict as AWS, with what the client asks and with what a test lets AWS answer.

botocore checks each question against AWS's own description of the service; here the answer is checked against the same,
so that a test can neither invent a field nor misspell one. Whatever no test prepared is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from types import SimpleNamespace
from typing import Any, ClassVar

import boto3
import pytest
from botocore.exceptions import ParamValidationError
from botocore.validate import validate_parameters

from client.connection import Connection

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class RefusalError(Exception):
    """What AWS refuses, by its code and words."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": 400}}


class StrictAWS:
    """Answers by operation, and how often each was asked."""

    now: ClassVar[StrictAWS]
    """The one of the test that runs."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.calls: Counter[str] = Counter()
        self.regions: dict[str, str] = {}
        """The region in which each operation was asked last."""
        self._answers: dict[str, Answer] = {}
        self._asked: dict[str, Any] = {}
        StrictAWS.now = self
        patch.setattr(Connection, "client", lambda connection, service, **_: _client(service, connection.region))

    def answers(self, **answers: Answer | dict[str, Any] | Exception) -> None:
        """Prepare answers by operation (`DescribeJobs`): an answer, what makes one of the question, or a refusal."""
        for operation, answer in answers.items():
            self._answers[operation] = answer if callable(answer) else _always(answer)

    def note(self, params: dict[str, Any], **_: object) -> None:
        self._asked = params

    def answer(self, model: Any, request_signer: Any, **_: object) -> tuple[Any, dict[str, Any]]:
        self.calls[model.name] += 1
        self.regions[model.name] = request_signer.region_name
        try:
            if model.name not in self._answers:
                raise RefusalError("AccessDeniedException", f"not authorized to perform {model.name}")
            answer = self._answers[model.name](self._asked)
        except RefusalError as refusal:
            return SimpleNamespace(status_code=400), refusal.answer
        if model.output_shape is not None:
            try:
                validate_parameters(answer, model.output_shape)
            except ParamValidationError as error:
                raise AssertionError(f"AWS does not answer {model.name} so: {error}") from None
        return SimpleNamespace(status_code=200), {**answer, "ResponseMetadata": {"HTTPStatusCode": 200}}


@cache
def _client(service: str, region: str) -> Any:
    """Make a client once for all tests, since that takes longer than any test."""
    made = boto3.Session(region_name=region, aws_access_key_id="none", aws_secret_access_key="none").client(service)  # type: ignore[call-overload]  # noqa: S106
    made.meta.events.register("provide-client-params.*.*", _note)
    made.meta.events.register("before-call.*.*", _answer)
    return made


def _note(**asked: Any) -> None:
    StrictAWS.now.note(**asked)


def _answer(**asked: Any) -> tuple[Any, dict[str, Any]]:
    return StrictAWS.now.answer(**asked)


def _always(answer: Any) -> Answer:
    def give(_: dict[str, Any]) -> dict[str, Any]:
        if isinstance(answer, Exception):
            raise answer
        found: dict[str, Any] = answer
        return found

    return give


def paged(
    name: str,
    items: Iterable[Any],
    token: str = "nextToken",  # noqa: S107
    *,
    of: int = 2,
    ends_empty: bool = False,
) -> Answer:
    """Answer a listing page by page; EC2's last page may have an empty token, others' have none."""
    listed = list(items)

    def give(asked: dict[str, Any]) -> dict[str, Any]:
        start = int(asked.get(token) or 0)
        is_last = start + of >= len(listed)
        more = {token: "" if is_last else str(start + of)} if ends_empty or not is_last else {}
        return {name: listed[start : start + of], **more}

    return give


def spot_history(prices: Iterable[tuple[str, str, datetime, str]]) -> Answer:
    """Answer DescribeSpotPriceHistory: size, zone, time and price of each change.

    Changes within the time asked for come newest first, with the last one before it, which held at its start.
    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
    """
    changes = list(prices)

    def give(asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["ProductDescriptions"] == ["Linux/UNIX"]
        zones = {zone for each in asked.get("Filters", ()) for zone in each["Values"]} | {asked.get("AvailabilityZone")}
        start, end = asked["StartTime"], asked.get("EndTime")
        found = []
        for pool in {(size, zone) for size, zone, _, _ in changes if size in asked["InstanceTypes"] and zone in zones}:
            history = sorted(
                (at, usd) for size, zone, at, usd in changes if (size, zone) == pool and (end is None or at <= end)
            )
            held = [each for each in history if each[0] <= start][-1:]
            found += [(at, pool, usd) for at, usd in (*held, *(each for each in history if each[0] > start))]
        rows = [
            {
                "InstanceType": size,
                "AvailabilityZone": zone,
                "ProductDescription": "Linux/UNIX",
                "SpotPrice": usd,
                "Timestamp": at,
            }
            for at, (size, zone), usd in sorted(found, reverse=True)
        ]
        return paged("SpotPriceHistory", rows, "NextToken", ends_empty=True)(asked)

    return give


def product(usage: str, *dimensions: dict[str, Any], **attributes: str) -> dict[str, Any]:
    """Make a product of AWS's price list, in the shape in which GetProducts tells it as text."""
    return {
        "product": {
            "productFamily": "Storage",
            "attributes": {"usagetype": usage, **attributes},
            "sku": "WP9ANXZGBYYSGJEA",
        },
        "serviceCode": "any",
        "terms": {
            "OnDemand": {
                "WP9ANXZGBYYSGJEA.JRTCKXETXF": {
                    "priceDimensions": {f"WP9ANXZGBYYSGJEA.{number}": each for number, each in enumerate(dimensions)}
                }
            }
        },
        "version": "20261101000000",
    }
