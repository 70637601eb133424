"""The two buckets as the worker uses them: it reads the source and writes the results, and nothing else."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from boto3.exceptions import Boto3Error
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError

from render_worker import contract
from render_worker.cache import Cache
from render_worker.contract import ExitCode, Manifest, PackageFile, Report
from render_worker.errors import WorkerError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PARALLEL = 8
_BLOCK = 1 << 20
_BROKEN_CONNECTIONS = 5
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 8}, max_pool_connections=2 * _PARALLEL)
# What no second attempt changes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_FINAL = {"403", "404", "AccessDenied", "AllAccessDisabled", "NoSuchBucket", "NoSuchKey", "InvalidObjectState"}


@dataclass(frozen=True, kw_only=True)
class Buckets:
    """A run's way in and out. Every method raises WorkerError with a sentence."""

    source: str
    results: str
    client: S3Client

    @classmethod
    def connect(cls, *, source: str, results: str) -> Buckets:
        """Reach the buckets with the job's own role."""
        return cls(source=source, results=results, client=boto3.client("s3", config=_CONFIG))

    def manifest(self, run: str) -> Manifest:
        """Read what the run renders."""
        with _told(f"the manifest of {run}"):
            found = self.client.get_object(Bucket=self.source, Key=contract.manifest_key(run))
            text = found["Body"].read(contract.MAX_MANIFEST_BYTES + 1)
        try:
            manifest = Manifest.from_json(text)
        except contract.ContractError as error:
            raise WorkerError(f"The manifest of {run} cannot be used: {error}") from None
        if manifest.run != run:
            raise WorkerError(f"The manifest of {run} belongs to {manifest.run}")
        return manifest

    def fetch(self, files: tuple[PackageFile, ...], folder: Path, cache: Cache) -> None:
        """Bring the package's files to their places below the folder, from the cache where it has them."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            waiting = [pool.submit(self._fetch_one, file, folder, cache) for file in files]
            try:
                for future in as_completed(waiting):
                    future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def finished_frames(self, run: str) -> set[int]:
        """List the frames that earlier attempts finished."""
        prefix = contract.frames_prefix(run)
        frames: set[int] = set()
        with _told(f"the finished frames of {run}"):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.results, Prefix=prefix):
                names = (found["Key"].removeprefix(prefix) for found in page.get("Contents", ()))
                frames.update(frame for frame in map(contract.frame_of, names) if frame is not None)
        return frames

    def upload(self, path: Path, key: str) -> None:
        """Put one file; the object is there whole or not at all."""
        with _told(f"the upload of {path.name}"), path.open("rb") as content:
            self.client.upload_fileobj(content, self.results, key)

    def put_report(self, report: Report) -> None:
        """Put the report of an attempt."""
        key = contract.report_key(report.run, report.chunk, report.attempt)
        with _told(f"the report of chunk {report.chunk}"):
            self.client.put_object(
                Bucket=self.results, Key=key, Body=report.to_json().encode(), ContentType="application/json"
            )

    def _fetch_one(self, file: PackageFile, folder: Path, cache: Cache) -> None:
        path = folder / contract.checked_place(file.path)
        with _told(file.path):
            cache.place(file.digest, file.size, path, lambda part: self._download(file, part))

    def _download(self, file: PackageFile, part: Path) -> None:
        """Fill `part` with the file's content, once more from the start if what an earlier try left was wrong."""
        for _ in range(2):
            self._continue(file, part)
            found = _digest(part)
            if found == file.digest and part.stat().st_size == file.size:
                return
            part.unlink()
        raise WorkerError(
            f"{file.path} came damaged from the source bucket, with another content than the manifest says; set the "
            "render back to Pending to upload it again"
        )

    def _continue(self, file: PackageFile, part: Path) -> None:
        """Fetch what is missing of `part`; a connection that breaks is taken up where it broke."""
        tries = _BROKEN_CONNECTIONS
        with part.open("ab") as target:
            while target.tell() < file.size:
                try:
                    answer = self.client.get_object(
                        Bucket=self.source, Key=contract.file_key(file.digest), Range=f"bytes={target.tell()}-"
                    )
                    for block in answer["Body"].iter_chunks(_BLOCK):
                        target.write(block)
                except (HTTPClientError, IncompleteReadError):
                    tries -= 1
                    if not tries:
                        raise
            if target.tell() > file.size:
                target.truncate(0)
            target.flush()
            os.fsync(target.fileno())


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what S3, the network or the disk raise about a thing into one sentence and the right exit code."""
    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        exit_code = ExitCode.FAILED if code in _FINAL else ExitCode.PASSING
        raise WorkerError(f"S3 refused {what}: {error.response['Error'].get('Message', code)}", exit_code) from None
    except (BotoCoreError, Boto3Error) as error:
        raise WorkerError(f"S3 could not be reached for {what}: {error}", ExitCode.PASSING) from None
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise WorkerError(f"The disk is full at {what}: deploy the farm with a larger disk_gib") from None
        raise WorkerError(f"This host refused {what}: {error.strerror}", ExitCode.PASSING) from None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
