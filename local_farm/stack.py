"""The farm's stack in the emulator: the template that `app.py` synthesizes, created through CloudFormation's API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from local_farm.errors import LocalFarmError
from local_farm.template import without_uploads
from local_farm.worker import CLONE

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient

BOOTSTRAP_PARAMETER = "/cdk-bootstrap/hnb659fds/version"
"""What `cdk bootstrap` leaves in the Parameter Store; the template reads it.

https://docs.aws.amazon.com/cdk/v2/guide/bootstrapping-env.html
"""
_BOOTSTRAP_VERSION = "32"
_MOST_JOB_VCPUS = 8
"""vCPUs of the smallest host that the template lists for a farm without GPUs."""
_CREATE_LIMIT_S = 60


@dataclass(frozen=True, kw_only=True)
class StackSettings:
    """What the local farm's template is synthesized with; this machine's size is the farm's."""

    stack_name: str
    blender_version: str
    cpus: int

    def context(self) -> dict[str, Any]:
        """Give the CDK's context. A ready image is named so that no Docker build is prepared; none is ever pulled."""
        return {
            "stack_name": self.stack_name,
            "gpu": False,
            "max_vcpus": self.cpus,
            "job_vcpus": min(max(1, self.cpus // 2), _MOST_JOB_VCPUS),
            "blender_version": self.blender_version,
            "image": f"local-farm:{self.blender_version}",
        }


class Synthesis:
    """`app.py` at work, in the background, for it takes seconds."""

    def __init__(self, settings: StackSettings) -> None:
        """Start it; the CDK's context and output folder go in as the CDK's own command line would hand them over."""
        self._settings = settings
        self._outdir = tempfile.TemporaryDirectory(prefix="local_farm_")
        environment = os.environ | {
            "CDK_CONTEXT_JSON": json.dumps(settings.context()),
            "CDK_OUTDIR": self._outdir.name,
            "CDK_VALIDATION": "false",
            "PYTHONPATH": os.pathsep.join((str(CLONE), str(CLONE / "constructs"))),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-P", "app.py"],
            cwd=CLONE,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )

    def template(self) -> str:
        """Wait for the template and give it as JSON; raises LocalFarmError with the synthesis's last words."""
        said, _ = self._process.communicate()
        sys.stderr.write(said)
        if self._process.returncode != 0:
            last = next((line for line in reversed(said.splitlines()) if line.strip()), "it said nothing")
            raise LocalFarmError(f"the farm's template cannot be made: {last}")
        path = Path(self._outdir.name) / f"{self._settings.stack_name}.template.json"
        return json.dumps(without_uploads(json.loads(path.read_text(encoding="utf-8"))))

    def close(self) -> None:
        """End the synthesis if it still runs, and remove what it wrote."""
        self._process.kill()
        self._process.wait()
        self._outdir.cleanup()


def create_stack(*, endpoint_url: str, region: str, stack_name: str, template: str) -> None:
    """Create the stack and wait until it is complete; raises LocalFarmError with the failing resource's reason."""
    session = boto3.Session(aws_access_key_id="local", aws_secret_access_key="local", region_name=region)  # noqa: S106
    session.client("ssm", endpoint_url=endpoint_url).put_parameter(
        Name=BOOTSTRAP_PARAMETER, Value=_BOOTSTRAP_VERSION, Type="String", Overwrite=True
    )
    client = session.client("cloudformation", endpoint_url=endpoint_url)
    try:
        client.create_stack(StackName=stack_name, TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
    except client.exceptions.ClientError as error:
        raise LocalFarmError(f"the stack {stack_name} cannot be created: {error}") from None
    deadline = time.monotonic() + _CREATE_LIMIT_S
    while (status := client.describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]) != "CREATE_COMPLETE":
        if status != "CREATE_IN_PROGRESS" or time.monotonic() > deadline:
            raise LocalFarmError(f"the stack {stack_name} ended in {status}: {_failure(client, stack_name)}")
        time.sleep(0.1)


def _failure(client: CloudFormationClient, stack_name: str) -> str:
    for event in client.describe_stack_events(StackName=stack_name)["StackEvents"]:
        if event["ResourceStatus"] == "CREATE_FAILED" and event.get("ResourceStatusReason"):
            return f"{event['LogicalResourceId']} ({event['ResourceType']}): {event['ResourceStatusReason']}"
    return "no resource says why"
