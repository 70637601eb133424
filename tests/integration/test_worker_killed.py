"""A worker that is killed again and again: every frame is there in the end, and no finished one is rendered twice."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from io import BytesIO

import pytest
from PIL import Image

from render_worker import contract
from render_worker.contract import ExitCode, Settings
from tests.integration.place import RUN, Place, manifest_for

KILLS = 20
FRAMES = tuple(range(1, 25))
SETTINGS = Settings(xres=96, yres=72, samples=16)
RENDERED = re.compile(r"^Rendered frame (\d+):", re.MULTILINE)


def pictures(place: Place) -> dict[str, bytes]:
    """Read every frame; one that is not whole fails here."""
    found = {}
    for key in place.frame_files():
        body = place.s3.get_object(Bucket="results", Key=contract.frames_prefix(RUN) + key)["Body"].read()
        with Image.open(BytesIO(body)) as image:
            found[key] = image.convert("RGBA").tobytes()
    return found


def killed(place: Place, how: signal.Signals, after: float) -> tuple[int, set[int]]:
    """Start an attempt, end it after so many seconds as ECS would, and give its exit code and what it rendered."""
    process = place.start()
    try:
        log, _ = process.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        if how is signal.SIGKILL:
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        began = time.monotonic()
        log, _ = process.communicate(timeout=60)
        assert time.monotonic() - began < 25
    return process.returncode, {int(frame) for frame in RENDERED.findall(log)}


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=lambda how: how.name)
def test_killed_at_random_moments_it_loses_the_frame_in_work_at_most(
    place: Place, package: dict[str, bytes], how: signal.Signals
) -> None:
    place.put(manifest_for(package, chunks=(FRAMES,), settings=SETTINGS), package)
    assert place.work().code == 0
    undisturbed = pictures(place)
    assert len(undisturbed) == len(FRAMES)
    for key in undisturbed:
        place.s3.delete_object(Bucket="results", Key=contract.frames_prefix(RUN) + key)

    seed = random.randrange(10**6)
    print(f"seed {seed}")
    moments = random.Random(seed)
    kills = 0
    while kills < KILLS:
        finished = {contract.frame_of(key) for key in place.frame_files()}
        if len(finished) == len(FRAMES):
            # The chunk was done before all kills were: take some frames away, as if they had never been.
            for key in moments.sample(place.frame_files(), len(FRAMES) // 2):
                place.s3.delete_object(Bucket="results", Key=contract.frames_prefix(RUN) + key)
            continue
        code, rendered = killed(place, how, moments.uniform(0.2, 4))
        kills += code != 0
        assert not rendered & finished, "a finished frame was rendered again"
        now = {contract.frame_of(key) for key in place.frame_files()}
        if how is signal.SIGTERM and code:
            assert code in {ExitCode.PASSING, -signal.SIGTERM}, "SIGTERM came before Python could listen, or was heard"
            assert rendered <= now, "an upload under way was not finished"
        else:
            assert len(rendered - now) <= 1, "more was lost than the frame in work"
        for name, pixels in pictures(place).items():
            assert pixels == undisturbed[name]

    assert place.work().code == 0
    assert pictures(place) == undisturbed
