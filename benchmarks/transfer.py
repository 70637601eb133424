"""Sending a package and fetching frames, beside `aws s3 sync` with the same endpoint.

    python -m benchmarks.transfer [--json]

The endpoint is nginx (`apt-get install nginx-light`), which stores what is PUT and sends files by sendfile, so that a
client in Python is what is measured; its listings are files that this writes. `aws` is version 1 of PyPI's `awscli`, in
an environment of its own below .venv. Each is a process from its start to its end, files are in the disk's cache, and
ours sums, verifies and syncs to the disk what `aws` does not.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import escape

from benchmarks.client_scale import FARM
from benchmarks.report import tell
from client.buckets import Buckets
from client.config import FarmConfig
from client.connection import Connection
from client.digests import Digests
from client.fetch import fetch_frames
from client.frames_folder import FramesFolder
from client.upload import upload
from render_worker import contract
from render_worker.contract import PackageFile

FILES, FILE_BYTES = 2_000, 512 << 10
FRAMES, FRAME_BYTES = 2_000, 1_000_000
KEYS_OF_A_PAGE = 1_000
RUN = "shot-1-20261122-101500-a1b2c3-9f8e7d"
ROUNDS = 3
_AWS = Path(sys.prefix, "awscli")

_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/t1; fastcgi_temp_path {folder}/t2;
  uwsgi_temp_path {folder}/t3; scgi_temp_path {folder}/t4;
  server {{
    listen 127.0.0.1:{port}; root {folder}/objects;
    location / {{
      set $page 0;
      if ($args ~ "continuation-token=([0-9]+)") {{ set $page $1; }}
      if ($args ~ "list-type=2") {{ rewrite ^/([a-z]+) /listings/$1-$page.xml? last; }}
      dav_methods PUT; create_full_put_path on;
    }}
    location /listings/ {{ root {folder}; default_type application/xml; }}
  }}
}}
"""


class Store:
    """Buckets as folders of nginx."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.endpoint = ""

    @contextmanager
    def serving(self) -> Iterator[Store]:
        """Serve them on a free port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for name in ("objects/source", "objects/results", "listings"):
            (self._folder / name).mkdir(parents=True)
        (self._folder / "nginx.conf").write_text(_NGINX.format(folder=self._folder, port=port))
        self._folder.chmod(0o755)
        user = ["-g", "user root;"] if os.geteuid() == 0 else []
        server = subprocess.Popen(["nginx", "-p", self._folder, "-c", self._folder / "nginx.conf", *user])
        try:
            self.endpoint = f"http://localhost:{port}"
            self.list("source")
            time.sleep(0.5)
            yield self
        finally:
            server.terminate()
            server.wait(10)

    def put(self, key: str, content: bytes) -> None:
        """Store an object of the results."""
        path = self._folder / "objects" / "results" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def clear(self, bucket: str) -> None:
        """Delete all of a bucket."""
        shutil.rmtree(self._folder / "objects" / bucket)
        (self._folder / "objects" / bucket).mkdir()
        self.list(bucket)

    def list(self, bucket: str) -> None:
        """Write the pages of a bucket's listing as it is now."""
        top = self._folder / "objects" / bucket
        paths = sorted(path for path in top.rglob("*") if path.is_file())
        pages = [paths[start : start + KEYS_OF_A_PAGE] for start in range(0, len(paths), KEYS_OF_A_PAGE)] or [[]]
        for number, page in enumerate(pages):
            contents = "".join(
                f"<Contents><Key>{escape(path.relative_to(top).as_posix())}</Key><Size>{path.stat().st_size}</Size>"
                f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S.000Z', time.gmtime(path.stat().st_mtime))}"
                "</LastModified></Contents>"
                for path in page
            )
            more = number + 1 < len(pages)
            token = f"<NextContinuationToken>{number + 1}</NextContinuationToken>" if more else ""
            (self._folder / "listings" / f"{bucket}-{number}.xml").write_text(
                f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{contents}</ListBucketResult>"
            )


def send(files: Path, memory: Path, farm: FarmConfig) -> float:
    """Sum and send a folder's files, and give the seconds of that without Python's own start."""
    began = time.monotonic()
    buckets = Buckets(farm, Connection(region=farm.region, endpoint_url=farm.endpoint_url))
    contents = Digests(memory).of(sorted(files.iterdir()))
    package = [
        (path, PackageFile(path=path.name, digest=content.digest, size=content.size))
        for path, content in contents.items()
    ]
    upload(buckets, package, lambda _sent, _total: None)
    return time.monotonic() - began


def receive(place: Path, farm: FarmConfig) -> None:
    """Fetch a run's frames into a folder."""
    buckets = Buckets(farm, Connection(region=farm.region, endpoint_url=farm.endpoint_url))
    place.mkdir()
    folder = FramesFolder(place, [RUN], range(1, FRAMES + 1))
    fetch_frames(buckets, RUN, buckets.frames(RUN), folder, lambda: None)
    if not folder.complete:
        raise SystemExit("not every frame came")


def aws(endpoint: str, *words: str | Path) -> float:
    """Run `aws s3 sync` and give its seconds."""
    variables = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [_AWS / "bin" / "aws", "--endpoint-url", endpoint, "s3", "sync", "--quiet", *words]
    began = time.monotonic()
    subprocess.run(command, check=True, env={**os.environ, **variables})
    return time.monotonic() - began


def ours(endpoint: str, *words: str | Path) -> dict[str, float]:
    """Run one of our ways in a process of its own; give its seconds, those without Python's start, and its memory."""
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.transfer", "--only", endpoint, *words], check=True, stdout=subprocess.PIPE
    )
    told: dict[str, float] = json.loads(ran.stdout)
    return {**told, "seconds": time.monotonic() - began}


def one_way(endpoint: str, way: str, *paths: str) -> None:
    """Be the process that `ours` starts."""
    farm = replace(FARM, endpoint_url=endpoint)
    began = time.monotonic()
    if way == "send":
        send(Path(paths[0]), Path(paths[1]), farm)
    else:
        receive(Path(paths[0]), farm)
    taken = time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"inner_s": taken, "memory_mb": memory}))


def uploads(store: Store, folder: Path) -> dict[str, float]:
    """Send the same files with both, in turn, to an empty bucket, and ours once more."""
    files = folder / "files"
    files.mkdir()
    for number in range(FILES):
        (files / f"{number:04}.bin").write_bytes(os.urandom(FILE_BYTES))
    time.sleep(3)  # until their times are old enough to be remembered
    theirs, mine, memory = list[float](), list[dict[str, float]](), folder / "digests"
    for _ in range(ROUNDS):
        store.clear("source")
        theirs.append(aws(store.endpoint, files, "s3://source/files"))
        store.clear("source")
        memory.unlink(missing_ok=True)
        mine.append(ours(store.endpoint, "send", files, memory))
    store.list("source")
    again = ours(store.endpoint, "send", files, memory)
    shutil.rmtree(files)
    store.clear("source")
    return {
        "upload_ratio": statistics.median(each["seconds"] for each in mine) / statistics.median(theirs),
        "upload_again_s": again["inner_s"],
        "upload_peak_rss_mb": max(each["memory_mb"] for each in mine),
    }


def downloads(store: Store, folder: Path) -> dict[str, float]:
    """Fetch the same frames with both, in turn, into an empty folder."""
    prefix = contract.frames_prefix(RUN)
    for frame in range(1, FRAMES + 1):
        store.put(f"{prefix}{frame:04}.png", os.urandom(FRAME_BYTES))
    store.list("results")
    theirs, mine, place = list[float](), list[dict[str, float]](), folder / "here"
    for _ in range(ROUNDS):
        theirs.append(aws(store.endpoint, f"s3://results/{prefix}", place))
        shutil.rmtree(place)
        mine.append(ours(store.endpoint, "receive", place))
        shutil.rmtree(place)
    return {
        "download_ratio": statistics.median(each["seconds"] for each in mine) / statistics.median(theirs),
        "download_peak_rss_mb": max(each["memory_mb"] for each in mine),
    }


def main() -> None:
    """Measure and tell."""
    if "--only" in sys.argv:
        one_way(*sys.argv[sys.argv.index("--only") + 1 :])
        return
    if not shutil.which("nginx"):
        raise SystemExit("This benchmark needs nginx: apt-get install nginx-light")
    if not (_AWS / "bin" / "aws").exists():
        subprocess.run([sys.executable, "-m", "venv", _AWS], check=True)
        subprocess.run([_AWS / "bin" / "pip", "install", "--quiet", "awscli<2"], check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Store(folder / "store").serving() as store:
            folder.chmod(0o755)
            measures = {**uploads(store, folder), **downloads(store, folder)}
    tell(f"{FILES:,} files of {FILE_BYTES >> 10} KB sent, {FRAMES:,} frames of 1 MB fetched", measures)


if __name__ == "__main__":
    main()
