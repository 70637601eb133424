"""The worker as a process, with real Blender and the emulator's S3."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from render_worker import contract
from render_worker.contract import ExitCode, Settings
from tests.integration.place import RUN, Place, digest, manifest_for

BPY_AS_PROGRAM = """#!{python}
# Blender's command line, as far as the worker uses it, in front of the module bpy.
import runpy, sys
before, after = sys.argv[1:sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1:]
assert before[0] == "--background" and "--factory-startup" in before
assert before[before.index("--python-exit-code") + 1] == "1"
script = before[before.index("--python") + 1]
sys.argv[:] = [sys.argv[0], *sys.argv[1:]]
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.parametrize("way", ["module", "program"])
def test_a_chunk_is_rendered_uploaded_and_reported(place: Place, package: dict[str, bytes], way: str) -> None:
    place.put(manifest_for(package, settings=Settings(percentage=50, samples=2)), package)
    variables = {"AWS_BATCH_JOB_ARRAY_INDEX": "1", "AWS_BATCH_JOB_ATTEMPT": "3"}
    if way == "program":
        program = place.folder / "blender"
        program.write_text(BPY_AS_PROGRAM.format(python=sys.executable))
        program.chmod(0o755)
        variables["RENDER_BLENDER"] = str(program)
    ended = place.work(**variables)
    assert ended.code == 0, ended.log
    assert place.frame_files() == ["0003.png", "0004.png"]
    report = place.report(chunk=1, attempt=3)
    assert [frame.frame for frame in report.frames] == [3, 4]
    assert (report.error, report.exit_code, (report.device or "")[:3]) == (None, 0, "CPU")
    for frame in report.frames:
        body = place.s3.get_object(Bucket="results", Key=contract.frames_prefix(RUN) + frame.files[0].name)["Body"]
        content = body.read()
        assert (frame.files[0].size, frame.files[0].digest) == (len(content), digest(content))
    assert not list((place.folder / "work").iterdir()), "the work folder is removed"


@pytest.mark.skipif(shutil.which("blender") is None, reason="no program `blender` on this machine")
def test_it_runs_the_same_under_a_blender_of_the_machines_own(place: Place) -> None:
    the_ring = Path(__file__).parents[3] / "shared" / "data" / "TheRing.blend"
    if not the_ring.exists():
        pytest.skip("an old Blender opens old files alone, and TheRing.blend is not part of a clone")
    contents = {"shot.blend": the_ring.read_bytes()}
    place.put(manifest_for(contents, settings=Settings(percentage=10, samples=1)), contents)
    ended = place.work(RENDER_BLENDER=str(shutil.which("blender")))
    assert ended.code == 0, ended.log
    assert place.frame_files() == ["0001.png", "0002.png"]


def test_add_ons_of_the_image_are_enabled_and_one_that_cannot_be_stops_the_chunk(
    place: Place, package: dict[str, bytes]
) -> None:
    scripts, extensions = place.folder / "opt", place.folder / "opt" / "extensions"
    for folder in (scripts / "addons" / "glow", extensions / "system" / "spark"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("def register():\n    print('Registered', __name__)\n")
    (extensions / "system" / "spark" / "blender_manifest.toml").write_text(
        'schema_version = "1.0.0"\nid = "spark"\nversion = "1.0.0"\nname = "Spark"\ntagline = "For a test"\n'
        'maintainer = "Nobody"\ntype = "add-on"\nblender_version_min = "4.2.0"\nlicense = ["SPDX:Apache-2.0"]\n'
    )
    place.put(manifest_for(package), package)
    variables = {"BLENDER_SYSTEM_SCRIPTS": str(scripts), "BLENDER_SYSTEM_EXTENSIONS": str(extensions)}
    ended = place.work(RENDER_ADDONS="glow,bl_ext.system.spark", **variables)
    assert ended.code == 0, ended.log
    assert "Registered glow" in ended.log
    assert "Registered bl_ext.system.spark" in ended.log
    ended = place.work(RENDER_ADDONS="glow gloom", AWS_BATCH_JOB_ARRAY_INDEX="1", **variables)
    assert ended.code == ExitCode.FAILED
    assert "the add-on 'gloom' of RENDER_ADDONS cannot be enabled" in ended.log
    assert place.frame_files() == ["0001.png", "0002.png"]


def test_frames_that_an_earlier_attempt_finished_are_not_rendered_again(
    place: Place, package: dict[str, bytes]
) -> None:
    place.put(manifest_for(package), package)
    place.s3.put_object(Bucket="results", Key=contract.frames_prefix(RUN) + "0001.png", Body=b"finished")
    assert place.work(AWS_BATCH_JOB_ATTEMPT="2").code == 0
    report = place.report(attempt=2)
    assert report.skipped == (1,)
    assert [frame.frame for frame in report.frames] == [2]
    kept = place.s3.get_object(Bucket="results", Key=contract.frames_prefix(RUN) + "0001.png")["Body"].read()
    assert kept == b"finished"


def test_a_damaged_file_stops_the_chunk_before_it_renders(place: Place, package: dict[str, bytes]) -> None:
    manifest = manifest_for(package)
    place.put(manifest, package)
    key = contract.file_key(manifest.files[0].digest)
    place.s3.put_object(Bucket="source", Key=key, Body=package["shot.blend"][:-1] + b"!")
    ended = place.work()
    assert ended.code == ExitCode.FAILED
    assert "shot.blend came damaged" in ended.log
    assert "came damaged" in (place.report().error or "")
    assert place.frame_files() == []


def test_a_file_that_is_gone_from_the_bucket_is_named(place: Place, package: dict[str, bytes]) -> None:
    manifest = manifest_for(package)
    place.put(manifest, package)
    place.s3.delete_object(Bucket="source", Key=contract.file_key(manifest.files[1].digest))
    ended = place.work()
    assert ended.code == ExitCode.FAILED
    assert "S3 refused tex/notes.txt" in ended.log


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": 99}, "has version 99 but this worker reads version 1: update the farm"),
        ({"blend": "../shot.blend"}, "is not among its files"),
        ({"run": "another"}, "belongs to another"),
        ({"files": [{"path": "../../evil", "digest": "a" * 64, "size": 1}], "blend": "../../evil"}, "relative path"),
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_refused(
    place: Place, package: dict[str, bytes], change: dict[str, Any], sentence: str
) -> None:
    text = json.dumps({**json.loads(manifest_for(package).to_json()), **change})
    place.s3.put_object(Bucket="source", Key=contract.manifest_key(RUN), Body=text.encode())
    ended = place.work()
    assert ended.code == ExitCode.FAILED
    assert sentence in ended.log


def test_a_run_without_a_manifest_is_told(place: Place) -> None:
    ended = place.work()
    assert ended.code == ExitCode.FAILED
    assert f"S3 refused the manifest of {RUN}" in ended.log


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"RENDER_RUN": "../x"}, "is not a Batch job name"),
        ({"RENDER_DEVICE": "tpu"}, "must be gpu or cpu"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "7"}, "has 2 chunks, and this job is for chunk 7"),
        ({"AWS_BATCH_JOB_ATTEMPT": "first"}, "not numbers"),
    ],
)
def test_an_environment_of_nonsense_ends_in_a_sentence(
    place: Place, package: dict[str, bytes], variables: dict[str, str], sentence: str
) -> None:
    place.put(manifest_for(package), package)
    ended = place.work(**variables)
    assert ended.code == ExitCode.FAILED
    assert sentence in ended.log


def test_a_missing_variable_is_named(place: Place) -> None:
    environment = place.environment()
    del environment["RENDER_RUN"]
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "render_worker"], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == ExitCode.FAILED
    assert "The variable RENDER_RUN is not set" in ended.stderr


def test_a_gpu_farm_without_a_gpu_stops_before_the_first_frame(place: Place, package: dict[str, bytes]) -> None:
    place.put(manifest_for(package), package)
    ended = place.work(RENDER_DEVICE="gpu")
    assert ended.code == ExitCode.NO_GPU
    assert "this is a GPU farm" in ended.log
    assert place.frame_files() == []
    assert place.report().exit_code == ExitCode.NO_GPU


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (Settings(scene="Gone"), "has no scene 'Gone'; it has Shot"),
        (Settings(camera="Gone"), "has no camera 'Gone'; it has Eye"),
        (Settings(engine="LUX"), "does not take 'LUX'"),
        (Settings(engine="BLENDER_WORKBENCH", samples=4), "samples cannot be set"),
    ],
)
def test_settings_that_the_scene_cannot_take_are_refused(
    place: Place, package: dict[str, bytes], settings: Settings, sentence: str
) -> None:
    place.put(manifest_for(package, settings=settings), package)
    ended = place.work()
    assert ended.code == ExitCode.FAILED
    assert sentence in ended.log


def test_buckets_out_of_reach_are_worth_another_attempt(place: Place) -> None:
    ended = place.work(AWS_ENDPOINT_URL="http://localhost:9", AWS_MAX_ATTEMPTS="1")
    assert ended.code == ExitCode.PASSING
    assert "S3 could not be reached" in ended.log


def test_a_blender_that_dies_is_told_with_the_frame_and_what_it_finished_stays(
    place: Place, package: dict[str, bytes]
) -> None:
    program = place.folder / "blender"
    killing = f"""#!{sys.executable}
import json, os, signal, sys
events, task = int(sys.argv[-1]), json.loads(sys.stdin.readline())
open(task["folder"] + "/0001.png", "wb").write(b"picture")
ready = dict(event="ready", blender="5.0.1", device="CPU", samples=1, missing=[])
frame = dict(event="frame", frame=1, seconds=0.1, memory_mib=9, files=["0001.png"])
os.write(events, "".join(json.dumps(event) + "\\n" for event in (ready, frame)).encode())
print({{name: value for name, value in os.environ.items() if "AWS" in name}}, flush=True)
os.kill(os.getpid(), signal.SIGSEGV)
"""
    program.write_text(killing)
    program.chmod(0o755)
    place.put(manifest_for(package), package)
    ended = place.work(RENDER_BLENDER=str(program))
    assert ended.code == ExitCode.FAILED
    assert "Blender was ended by SIGSEGV after frame 1" in ended.log
    assert place.frame_files() == ["0001.png"]
    assert [frame.frame for frame in place.report().frames] == [1]
    assert "test-secret" not in ended.log, "a .blend has no business with the buckets"


def test_sigterm_ends_the_worker_and_its_blender_and_keeps_what_is_finished(
    place: Place, package: dict[str, bytes]
) -> None:
    long = manifest_for(package, chunks=(tuple(range(1, 400)),), settings=Settings(xres=400, yres=400, samples=64))
    place.put(long, package)
    process = place.start()
    deadline = time.monotonic() + 100
    while len(place.frame_files()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    log, _ = process.communicate(timeout=25)
    assert process.returncode == ExitCode.PASSING
    assert "told to stop" in log
    report = place.report()
    assert sorted(f"{frame.frame:04}.png" for frame in report.frames) == place.frame_files()
    assert not list((place.folder / "work").iterdir())
