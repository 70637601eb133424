"""The emulator, and a place in it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local_farm.server import REGION, Server
from tests.integration.place import Place


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(folder=tmp_path_factory.mktemp("farm"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def place(server: Server, tmp_path: Path) -> Iterator[Place]:
    s3 = boto3.client(
        "s3",
        endpoint_url=server.endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",  # noqa: S106 -- the emulator takes any
    )
    for bucket in ("source", "results"):
        s3.create_bucket(Bucket=bucket)
    yield Place(s3, server.endpoint_url, tmp_path)
    for bucket in ("source", "results"):
        for found in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            s3.delete_object(Bucket=bucket, Key=found["Key"])
        s3.delete_bucket(Bucket=bucket)


@pytest.fixture
def package(shot: bytes) -> dict[str, bytes]:
    return {"shot.blend": shot, "tex/notes.txt": b"beside"}
