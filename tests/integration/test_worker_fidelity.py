"""What the artist meant is what the worker renders."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from render_worker import contract
from render_worker.contract import ExitCode, Host, Settings
from tests.integration.place import RUN, Place, manifest_for

Rich = Callable[[str], bytes]
CLONE = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Rich:
    """Make a .blend that holds one of the kinds of make_rich_blend.py."""
    folder = tmp_path_factory.mktemp("rich")

    def make(kind: str) -> bytes:
        path = folder / f"{kind}.blend"
        if not path.exists():
            subprocess.run(
                [sys.executable, CLONE / "tests" / "make_rich_blend.py", path, kind], check=True, capture_output=True
            )
        return path.read_bytes()

    return make


def rendered(place: Place, blend: bytes, frames: tuple[int, ...] = (1,), **changes: object) -> None:
    contents = {"shot.blend": blend}
    place.put(manifest_for(contents, chunks=(frames,), **changes), contents)
    ended = place.work()
    assert ended.code == 0, ended.log


def picture(place: Place, name: str) -> Image.Image:
    body = place.s3.get_object(Bucket="results", Key=contract.frames_prefix(RUN) + name)["Body"]
    return Image.open(BytesIO(body.read()))


def test_camera_markers_change_the_camera(place: Place, rich: Rich) -> None:
    rendered(place, rich("markers"), (2, 3))
    near, far = (picture(place, name).convert("RGB").tobytes() for name in ("0002.png", "0003.png"))
    assert near != far


def test_a_camera_that_the_user_names_wins_over_markers(place: Place, rich: Rich) -> None:
    rendered(place, rich("markers"), (2, 3), settings=Settings(camera="Eye"))
    near, still_near = (picture(place, name).convert("RGB").tobytes() for name in ("0002.png", "0003.png"))
    assert near == still_near


def test_file_output_nodes_give_their_files_and_write_nowhere_else(
    place: Place, rich: Rich, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rendered(place, rich("nodes"), (1, 2))
    keys = place.frame_files()
    assert [key for key in keys if "/" not in key] == ["0001.png", "0002.png"]
    assert len([key for key in keys if key.startswith("nodes/")]) == 2
    assert not list(tmp_path_factory.getbasetemp().rglob("outside_the_farm"))
    assert {contract.frame_of(key) for key in keys} == {1, 2, None}


def test_each_view_of_a_stereo_scene_has_its_file_and_the_frame_counts(place: Place, rich: Rich) -> None:
    rendered(place, rich("stereo"))
    assert place.frame_files() == ["0001.png", "0001_L.png", "0001_R.png"]


def test_a_multilayer_exr_comes_whole(place: Place, rich: Rich) -> None:
    rendered(place, rich("multilayer"))
    assert place.frame_files() == ["0001.exr"]
    body = place.s3.get_object(Bucket="results", Key=contract.frames_prefix(RUN) + "0001.exr")["Body"].read()
    assert b"Second" in body


def test_the_colour_depth_is_the_files(place: Place, rich: Rich) -> None:
    rendered(place, rich("deep"))
    body = place.s3.get_object(Bucket="results", Key=contract.frames_prefix(RUN) + "0001.png")["Body"].read()
    assert body[24] == 16, "the PNG header's bit depth"


def test_workbench_renders_without_a_display(place: Place, rich: Rich) -> None:
    rendered(place, rich("workbench"))
    assert place.frame_files() == ["0001.png"]


def test_eevee_renders_without_a_display(place: Place, rich: Rich) -> None:
    rendered(place, rich("eevee"))
    assert place.frame_files() == ["0001.png"]
    assert (place.report().device or "").startswith("BLENDER_EEVEE")


@pytest.mark.parametrize(("autoexec", "width"), [(False, 32), (True, 64)])
def test_python_in_the_file_runs_only_when_the_render_says_so(
    place: Place, rich: Rich, autoexec: bool, width: int
) -> None:
    rendered(place, rich("script"), autoexec=autoexec)
    assert picture(place, "0001.png").width == width


def test_a_missing_texture_fails_a_strict_chunk_before_it_renders(place: Place, rich: Rich) -> None:
    contents = {"shot.blend": rich("pink")}
    place.put(manifest_for(contents), contents)
    ended = place.work()
    assert ended.code == ExitCode.MISSING
    assert "1 file is missing (wood.png)" in ended.log
    assert "Missing: tex/wood.png" in ended.log
    assert place.report().missing == ("tex/wood.png",)
    assert place.frame_files() == []


def test_a_missing_texture_that_is_allowed_is_named_in_log_and_report(place: Place, rich: Rich) -> None:
    rendered(place, rich("pink"), strict=False)
    assert place.report().missing == ("tex/wood.png",)


def test_a_texture_that_travels_is_not_missing(place: Place, rich: Rich) -> None:
    png = BytesIO()
    Image.new("RGB", (4, 4)).save(png, "PNG")
    contents = {"shot.blend": rich("pink"), "tex/wood.png": png.getvalue()}
    place.put(manifest_for(contents, chunks=((1,),)), contents)
    assert place.work().code == 0
    assert place.report().missing == ()


def test_the_report_tells_what_was_spent(place: Place, rich: Rich) -> None:
    contents = {"shot.blend": rich("deep")}
    place.put(manifest_for(contents, chunks=((1,),), settings=Settings(samples=3)), contents)
    cache = place.folder / "cache"
    cache.mkdir()
    (cache / "host.json").write_text('{"instance_type": "g5.xlarge", "life_cycle": "spot", "availability_zone": 7}')
    ended = place.work(RENDER_CACHE=str(cache), AWS_BATCH_JOB_ATTEMPT="2")
    report = place.report(attempt=2)
    assert (report.samples, report.attempt) == (3, 2)
    assert report.host == Host(instance_type="g5.xlarge", life_cycle="spot")
    assert report.frames[0].memory_mib > 50
    assert report.frames[0].files[0].size > 0
    assert report.finished > report.started
    assert "Rendered frame 1: 1 of 1" in ended.log
    assert "test-secret" not in ended.log + report.to_json()
