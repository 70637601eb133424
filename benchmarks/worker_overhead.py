"""What a chunk costs beside plain Blender: fetch, upload, report and all, as a ratio of wall time.

The baseline is Blender alone, as a process, that opens the same file from the local disk, renders the same frames with
the same settings and writes them to the local disk. Both are started from nothing and run in turn; the ratio is that of
the medians. The scene is our sample, once at about half a second a frame and once at about three, on two cores.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

from benchmarks.report import tell
from local_farm.server import REGION, Server
from render_worker.contract import Settings
from tests.integration.place import RUN, Place, manifest_for

SAMPLE = Path(__file__).parents[1] / "examples" / "sample.blend"
FRAMES = 16
CHUNKS = 16
ROUNDS = 2
HALF_A_SECOND = Settings(percentage=45, samples=24)
THREE_SECONDS = Settings(percentage=100, samples=33)
"""What the sample takes a frame with them on two cores, about; what it really took is told."""
PLAIN = """
import bpy, os, sys
blend, folder, percentage, samples, first, last = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False, use_scripts=False)
scene = bpy.context.scene
scene.render.resolution_percentage, scene.cycles.samples = percentage, samples
scene.cycles.device, scene.render.threads_mode = "CPU", "AUTO"
scene.render.use_persistent_data = True
scene.render.filepath, scene.frame_start, scene.frame_end = folder + "/####", first, last
bpy.ops.render.render(animation=True)
os._exit(0)
"""


def plain(settings: Settings, first: int, last: int) -> None:
    """Render with Blender alone."""
    with tempfile.TemporaryDirectory() as folder:
        words = [str(SAMPLE), folder, str(settings.percentage), str(settings.samples), str(first), str(last)]
        subprocess.run([sys.executable, "-c", PLAIN, *words], check=True, stdout=subprocess.DEVNULL)
        if len(list(Path(folder).glob("*.png"))) != last - first + 1:
            raise SystemExit("plain Blender did not render every frame")


def worker(place: Place, chunk: int) -> None:
    """Render one chunk with the worker."""
    ended = place.work(AWS_BATCH_JOB_ARRAY_INDEX=str(chunk), RENDER_CACHE=str(place.folder / "cache"))
    if ended.code:
        raise SystemExit(ended.log)


def seconds(work: Callable[[], object]) -> float:
    """Time one call, in seconds."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def one_chunk(place: Place, name: str, settings: Settings) -> dict[str, float]:
    """Compare one chunk with plain Blender, in turn."""
    contents = {"shot.blend": SAMPLE.read_bytes()}
    ours, theirs = [], []
    for _ in range(ROUNDS):
        empty(place)
        place.put(manifest_for(contents, chunks=(tuple(range(1, FRAMES + 1)),), settings=settings), contents)
        theirs.append(seconds(lambda: plain(settings, 1, FRAMES)))
        ours.append(seconds(lambda: worker(place, 0)))
    return {
        f"{name}_frame_s": statistics.median(theirs) / FRAMES,
        f"{name}_ratio": statistics.median(ours) / statistics.median(theirs),
    }


def side_by_side(place: Place, settings: Settings) -> dict[str, float]:
    """Compare chunks that run at the same time on one host with as many plain Blenders."""
    contents = {"shot.blend": SAMPLE.read_bytes()}
    spans = [(1 + index * FRAMES, (index + 1) * FRAMES) for index in range(CHUNKS)]
    chunks = tuple(tuple(range(first, last + 1)) for first, last in spans)
    empty(place)
    place.put(manifest_for(contents, chunks=chunks, settings=settings), contents)
    with ThreadPoolExecutor(CHUNKS) as pool:
        theirs = seconds(lambda: list(pool.map(lambda span: plain(settings, *span), spans)))
        ours = seconds(lambda: list(pool.map(lambda chunk: worker(place, chunk), range(CHUNKS))))
    return {"side_by_side_ratio": ours / theirs}


def empty(place: Place) -> None:
    """Forget the frames of the last round."""
    for key in place.frame_files():
        place.s3.delete_object(Bucket="results", Key=f"runs/{RUN}/frames/{key}")


def main() -> None:
    """Measure and tell."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(folder=Path(folder))
        # As in a real farm, the buckets are not in the worker's own process, nor in the one that measures it.
        child = os.fork()
        if not child:
            server.start()
            signal.pause()
        try:
            s3 = boto3.client(
                "s3",
                endpoint_url=server.endpoint_url,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",  # noqa: S106 -- the emulator takes any
            )
            for bucket in ("source", "results"):
                s3.create_bucket(Bucket=bucket)
            place = Place(s3, server.endpoint_url, Path(folder))
            measures = one_chunk(place, "short", HALF_A_SECOND)
            measures |= one_chunk(place, "long", THREE_SECONDS)
            measures |= side_by_side(place, HALF_A_SECOND)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    tell(f"Worker against plain Blender, {FRAMES} frames, {CHUNKS} chunks side by side", measures)


if __name__ == "__main__":
    main()
