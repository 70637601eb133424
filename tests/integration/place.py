"""Where a worker works: two buckets in the emulator, a folder, and the environment that a job definition gives."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local_farm.server import REGION
from render_worker import contract
from render_worker.contract import Manifest, PackageFile, Report, Settings

RUN = "shot-1-20261122-101500-abcdef-012345"


@dataclass
class Ended:
    """How the worker ended and what it said."""

    code: int
    log: str


@dataclass
class Place:
    """The two buckets, and a folder to work in."""

    s3: Any
    endpoint_url: str
    folder: Path

    def put(self, manifest: Manifest, contents: dict[str, bytes]) -> None:
        """Upload a package and its manifest as the client does."""
        for content in contents.values():
            self.s3.put_object(Bucket="source", Key=contract.file_key(digest(content)), Body=content)
        self.s3.put_object(Bucket="source", Key=contract.manifest_key(manifest.run), Body=manifest.to_json().encode())

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test-secret",
            "RENDER_SOURCE_BUCKET": "source",
            "RENDER_RESULTS_BUCKET": "results",
            "RENDER_DEVICE": "cpu",
            "RENDER_RUN": RUN,
            "RENDER_WORK": str(self.folder / "work"),
            "RENDER_OUTPUT": str(self.folder / "output"),
            **changes,
        }

    def start(self, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "render_worker"],
            env=self.environment(**changes),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def work(self, **changes: str) -> Ended:
        process = self.start(**changes)
        log, _ = process.communicate(timeout=200)
        assert "Traceback" not in log, log
        return Ended(process.returncode, log)

    def frame_files(self) -> list[str]:
        prefix = contract.frames_prefix(RUN)
        found = self.s3.list_objects_v2(Bucket="results", Prefix=prefix).get("Contents", [])
        return sorted(each["Key"].removeprefix(prefix) for each in found)

    def report(self, chunk: int = 0, attempt: int = 1) -> Report:
        body = self.s3.get_object(Bucket="results", Key=contract.report_key(RUN, chunk, attempt))["Body"]
        return Report.from_json(body.read())


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def manifest_for(contents: dict[str, bytes], **changes: Any) -> Manifest:
    files = tuple(
        PackageFile(path=path, digest=digest(content), size=len(content)) for path, content in contents.items()
    )
    made = Manifest(run=RUN, blend="shot.blend", files=files, chunks=((1, 2), (3, 4)), settings=Settings())
    return replace(made, **changes)
