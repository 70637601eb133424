"""An AWS on loopback for clients that are killed: it forgets nothing, has a clock of its own and shows jobs late."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

from benchmarks.instant_aws import InstantAWS
from render_worker import contract
from render_worker.contract import FrameReport, Host, Manifest, RenderedFile, Report

CALL_SECONDS = 2.0
"""What each call takes, by AWS's clock."""
SHOWN_AFTER = 16.0
"""Seconds until a job that was submitted is listed and described."""
DONE_AFTER = 30.0
"""Seconds until all of a job's frames are in the results bucket."""

_BATCH = {"/v1/submitjob": "SubmitJob", "/v1/describejobs": "DescribeJobs", "/v1/listjobs": "ListJobs"}
_BATCH |= {"/v1/terminatejob": "TerminateJob", "/v1/canceljob": "CancelJob"}


def frame_content(run: str, frame: int, job: int) -> bytes:
    """Give what a frame of a run's so-manieth job holds."""
    return f"{run} {frame} {job}".encode() * 20


class EndpointAWS(InstantAWS):
    """Jobs that finish by themselves as the time passes here; `before` and `after` hear of each call's name."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_790_000_000.0
        self.before: Callable[[str], None] = lambda _: None
        self.after: Callable[[str], None] = lambda _: None
        self._lock = threading.Lock()
        self.submitted: dict[str, float] = {}
        """When each job was, by its id."""

    def clock(self) -> float:
        return self.now

    def answer(self, operation: str, request: Any) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.before(operation)
            self.now += CALL_SECONDS
            self._render()
            answer = super().answer(operation, request)
            self.after(operation)
        return answer

    def _SubmitJob(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        answer = super()._SubmitJob(request)
        number = json.loads(answer[2])["jobId"]
        self.submitted[number] = self.now
        return answer

    def _DescribeJobs(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        return self._late(super()._DescribeJobs, request)

    def _ListJobs(self, request: Any) -> tuple[int, dict[str, str], bytes]:  # noqa: N802
        return self._late(super()._ListJobs, request)

    def _late(
        self, ask: Callable[[Any], tuple[int, dict[str, str], bytes]], request: Any
    ) -> tuple[int, dict[str, str], bytes]:
        """Ask without the jobs that are not shown yet."""
        everything = self.jobs
        self.jobs = {
            number: job for number, job in everything.items() if self.now - self.submitted[number] > SHOWN_AFTER
        }
        try:
            return ask(request)
        finally:
            self.jobs = everything

    def _render(self) -> None:
        for number, (job_id, job) in enumerate(self.jobs.items()):
            if job["status"] in {"PENDING", "RUNNING"} and self.now - self.submitted[job_id] > DONE_AFTER:
                self._finish(number, job)

    def _finish(self, number: int, job: dict[str, Any]) -> None:
        run = job["jobName"]
        manifest = Manifest.from_json(self.objects[f"source/{contract.manifest_key(run)}"])
        for chunk, frames in enumerate(manifest.chunks[manifest.first_chunk :], start=manifest.first_chunk):
            done = []
            for frame in frames:
                key = f"results/{contract.frames_prefix(run)}{frame:04}.png"
                if key not in self.objects:
                    content = frame_content(run, frame, number)
                    self.objects[key] = content
                    digest = hashlib.sha256(content).hexdigest()
                    files = (RenderedFile(name=f"{frame:04}.png", size=len(content), digest=digest),)
                    done.append(FrameReport(frame=frame, seconds=1.0, memory_mib=1, files=files))
            report = Report(
                run=run,
                chunk=chunk,
                attempt=1,
                frames=tuple(done),
                skipped=(),
                started=self.now - 10,
                finished=self.now,
                exit_code=0,
                error=None,
                blender="5.0.1",
                device="OPTIX",
                samples=16,
                missing=(),
                host=Host(),
            )
            self.objects[f"results/{contract.report_key(run, chunk, 1)}"] = report.to_json().encode()
        job["status"] = "SUCCEEDED"
        if "arrayProperties" in job:
            job["arrayProperties"]["statusSummary"] = {"SUCCEEDED": job["arrayProperties"]["size"]}


def serve(aws: InstantAWS) -> ThreadingHTTPServer:
    """Serve it on a free port of loopback, in threads of this process, until `shutdown`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            body = self._body()
            operation = _BATCH.get(path) or _s3_operation(self.command, query)
            request = SimpleNamespace(url=f"http://localhost{self.path}", headers=self.headers, body=body)
            status, headers, answer = aws.answer(operation, request)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(answer)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

        def _body(self) -> bytes:
            if self.headers.get("Expect") == "100-continue":
                self.send_response_only(100)
                self.end_headers()
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(timestamp if timestamp is not None else aws.clock())

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_HEAD = do_PUT = do_POST = _serve  # noqa: N815 -- the names that the library calls

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Pass over a client that was killed while it was answered."""

    server = Server(("localhost", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _s3_operation(method: str, query: str) -> str:
    if method == "POST":
        return "DeleteObjects"
    if method == "GET":
        return "ListObjectsV2" if "list-type=2" in query else "GetObject"
    return {"HEAD": "HeadObject", "PUT": "PutObject"}[method]
