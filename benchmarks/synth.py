"""How long the farm's synthesis takes, beside an empty CDK app that imports the same modules, in Python and in Node.js.

    python benchmarks/synth.py [--runs N] [--json]

Each run is a process of its own, as under `cdk deploy`; the CDK's validation is off in both. The farm is the one that
`cdk deploy` with no options makes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]

IMPORTS = """
import os
from stacks.render_farm import RenderFarm
"""

LOAD = """
from aws_cdk import Duration, aws_batch, aws_ec2, aws_ecr_assets, aws_ecs, aws_events, aws_iam, aws_lambda, aws_logs
from aws_cdk import aws_s3, aws_sns

aws_batch.Reason.custom(on_reason="x")
aws_ec2.Port.tcp(1)
aws_ecr_assets.Platform.LINUX_AMD64
aws_ecs.ContainerImage.from_registry("x")
aws_events.Schedule.rate(Duration.hours(1))
aws_iam.ServicePrincipal("x")
aws_lambda.Runtime.PYTHON_3_14
aws_logs.FilterPattern.all_events()
aws_s3.BlockPublicAccess.BLOCK_ALL
aws_sns.SubscriptionFilter.exists_filter()
"""
"""Python's import of a CDK module loads nothing in Node.js, where the CDK is; the first use of the module does."""

EMPTY = """
from aws_cdk import App, Stack

app = App(outdir=os.environ["CDK_OUTDIR"])
Stack(app, "Empty")
app.synth()
"""

COMMANDS = {
    "empty": [sys.executable, "-P", "-c", IMPORTS + EMPTY],
    "same imports": [sys.executable, "-P", "-c", IMPORTS + LOAD + EMPTY],
    "the farm": [sys.executable, "-P", "app.py"],
}


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7, help="runs of each, taken in turn (default: 7)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    for command in COMMANDS.values():
        _seconds(command)  # fills the caches of Python and of the CDK's library
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(arguments.runs):
        for name, command in COMMANDS.items():
            taken[name].append(_seconds(command))
    empty, same, farm = (statistics.median(seconds) for seconds in taken.values())
    if arguments.json:
        measures = {
            "synth_s": round(farm, 3),
            "synth_ratio": round(farm / same, 3),
            "synth_against_nothing_loaded_ratio": round(farm / empty, 3),
        }
        print(json.dumps({"measures": measures}))
        return 0
    print(f"{'':25} {'median s':>8} {'fastest':>8} {'slowest':>8}")
    for name, seconds in taken.items():
        print(f"{name:25} {statistics.median(seconds):8.2f} {min(seconds):8.2f} {max(seconds):8.2f}")
    print(f"{'ratio to same imports':25} {farm / same:8.2f}")
    print(f"{'ratio to empty':25} {farm / empty:8.2f}")
    return 0


def _seconds(command: list[str]) -> float:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"CDK_OUTDIR": folder, "CDK_VALIDATION": "false"}
        started = time.monotonic()
        subprocess.run(command, cwd=ROOT, env=environment, check=True)
        return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
