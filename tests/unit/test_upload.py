"""What the farm has is not sent again, and what is sent is what its digest says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.client_scale import studio
from benchmarks.instant_aws import InstantAWS
from client import buckets as ways
from client.buckets import Buckets
from client.digests import StaleError
from client.errors import RenderError
from client.upload import upload
from render_worker.contract import PackageFile

DAY = 86_400


@pytest.fixture
def aws() -> InstantAWS:
    return InstantAWS()


@pytest.fixture
def buckets(aws: InstantAWS) -> Iterator[Buckets]:
    with studio(aws) as (_, farm, _jobfile):
        yield farm.buckets


def files(folder: Path, count: int, size: int = 10) -> list[tuple[Path, PackageFile]]:
    found = []
    for number in range(count):
        path = folder / f"{number}.bin"
        path.write_bytes(str(number).encode().ljust(size, b"."))
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        found.append((path, PackageFile(path=path.name, digest=digest, size=size)))
    return found


def send(buckets: Buckets, package: list[tuple[Path, PackageFile]]) -> int:
    return upload(buckets, package, lambda _sent, _total: None)


def test_each_content_is_sent_once_and_told_as_it_goes(buckets: Buckets, aws: InstantAWS, tmp_path: Path) -> None:
    package, told = files(tmp_path, 3), list[tuple[int, int]]()
    twin = tmp_path / "twin.bin"
    twin.write_bytes(package[0][0].read_bytes())
    package.append((twin, PackageFile(path="twin.bin", digest=package[0][1].digest, size=10)))
    assert upload(buckets, package, lambda sent, total: told.append((sent, total))) == 30
    assert aws.calls == {"HeadObject": 3, "PutObject": 3}
    assert told == [(0, 30), (10, 30), (20, 30), (30, 30)]
    assert send(buckets, package) == 0
    assert aws.calls["PutObject"] == 3


@pytest.mark.parametrize(("count", "others", "calls"), [(9, 0, (1, 0)), (2_000, 500, (3, 0)), (16, 4_000, (2, 8))])
def test_many_files_are_looked_up_in_the_listing_while_that_is_quicker(
    buckets: Buckets, aws: InstantAWS, tmp_path: Path, count: int, others: int, calls: tuple[int, int]
) -> None:
    package = files(tmp_path, count)
    for number in range(others):
        aws.objects[f"source/files/{hashlib.sha256(f'other {number}'.encode()).hexdigest()}"] = b"other"
    send(buckets, package)
    aws.calls.clear()
    assert send(buckets, package) == 0
    listed, asked = calls
    assert aws.calls["ListObjectsV2"] == listed
    assert aws.calls["HeadObject"] == pytest.approx(asked, abs=6), "what lies beyond the pages is asked for"
    assert aws.calls["PutObject"] == 0


@pytest.mark.parametrize("count", [1, 20])
def test_what_s3_will_soon_delete_is_sent_again(buckets: Buckets, aws: InstantAWS, tmp_path: Path, count: int) -> None:
    package = files(tmp_path, count)
    send(buckets, package)
    for path in aws.written:
        aws.written[path] -= 14 * DAY
    assert send(buckets, package) == 0
    for path in aws.written:
        aws.written[path] -= 2 * DAY
    assert send(buckets, package) == 10 * count, "in the second half of 30 days"


def test_a_content_that_is_cut_short_in_the_bucket_does_not_count(
    buckets: Buckets, aws: InstantAWS, tmp_path: Path
) -> None:
    package = files(tmp_path, 1)
    aws.objects[f"source/files/{package[0][1].digest}"] = b"cut"
    assert send(buckets, package) == 10


def test_a_file_that_changes_before_it_is_sent_is_refused(buckets: Buckets, aws: InstantAWS, tmp_path: Path) -> None:
    package = files(tmp_path, 1)
    package[0][0].write_bytes(b"saved anew")
    with pytest.raises(StaleError, match=r"0\.bin changed while it was sent: save it, then run the command again"):
        send(buckets, package)
    assert not aws.objects


def test_one_that_fails_leaves_the_others_that_were_sent(buckets: Buckets, aws: InstantAWS, tmp_path: Path) -> None:
    package = files(tmp_path, 4)
    package[2][0].unlink()
    with pytest.raises(RenderError, match=r"2\.bin could not be read or written \(No such file or directory\)"):
        send(buckets, package)
    assert send(buckets, [each for each in package if each[0].exists()]) <= 30
    assert len(aws.objects) == 3


def test_a_file_that_no_farm_can_take_is_refused(
    buckets: Buckets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ways, "MAX_FILE_BYTES", 9)
    with pytest.raises(RenderError, match="has 10 bytes and the farm takes 9: split it"):
        send(buckets, files(tmp_path, 1))


def test_memory_is_bounded_whatever_the_size() -> None:
    """A part is held in memory while it is sent, and S3 takes 10,000 parts."""
    sizes: list[Any] = [ways.PART_BYTES + 1, 80 << 30, ways.MAX_FILE_BYTES]
    for size in sizes:
        part = ways.part_bytes(size)
        assert -(-size // part) <= 10_000
        assert part * max(1, ways.BYTES_UNDER_WAY // part) <= 64 << 20
