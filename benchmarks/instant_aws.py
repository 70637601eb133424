"""An AWS that answers at once, within the client's own process: what is left is the client's own time, and each call.

It stands behind botocore, so that requests are built, signed and parsed as ever, and nothing goes over a network. It
keeps S3's page of 1,000 keys and Batch's 100 ids and arrays of 2 to 10,000, and refuses any call that it does not know.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import formatdate
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape, unescape

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

KEYS_OF_A_PAGE = 1000
IDS_OF_A_CALL = 100
LARGEST_ARRAY = 10_000


class _Raw(BytesIO):
    def stream(self, amt: int = 65536, **_: object) -> Iterator[bytes]:
        while block := self.read(amt):
            yield block


class InstantAWS:
    """Buckets and jobs in memory, and a count of the calls by operation."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.objects: dict[str, bytes] = {}
        """Content by bucket/key."""
        self.written: dict[str, float] = {}
        """When an object was put, where that matters; Unix seconds by this AWS's own clock."""
        self.jobs: dict[str, dict[str, Any]] = {}

    def clock(self) -> float:
        """Give the time here: it is not the client's."""
        return time.time()

    def client(self, make: Callable[[str], Any], service: str) -> Any:
        """Give the client's own client of a service, with this behind it."""
        made = make(service)
        made.meta.events.register(f"before-send.{service}", self._answer)
        return made

    def _answer(self, request: Any, event_name: str, **_: object) -> AWSResponse:
        return self._response(request, *self.answer(event_name.rpartition(".")[2], request))

    def answer(self, operation: str, request: Any) -> tuple[int, dict[str, str], bytes]:
        """Count a call and give status, headers and body; `request` has the `url`, `headers` and `body` of one."""
        self.calls[operation] += 1
        known = getattr(self, f"_{operation}", None)
        answer: tuple[int, dict[str, str], bytes] = known(request) if known else _refused(f"no {operation} here")
        return answer

    def _response(self, request: Any, status: int, headers: dict[str, str], body: bytes) -> AWSResponse:
        date = formatdate(self.clock(), usegmt=True)
        fields = HTTPHeaders.from_dict({"Content-Length": str(len(body)), "Date": date, **headers})
        return AWSResponse(request.url, status, fields, _Raw(body))

    def _HeadObject(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        path = _path(request)
        if path not in self.objects:
            return 404, {}, b""
        headers = {"Last-Modified": formatdate(self.written.get(path, self.clock()), usegmt=True)}
        return 200, {**headers, "Content-Length": str(len(self.objects[path]))}, b""

    def _GetObject(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        found = self.objects.get(_path(request))
        if found is None:
            return 404, {"Content-Type": "application/xml"}, b"<Error><Code>NoSuchKey</Code></Error>"
        return 200, {}, found

    def _PutObject(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        path, content = _path(request), _content(request)
        checksum = request.headers.get("x-amz-checksum-sha256")
        if checksum and base64.b64encode(hashlib.sha256(content).digest()) != _bytes(checksum):
            return 400, {"Content-Type": "application/xml"}, b"<Error><Code>BadDigest</Code></Error>"
        self.objects[path], self.written[path] = content, self.clock()
        return 200, {"ETag": '"0"'}, b""

    def _DeleteObjects(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        bucket = _path(request).strip("/")
        for key in re.findall(rb"<Key>(.*?)</Key>", _content(request)):
            self.objects.pop(f"{bucket}/{unescape(key.decode())}", None)
        return 200, {"Content-Type": "application/xml"}, b"<DeleteResult/>"

    def _TerminateJob(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        job = self.jobs.get(json.loads(request.body)["jobId"], {})
        if job.get("status") not in {"SUCCEEDED", "FAILED"}:
            job |= {"status": "FAILED", "statusReason": json.loads(request.body)["reason"]}
        return _json({})

    def _ListObjectsV2(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        query = parse_qs(urlsplit(request.url).query)
        bucket, prefix = _path(request).strip("/"), query["prefix"][0]
        after = query.get("continuation-token", query.get("start-after", [""]))[0]
        start = f"{bucket}/{prefix}"
        found = sorted(path[len(bucket) + 1 :] for path in self.objects if path.startswith(start))
        found = [key for key in found if key > after]
        return self._page(bucket, found[:KEYS_OF_A_PAGE], more=len(found) > KEYS_OF_A_PAGE)

    def _page(self, bucket: str, keys: list[str], *, more: bool) -> tuple[int, dict[str, str], bytes]:
        """Give a page of a listing."""
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.objects[f'{bucket}/{key}'])}</Size>"
            f"<LastModified>{_iso(self.written.get(f'{bucket}/{key}', self.clock()))}</LastModified></Contents>"
            for key in keys
        )
        token = f"<NextContinuationToken>{escape(keys[-1])}</NextContinuationToken>" if more else ""
        body = f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
        return 200, {"Content-Type": "application/xml"}, body.encode()

    def _SubmitJob(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        asked = json.loads(request.body)
        size = asked.get("arrayProperties", {}).get("size")
        if size is not None and not 2 <= size <= LARGEST_ARRAY:  # noqa: PLR2004 -- the bound that AWS has
            return _refused(f"An array has 2 to {LARGEST_ARRAY} children.")
        number = f"job-{len(self.jobs)}"
        job = {"jobId": number, "jobName": asked["jobName"], "status": "RUNNING", "createdAt": int(self.clock() * 1000)}
        job |= {"container": {"environment": asked["containerOverrides"]["environment"]}}
        if size:
            job |= {"status": "PENDING", "arrayProperties": {"size": size, "statusSummary": {"RUNNING": size}}}
        self.jobs[number] = job
        return _json({"jobId": number, "jobName": asked["jobName"]})

    def _DescribeJobs(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        ids = json.loads(request.body)["jobs"]
        if len(ids) > IDS_OF_A_CALL:
            return _refused(f"jobs can hold at most {IDS_OF_A_CALL} job IDs.")
        return _json({"jobs": [self.jobs[number] for number in ids if number in self.jobs]})

    def _ListJobs(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        names = [name for each in json.loads(request.body)["filters"] for name in each["values"]]
        return _json({"jobSummaryList": [job for job in self.jobs.values() if job["jobName"] in names]})

    def finish(self) -> None:
        """Let every job succeed."""
        for job in self.jobs.values():
            job["status"] = "SUCCEEDED"
            if "arrayProperties" in job:
                job["arrayProperties"]["statusSummary"] = {"SUCCEEDED": job["arrayProperties"]["size"]}


def _path(request: Any) -> str:
    """Give bucket/key, of an address in S3's own style or, as at an endpoint that is not Amazon's, by path."""
    address = urlsplit(request.url)
    bucket, is_named, _ = address.netloc.partition(".s3.")
    return (f"{bucket}/" if is_named else "") + unquote(address.path).lstrip("/")


def _content(request: Any) -> bytes:
    body: bytes = request.body if isinstance(request.body, bytes) else request.body.read()
    if "X-Amz-Trailer" not in request.headers:
        return body
    # In pieces, each with its length before it: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
    whole, rest = b"", body
    while True:
        length, _, rest = rest.partition(b"\r\n")
        if not int(length, 16):
            return whole
        whole, rest = whole + rest[: int(length, 16)], rest[int(length, 16) + 2 :]


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _bytes(header: str | bytes) -> bytes:
    return header if isinstance(header, bytes) else header.encode()


def _json(answer: object) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()


def _refused(message: str) -> tuple[int, dict[str, str], bytes]:
    return 400, {"x-amzn-ErrorType": "ClientException"}, json.dumps({"message": message}).encode()
