"""The farm's two buckets as the client uses them: it fills the source and reads the results."""

from __future__ import annotations

import base64
import bisect
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import HTTPClientError, IncompleteReadError

from client.config import FarmConfig
from client.connection import PARALLEL, Connection, MissingError, told
from client.digests import Content, StaleError
from client.errors import RenderError
from render_worker import contract
from render_worker.contract import Manifest, PackageFile

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_BYTES = 8 << 20
"""A file up to this size is one object put at once; a larger one goes in parts of this size, or a multiple of it."""
_MAX_PARTS = 10_000
"""https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html"""
BYTES_UNDER_WAY = PARALLEL * PART_BYTES
"""Parts in memory at once: the client stays below 200 MB whatever it sends."""
MAX_FILE_BYTES = BYTES_UNDER_WAY * _MAX_PARTS
_CHECKSUM: Literal["CRC32"] = "CRC32"
"""Of each part; S3 wishes to hear of it when an upload begins, with each part, and again at its end.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""
_KEYS_A_CALL = 1000
_HEADS_A_PAGE = 8
"""A page of the listing takes about as long as so many HEADs side by side."""
_REPORTS_A_SHARE = 16
_BLOCK = 1 << 20
_BROKEN_CONNECTIONS = 5
PARTIAL = ".fetch-"
"""How the name of a file begins that is being fetched; a command that was killed leaves it."""


@dataclass(frozen=True)
class _Unfinished:
    """An upload in parts that was begun: its id, and the parts that have arrived by number, as S3 lists them."""

    upload_id: str
    parts: Mapping[int, Any]


class Buckets:
    """A run's way to the farm and back. Every method raises RenderError, or UnreachableError when nothing answers."""

    def __init__(self, config: FarmConfig, connection: Connection) -> None:
        self._config = config
        self._connection = connection
        self._source = config.source_bucket
        self._results = config.results_bucket

    @cached_property
    def _s3(self) -> S3Client:
        client: S3Client = self._connection.client("s3")
        return client

    def kept(self, sizes: Mapping[str, int]) -> set[str]:
        """Say which contents (digest to size) the farm has, and keeps long enough for a render that is submitted now.

        S3 deletes what has lain for the farm's `source_expiry_days`; one in the second half of them is not counted, so
        that sending it again makes it young. Asks for each content, or reads the listing where that is quicker.
        """
        found: set[str] = set()
        wanted, decided = sorted(sizes), ""
        with self._told("the package"):
            if len(wanted) > _HEADS_A_PAGE:
                decided = self._kept_in_listing(sizes, wanted, found)
            rest = wanted[bisect.bisect_right(wanted, decided) :]
            with ThreadPoolExecutor(PARALLEL) as pool:
                kept = pool.map(lambda digest: self._is_kept(digest, sizes[digest]), rest)
                found.update(digest for digest, is_kept in zip(rest, kept, strict=True) if is_kept)
        return found

    def send(self, path: Path, file: PackageFile, sent: Callable[[int], None]) -> None:
        """Put a file's content under its digest; `sent` hears of the bytes, also of those an earlier command had sent.

        The content that arrives is the one that the digest names: a file that changes meanwhile raises StaleError.
        """
        if file.size > MAX_FILE_BYTES:
            raise RenderError(
                f"{path} has {file.size:,} bytes and the farm takes {MAX_FILE_BYTES:,}: split it, as a cache of "
                "several files."
            )
        with self._told(path.name), path.open("rb") as content:
            if file.size > PART_BYTES:
                try:
                    self._send_parts(path, file, content, sent)
                except self._s3.exceptions.NoSuchUpload:
                    # Another command took up the same upload, and has completed it or given it up.
                    if not self._is_kept(file.digest, file.size):
                        content.seek(0)
                        self._send_parts(path, file, content, lambda _: None)
                return
            body = content.read(PART_BYTES + 1)
            if hashlib.sha256(body).hexdigest() != file.digest:
                raise _changed(path)
            checksum = base64.b64encode(bytes.fromhex(file.digest)).decode()
            key = contract.file_key(file.digest)
            self._s3.put_object(Bucket=self._source, Key=key, Body=body, ChecksumSHA256=checksum)
            sent(len(body))

    def put_manifest(self, manifest: Manifest) -> None:
        """Write what the run renders; the last thing before its job is submitted."""
        with self._told(f"the manifest of {manifest.run}"):
            self._s3.put_object(
                Bucket=self._source,
                Key=contract.manifest_key(manifest.run),
                Body=manifest.to_json().encode(),
                ContentType="application/json",
            )

    def manifest(self, run: str) -> Manifest:
        """Read what the run renders."""
        with self._told(f"the manifest of {run}"):
            found = self._s3.get_object(Bucket=self._source, Key=contract.manifest_key(run))
            text = found["Body"].read(contract.MAX_MANIFEST_BYTES + 1)
        try:
            return Manifest.from_json(text)
        except contract.ContractError as error:
            raise RenderError(f"The manifest of {run} cannot be used: {error}.") from None

    def manifest_written(self, run: str) -> tuple[datetime, float] | None:
        """Give when the run's manifest was written, and the seconds since, by S3's clock; None when there is none.

        This machine's clock may be wrong, or jump; what was submitted when is too dear to depend on it.
        """
        try:
            with self._told(f"the manifest of {run}"):
                found = self._s3.head_object(Bucket=self._source, Key=contract.manifest_key(run))
        except MissingError:
            return None
        return found["LastModified"], _age(found["LastModified"], found).total_seconds()

    def frames(self, run: str, missing: Sequence[str] = ()) -> dict[str, int]:
        """List the run's frame files, each with its size in bytes.

        With the starts of the names that are missing here, sorted, it lists what may be among them: a page of 1,000
        keys from the first on, and further pages only from the next one that is missing.
        """
        prefix = contract.frames_prefix(run)
        if not missing:
            return self._listing(prefix)
        listing: dict[str, int] = {}
        after = missing[0]
        with self._told("the results"):
            while True:
                page = self._s3.list_objects_v2(Bucket=self._results, Prefix=prefix, StartAfter=prefix + after)
                listing |= _names(page, prefix)
                last = next(reversed(listing), after)
                following = bisect.bisect_right(missing, last)
                if not page["IsTruncated"] or following == len(missing):
                    return listing
                after = max(last, missing[following])

    def outputs(self, run: str) -> dict[str, int]:
        """List what the run's hooks left in the output folder, each with its size in bytes."""
        return self._listing(contract.output_prefix(run))

    def report_names(self, run: str) -> list[str]:
        """List the run's reports by name."""
        return list(self._listing(contract.reports_prefix(run)))

    def reports(self, run: str, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Read reports, several side by side, each with its name."""

        def read(some: Sequence[str]) -> list[tuple[str, bytes]]:
            found = []
            with self._told("the reports"):
                for name in some:
                    answer = self._s3.get_object(Bucket=self._results, Key=contract.reports_prefix(run) + name)
                    found.append((name, answer["Body"].read(contract.MAX_REPORT_BYTES)))
            return found

        shares = [names[start : start + _REPORTS_A_SHARE] for start in range(0, len(names), _REPORTS_A_SHARE)]
        with ThreadPoolExecutor(PARALLEL) as pool:
            for found in pool.map(read, shares):
                yield from found

    def delete_frames(self, run: str, names: Iterable[str]) -> None:
        """Delete frame files of a run, so that its workers render those frames again."""
        prefix, wanted = contract.frames_prefix(run), list(names)
        for start in range(0, len(wanted), _KEYS_A_CALL):
            keys = [{"Key": prefix + name} for name in wanted[start : start + _KEYS_A_CALL]]
            with self._told("the frames"):
                self._s3.delete_objects(Bucket=self._results, Delete={"Objects": keys, "Quiet": True})  # type: ignore[typeddict-item]

    def fetch(self, key: str, path: Path) -> Content:
        """Bring one object of the results to a path, whole or not at all, and give what it holds."""
        with self._told(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, beside = tempfile.mkstemp(dir=path.parent, prefix=PARTIAL)
            try:
                with os.fdopen(handle, "wb") as file:
                    digest = self._receive(key, file.write)
                    size = file.tell()
                    file.flush()
                    os.fsync(file.fileno())
                Path(beside).chmod(0o644)
                Path(beside).replace(path)
            finally:
                Path(beside).unlink(missing_ok=True)
        return Content(digest, size)

    def _receive(self, key: str, write: Callable[[bytes], object]) -> str:
        """Read an object; a connection that breaks is taken up where it broke, unless the object was replaced."""
        digest, here, tries, version = hashlib.sha256(), 0, _BROKEN_CONNECTIONS, dict[str, str]()
        while True:
            part = {"Range": f"bytes={here}-"} if here else {}
            answer: Any = self._s3.get_object(Bucket=self._results, Key=key, **part, **version)  # type: ignore[arg-type]
            version = {"IfMatch": answer["ETag"]} if "ETag" in answer else {}
            try:
                for block in answer["Body"].iter_chunks(_BLOCK):
                    digest.update(block)
                    write(block)
                    here += len(block)
            except (HTTPClientError, IncompleteReadError):
                tries -= 1
                if not tries:
                    raise
                continue
            return digest.hexdigest()

    def _kept_in_listing(self, sizes: Mapping[str, int], wanted: Sequence[str], found: set[str]) -> str:
        """Look contents up in the listing while that is quicker than asking for each; give the last one looked at."""
        prefix, pages = contract.file_key(""), -(-len(wanted) // _HEADS_A_PAGE)
        last = ""
        for page in self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._source, Prefix=prefix, PaginationConfig={"MaxItems": pages * _KEYS_A_CALL}
        ):
            for each in page.get("Contents", ()):
                last = each["Key"].removeprefix(prefix)
                if sizes.get(last) == each["Size"] and self._is_young(each["LastModified"], page):
                    found.add(last)
            if not page["IsTruncated"]:
                return wanted[-1]
        return last

    def _is_kept(self, digest: str, size: int) -> bool:
        try:
            with self._told("the package"):
                answer = self._s3.head_object(Bucket=self._source, Key=contract.file_key(digest))
        except MissingError:
            return False
        return answer["ContentLength"] == size and self._is_young(answer["LastModified"], answer)

    def _is_young(self, modified: datetime, answer: Any) -> bool:
        return _age(modified, answer) < timedelta(days=self._config.source_expiry_days) / 2

    def _send_parts(self, path: Path, file: PackageFile, content: Any, sent: Callable[[int], None]) -> None:
        """Send a large file in parts side by side, those apart that an earlier command had sent of the same content.

        All of it is read, in order, so that what is completed is what the digest names.
        """
        key = contract.file_key(file.digest)
        unfinished = self._unfinished(key)
        size = part_bytes(file.size)
        at_once = BYTES_UNDER_WAY // size
        digest, done = hashlib.sha256(), list[Any]()

        def arrived(length: int, part: Future[Any]) -> Any:
            answer = part.result()
            sent(length)
            return answer

        with ThreadPoolExecutor(at_once) as pool:
            waiting = list[tuple[int, Future[Any]]]()
            try:
                for number, block in enumerate(iter(lambda: content.read(size), b""), start=1):
                    digest.update(block)
                    waiting.append((len(block), pool.submit(self._send_part, key, unfinished, number, block)))
                    del block
                    if len(waiting) == at_once:
                        done.append(arrived(*waiting.pop(0)))
                done += [arrived(*each) for each in waiting]
            finally:
                pool.shutdown(cancel_futures=True)
        which: Any = {"Bucket": self._source, "Key": key, "UploadId": unfinished.upload_id}
        if digest.hexdigest() != file.digest:
            self._s3.abort_multipart_upload(**which)
            raise _changed(path)
        self._s3.complete_multipart_upload(**which, MultipartUpload={"Parts": done})

    def _send_part(self, key: str, unfinished: _Unfinished, number: int, block: bytes) -> dict[str, object]:
        part: Any = unfinished.parts.get(number)
        if part is None or (part["ETag"].strip('"'), part["Size"]) != (_md5(block), len(block)):
            part = self._s3.upload_part(
                Bucket=self._source,
                Key=key,
                UploadId=unfinished.upload_id,
                PartNumber=number,
                Body=block,
                ChecksumAlgorithm=_CHECKSUM,
            )
        checksum = {"ChecksumCRC32": part["ChecksumCRC32"]} if "ChecksumCRC32" in part else {}
        return {"PartNumber": number, "ETag": part["ETag"], **checksum}

    def _unfinished(self, key: str) -> _Unfinished:
        """Take up the newest upload of this content that was begun, or begin one.

        Buckets with S3's own keys, as the farm's, give a part's MD5 as its ETag; with other keys nothing matches, and
        the part is sent again. https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
        """
        begun = [
            each
            for page in self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self._source, Prefix=key)
            for each in page.get("Uploads", ())
            if each["Key"] == key and each.get("ChecksumAlgorithm", _CHECKSUM) == _CHECKSUM
        ]
        if not begun:
            answer = self._s3.create_multipart_upload(Bucket=self._source, Key=key, ChecksumAlgorithm=_CHECKSUM)
            return _Unfinished(answer["UploadId"], {})
        upload_id = max(begun, key=lambda each: each["Initiated"])["UploadId"]
        pages = self._s3.get_paginator("list_parts").paginate(Bucket=self._source, Key=key, UploadId=upload_id)
        return _Unfinished(upload_id, {part["PartNumber"]: part for page in pages for part in page.get("Parts", ())})

    def _listing(self, prefix: str) -> dict[str, int]:
        listing: dict[str, int] = {}
        with self._told("the results"):
            for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._results, Prefix=prefix):
                listing |= _names(page, prefix)
        return listing

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        with told(what, self._connection, self._config.stack_name):
            yield


def part_bytes(size: int) -> int:
    """Give the bytes of each part of a file of that size: as few as S3's bound on their number allows."""
    return -(-size // (_MAX_PARTS * PART_BYTES)) * PART_BYTES


def _names(page: Any, prefix: str) -> dict[str, int]:
    return {found["Key"].removeprefix(prefix): found["Size"] for found in page.get("Contents", ())}


def _age(modified: datetime, answer: Any) -> timedelta:
    """Give how old something is by the clock of the server that says when it was made."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    return (parsedate_to_datetime(date) if date else datetime.now(timezone.utc)) - modified


def _md5(block: bytes) -> str:
    return hashlib.md5(block, usedforsecurity=False).hexdigest()


def _changed(path: Path) -> StaleError:
    return StaleError(f"{path} changed while it was sent: save it, then run the command again.")
