"""What a farm costs its client as it grows: AWS calls, the client's own seconds and its memory, from submit to Success.

    python -m benchmarks.scale [--most FRAMES] [--json]

The client's own `process --watch` runs against an AWS in which time passes (benchmarks/simulated_aws.py): hosts come
slowly, Spot takes some back, calls are put off. Renders have up to 10,000 frames of a minute each, in chunks of about a
quarter of an hour. Each size is a process of its own, so that memory is its own too; frames are written to the disk as
they come, by a stub in place of the download.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

from benchmarks.client_scale import FARM, Quiet, studio
from benchmarks.simulated_aws import FRAME, FRAME_DIGEST, SimulatedAWS
from client.buckets import Buckets
from client.digests import Content
from client.jobfile import Status
from client.watch import watch

SIZES = (100, 10_000, 1_000_000)
FRAMES_OF_A_RENDER = 10_000
BREAKSIZE = 15
_HOSTS = 64
HOSTS_OF_A_DAY = 1_000_000 / (24 * 60)
"""So many hosts render a million frames of a minute in a day."""


def simulate(frames: int) -> dict[str, float]:
    """Bring so many frames to Success and measure."""
    aws = SimulatedAWS(hosts=max(_HOSTS, round(HOSTS_OF_A_DAY * frames / SIZES[-1])))

    def arrive(_buckets: Buckets, _key: str, path: Path) -> Content:
        aws.calls["GetObject"] += 1
        path.write_bytes(FRAME)
        return Content(FRAME_DIGEST, len(FRAME))

    with studio(aws, replace(FARM, endpoint_url="")) as (_, farm, jobfile):
        for first in range(0, frames, FRAMES_OF_A_RENDER):
            last = min(frames - first, FRAMES_OF_A_RENDER)
            jobfile.add({"blend": "shot.blend", "startframe": 1, "endframe": last, "step": 1, "breaksize": BREAKSIZE})
        began, busy = time.monotonic(), time.process_time()
        with mock.patch.object(Buckets, "fetch", arrive), mock.patch("time.sleep", aws.sleep):
            outcome = watch(jobfile, farm, Quiet())
        busy, took = time.process_time() - busy, time.monotonic() - began
        renders, _ = jobfile.read()
        if outcome.exit_code or any(render.status is not Status.SUCCESS for render in renders):
            raise SystemExit(f"not every render succeeded: {[render.error for render in renders if render.error]}")
    apart = aws.calls["GetObject"]
    return {
        f"frames_{frames}_calls": aws.calls.total() - apart,
        f"frames_{frames}_get_calls": apart,
        f"frames_{frames}_put_off_calls": aws.put_off,
        f"frames_{frames}_reclaims": aws.reclaims,
        f"frames_{frames}_simulated_hours": aws.now / 3600,
        f"frames_{frames}_own_s": busy,
        f"frames_{frames}_wall_s": took,
        f"frames_{frames}_peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Measure each size in a process of its own, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--most", type=int, default=SIZES[1], help="pass over sizes above this (default: 10,000; a million takes hours)"
    )
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    arguments = parser.parse_args()
    if arguments.only:
        print(json.dumps(simulate(arguments.only)))
        return
    measures: dict[str, float] = {}
    for size in SIZES:
        if size <= arguments.most:
            command = [sys.executable, "-m", "benchmarks.scale", "--only", str(size)]
            measures |= json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ).stdout)
    if arguments.json:
        print(json.dumps({"measures": measures}))
        return
    names = [name.split("_", 2)[2] for name in measures if name.startswith(f"frames_{SIZES[0]}_")]
    print(f"{'frames':>10}" + "".join(f"{name:>17}" for name in names))
    for size in SIZES:
        if size <= arguments.most:
            print(f"{size:>10,}" + "".join(f"{measures[f'frames_{size}_{name}']:>17,.1f}" for name in names))


if __name__ == "__main__":
    main()
