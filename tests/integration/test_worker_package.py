"""All that a .blend refers to comes along, and the worker renders what the artist's machine does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from client import inspection, package
from client.package import Package
from render_worker import contract
from tests.integration.place import RUN, Place, manifest_for

MAKE_PROJECT = Path(__file__).parents[1] / "make_project.py"
COLUMN = 8


def send(place: Place, contents: Package) -> None:
    files = {name: path.read_bytes() for name, path in contents.places.items()}
    place.put(manifest_for(files, blend=contents.blend, chunks=((2,),), remap=contents.remap), files)


def pixels(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content)).convert("RGB")


def columns(image: Image.Image) -> list[bytes]:
    return [image.crop((x, 0, x + COLUMN, COLUMN)).tobytes() for x in range(0, image.width, COLUMN)]


def rendered(place: Place) -> Image.Image:
    ended = place.work()
    assert ended.code == 0, ended.log
    assert place.report().missing == ()
    return pixels(place.s3.get_object(Bucket="results", Key=contract.frames_prefix(RUN) + "0002.png")["Body"].read())


@pytest.mark.parametrize("spelling", ["relative", "absolute"])
def test_every_kind_of_file_is_found_on_the_worker(place: Place, tmp_path: Path, spelling: str) -> None:
    project = tmp_path / "project"
    subprocess.run([sys.executable, MAKE_PROJECT, project, spelling], check=True, capture_output=True)
    blend = project / "shots" / "shot.blend"
    before = blend.read_bytes()
    contents = package.collect(blend, (), inspection.inspect(blend))
    assert contents.left_out == {}
    assert bool(contents.remap) == (spelling == "absolute")
    assert blend.read_bytes() == before, "the user's file is never changed"
    local = pixels((project / "local_0002.png").read_bytes())
    assert all(max(column) > 30 for column in columns(local)), "each kind is seen"
    send(place, contents)
    # What is found where it was made would prove nothing.
    shutil.rmtree(project)
    assert columns(rendered(place)) == columns(local)
