"""S3 and the disk as they are on a bad day: what may pass is tried again, what cannot is told."""

from __future__ import annotations

import http.client
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from render_worker.contract import ExitCode, Settings
from tests.integration.place import Place, digest, manifest_for

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
EXPIRED = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
Fault = Callable[[BaseHTTPRequestHandler, int], bool]


@dataclass
class BadDay:
    """A proxy before the emulator: `fault` sees each request and its number, and answers it or lets it pass."""

    endpoint_url: str
    fault: Fault = lambda handler, number: False
    requests: list[str] = field(default_factory=list)

    def forward(self, handler: BaseHTTPRequestHandler, *, cut: int | None = None) -> None:
        """Pass a request on; with `cut`, close the connection after so many bytes of the answer."""
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        connection = http.client.HTTPConnection(urlsplit(self.endpoint_url).netloc)
        connection.request(handler.command, handler.path, body, dict(handler.headers))
        answer = connection.getresponse()
        content = answer.read()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                handler.send_header(name, value)
        length = answer.getheader("Content-Length") if handler.command == "HEAD" else len(content)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(content[:cut])
        if cut is not None:
            handler.close_connection = True
            handler.connection.close()


@pytest.fixture
def bad_day(place: Place) -> Iterator[BadDay]:
    day = BadDay(place.endpoint_url)
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            with lock:
                day.requests.append(f"{self.command} {self.path.split('?')[0]}")
                number = len(day.requests)
            if not day.fault(self, number):
                day.forward(self)

        do_GET = do_PUT = do_HEAD = do_POST = answer  # noqa: N815 -- http.server's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    place.endpoint_url = f"http://localhost:{server.server_port}"
    yield day
    server.shutdown()
    server.server_close()


def refuse(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> bool:
    handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(b"" if handler.command == "HEAD" else body)
    return True


def test_throttling_passes(place: Place, package: dict[str, bytes], bad_day: BadDay) -> None:
    place.put(manifest_for(package), package)
    bad_day.fault = lambda handler, number: number % 3 == 1 and refuse(handler, 503, SLOW_DOWN)
    assert place.work().code == 0
    assert place.frame_files() == ["0001.png", "0002.png"]


def test_throttling_that_does_not_end_is_worth_another_attempt(
    place: Place, package: dict[str, bytes], bad_day: BadDay
) -> None:
    place.put(manifest_for(package), package)
    bad_day.fault = lambda handler, number: refuse(handler, 503, SLOW_DOWN)
    ended = place.work(AWS_MAX_ATTEMPTS="2")
    assert ended.code == ExitCode.PASSING
    assert "S3 refused the manifest" in ended.log
    assert "reduce your request rate" in ended.log


def test_an_expired_credential_is_worth_another_attempt_which_gets_a_new_one(
    place: Place, package: dict[str, bytes], bad_day: BadDay
) -> None:
    place.put(manifest_for(package), package)
    bad_day.fault = lambda handler, number: handler.command == "PUT" and refuse(handler, 400, EXPIRED)
    ended = place.work()
    assert ended.code == ExitCode.PASSING
    assert "token has expired" in ended.log


def test_a_download_that_breaks_is_taken_up_where_it_broke(
    place: Place, package: dict[str, bytes], bad_day: BadDay
) -> None:
    place.put(manifest_for(package), package)
    key = f"GET /source/files/{digest(package['shot.blend'])}"
    cuts = iter([100_000, 200_000])

    def broken(handler: BaseHTTPRequestHandler, _: int) -> bool:
        cut = next(cuts, None) if f"{handler.command} {handler.path.split('?')[0]}" == key else None
        if cut is not None:
            bad_day.forward(handler, cut=cut)
        return cut is not None

    bad_day.fault = broken
    ended = place.work()
    assert ended.code == 0, ended.log
    assert bad_day.requests.count(key) == 3
    assert place.frame_files() == ["0001.png", "0002.png"]


def test_a_frame_that_cannot_be_uploaded_ends_the_chunk_and_is_no_half_object(
    place: Place, package: dict[str, bytes], bad_day: BadDay
) -> None:
    place.put(manifest_for(package, chunks=(tuple(range(1, 100)),)), package)
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    bad_day.fault = lambda handler, number: (
        handler.path.split("?")[0].endswith("0003.png") and refuse(handler, 403, denied)
    )
    ended = place.work()
    assert ended.code == ExitCode.FAILED
    assert "S3 refused the upload of 0003.png: Access Denied" in ended.log
    assert "0003.png" not in place.frame_files()
    assert ended.log.count("Rendered frame") < 99, "it goes on rendering what it cannot keep"


def test_side_by_side_chunks_fetch_each_file_once(place: Place, package: dict[str, bytes], bad_day: BadDay) -> None:
    chunks = tuple((frame,) for frame in range(1, 5))
    place.put(manifest_for(package, chunks=chunks), package)
    workers = [
        place.start(AWS_BATCH_JOB_ARRAY_INDEX=str(chunk), RENDER_CACHE=str(place.folder / "cache"))
        for chunk in range(len(chunks))
    ]
    for worker in workers:
        log, _ = worker.communicate(timeout=200)
        assert worker.returncode == 0, log
    fetched = [request for request in bad_day.requests if request.startswith("GET /source/files/")]
    assert sorted(fetched) == sorted(f"GET /source/files/{digest(content)}" for content in package.values())
    assert len(place.frame_files()) == 4


def test_a_full_disk_is_told_with_the_setting_to_change(place: Place, package: dict[str, bytes]) -> None:
    full = place.folder / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(full)]
    try:
        mounted = subprocess.run(mount, check=False, capture_output=True).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("only root can make a small disk")
    try:
        place.put(manifest_for(package, settings=Settings()), package)
        ended = place.work(RENDER_WORK=str(full))
    finally:
        subprocess.run(["umount", str(full)], check=True)
    assert ended.code == ExitCode.FAILED
    assert "The disk is full at shot.blend: deploy the farm with a larger disk_gib" in ended.log
