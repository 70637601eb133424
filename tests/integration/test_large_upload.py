"""A large file goes in parts, and what a killed command had sent of it is not sent again."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from benchmarks.client_scale import FARM
from client.buckets import PART_BYTES, Buckets
from client.connection import Connection
from client.digests import StaleError, digest_of
from client.upload import upload
from render_worker import contract
from render_worker.contract import PackageFile

PARTS = 20
_DIES_AFTER = 3

_CLIENT = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_large_upload import buckets_at, package
left = int(sys.argv[3])
def told(sent, total):
    global left
    left -= sent > 0
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
from client.upload import upload
upload(buckets_at(sys.argv[1]), package(Path(sys.argv[2])), told)
"""


def buckets_at(endpoint: str) -> Buckets:
    return Buckets(replace(FARM, endpoint_url=endpoint), Connection(region=FARM.region, endpoint_url=endpoint))


def package(path: Path) -> list[tuple[Path, PackageFile]]:
    content = digest_of(path)
    return [(path, PackageFile(path=path.name, digest=content.digest, size=content.size))]


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="localhost", port=0, verbose=False)
    server.start()
    url = f"http://localhost:{server.get_host_and_port()[1]}"
    buckets_at(url)._s3.create_bucket(Bucket=FARM.source_bucket)
    yield url
    urllib.request.urlopen(f"{url}/moto-api/reset", data=b"")  # noqa: S310 -- loopback
    server.stop()


@pytest.fixture
def calls(endpoint: str) -> tuple[Buckets, Counter[str]]:
    buckets, counted = buckets_at(endpoint), Counter[str]()

    def count(event_name: str, **_: object) -> None:
        counted[event_name.rpartition(".")[2]] += 1

    buckets._s3.meta.events.register("before-send.s3", count)
    return buckets, counted


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "cache.vdb"
    path.write_bytes(os.urandom((PARTS - 1) * PART_BYTES + 1000))
    return path


def test_parts_that_a_killed_command_had_sent_are_not_sent_again(
    endpoint: str, calls: tuple[Buckets, Counter[str]], large: Path
) -> None:
    command = [sys.executable, "-c", _CLIENT, endpoint, str(large), str(_DIES_AFTER)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    buckets, counted = calls
    told: list[tuple[int, int]] = []
    upload(buckets, package(large), lambda sent, total: told.append((sent, total)))
    assert 0 < counted["UploadPart"] <= PARTS - _DIES_AFTER
    assert told[-1] == (large.stat().st_size,) * 2
    key = contract.file_key(package(large)[0][1].digest)
    stored = buckets._s3.get_object(Bucket=FARM.source_bucket, Key=key)["Body"].read()
    assert stored == large.read_bytes()
    assert "Uploads" not in buckets._s3.list_multipart_uploads(Bucket=FARM.source_bucket), (
        "nothing is left to be billed"
    )
    assert upload(buckets, package(large), lambda _sent, _total: None) == 0


def test_a_part_that_arrived_otherwise_is_sent_again(calls: tuple[Buckets, Counter[str]], large: Path) -> None:
    buckets, counted = calls
    key = contract.file_key(package(large)[0][1].digest)
    begun = buckets._s3.create_multipart_upload(Bucket=FARM.source_bucket, Key=key)
    buckets._s3.upload_part(
        Bucket=FARM.source_bucket, Key=key, UploadId=begun["UploadId"], PartNumber=2, Body=bytes(PART_BYTES)
    )
    counted.clear()
    upload(buckets, package(large), lambda _sent, _total: None)
    assert counted["UploadPart"] == PARTS
    stored = buckets._s3.get_object(Bucket=FARM.source_bucket, Key=key)["Body"].read()
    assert hashlib.sha256(stored).hexdigest() == package(large)[0][1].digest


def test_a_large_file_that_changes_while_it_is_sent_is_no_content_of_the_farm(
    calls: tuple[Buckets, Counter[str]], large: Path
) -> None:
    buckets, _ = calls
    before = package(large)
    with large.open("r+b") as file:
        file.seek(PART_BYTES)
        file.write(b"changed")
    with pytest.raises(StaleError, match=r"cache\.vdb changed while it was sent"):
        upload(buckets, before, lambda _sent, _total: None)
    assert "Contents" not in buckets._s3.list_objects_v2(Bucket=FARM.source_bucket)
    assert "Uploads" not in buckets._s3.list_multipart_uploads(Bucket=FARM.source_bucket)
