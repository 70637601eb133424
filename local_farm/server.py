"""The local farm's HTTP server: moto's AWS with Batch jobs that run, on loopback only."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from local_farm import moto_mends
from local_farm.batch import BatchJobs
from local_farm.daemon import IDENTITY_PATH
from local_farm.errors import LocalFarmError
from local_farm.limits import SHORTEST_TIMEOUT_S
from local_farm.scheduler import STOP_GRACE_S, Scheduler
from local_farm.worker import WORKER_COMMAND, Workplace

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

REGION = "us-east-1"


class Server:
    """One farm: an endpoint that answers AWS calls, and a scheduler that starts workers."""

    def __init__(
        self,
        *,
        folder: Path,
        token: str = "",
        port: int = 0,
        command: Sequence[str] = WORKER_COMMAND,
        blender: str | None = None,
        stop_grace_s: float = STOP_GRACE_S,
        shortest_timeout_s: float = SHORTEST_TIMEOUT_S,
        consistency_delay_s: float = 0.0,
    ) -> None:
        """Bind a port of the loopback interface, 0 for a free one; `folder` is where attempts run.

        Raises LocalFarmError when the port is taken or moto is of another version than the mends are for.
        """
        moto_mends.apply()
        front = _Front(DomainDispatcherApplication(create_backend_app), token)
        try:
            self._http = make_server("127.0.0.1", port, front, threaded=True, request_handler=_QuietHandler)
        except (OSError, SystemExit):
            raise LocalFarmError(f"port {port} is in use: stop what uses it, or choose another port") from None
        # Not 127.0.0.1: moto tells the bucket of a template's URL from its key by the word localhost.
        self.endpoint_url = f"http://localhost:{self._http.server_port}"
        workplace = Workplace(
            endpoint_url=self.endpoint_url, region=REGION, folder=folder, command=command, blender=blender
        )
        self._scheduler = Scheduler(workplace, stop_grace_s=stop_grace_s)
        front.app = BatchJobs(
            front.app,
            self._scheduler,
            region=REGION,
            consistency_delay_s=consistency_delay_s,
            shortest_timeout_s=shortest_timeout_s,
        )
        self._thread = threading.Thread(target=self._http.serve_forever, name="http", daemon=True)

    def start(self) -> None:
        """Answer requests and start jobs from now on."""
        self._scheduler.start()
        self._thread.start()

    def stop(self) -> None:
        """Kill all workers, wait for them, and answer no more."""
        self._scheduler.stop()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Front:
    def __init__(self, app: WSGIApplication, token: str) -> None:
        self.app = app
        self._identity = json.dumps({"token": token}).encode()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname or ""
        if host not in {"localhost", "127.0.0.1"} and not host.endswith(".localhost"):
            # A web page can give its own name this address and then call the farm as if it were its own server.
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"The local farm answers to the name localhost only."]
        if environ.get("PATH_INFO") == IDENTITY_PATH:
            start_response("200 OK", [("Content-Type", "application/json")])
            return [self._identity]
        return self.app(environ, start_response)


class _QuietHandler(MotoRequestHandler):  # type: ignore[misc]  # moto is not followed by the type checker
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Leave requests that went well out of the log: a client that polls would fill the disk."""
        if str(code).startswith("5"):
            super().log_request(code, size)
