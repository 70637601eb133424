"""The original project's walk-through, word for word in our commands, with real Blender."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.machine import Machine

CLONE = Path(__file__).parents[2]
SAMPLE = CLONE / "examples" / "sample.blend"
THE_RING = CLONE.parent / "shared" / "data" / "TheRing.blend"
needs_the_ring = pytest.mark.skipif(not THE_RING.exists(), reason="TheRing.blend is not part of a clone")


@pytest.mark.parametrize(
    ("source", "size", "looks"),
    [(SAMPLE, (48, 27), 4), pytest.param(THE_RING, (80, 80), 1, marks=needs_the_ring)],
    ids=["ours", "ring"],
)
def test_a_blend_goes_in_and_four_frames_come_out(
    home_with_farm: Path, tmp_path: Path, source: Path, size: tuple[int, int], looks: int
) -> None:
    machine = Machine(home=home_with_farm, folder=tmp_path)
    shutil.copy(source, tmp_path)

    said = machine.render("configure", "--stackname", "LocalRenderFarm")
    assert "Configured for LocalRenderFarm" in said.err
    assert "joblist.csv" in machine.render("init").err
    words = "--scene Scene --samples 4 --percentage 10 --startframe 1 --endframe 4 --breaksize 2".split()
    said = machine.render("add", "--blend", source.name, *words)
    assert "frames 1-4 in 2 chunks" in said.err
    assert "Pending" in machine.render("describe").out

    said = machine.render("process", code=3)
    assert "uploaded" in said.err
    assert "submitted 2 chunks" in said.err
    assert "Scheduled" in said.out
    while (said := machine.render("process", code=None)).code == 3:
        time.sleep(0.5)

    assert said.code == 0
    assert "Success" in said.out
    assert f"all 4 frames are in {machine.home}" in said.err
    folder = machine.folder_of(0)
    assert folder.parent == machine.home / "rendering" / "finished_renders"
    assert folder.name.startswith(f"{source.stem}-1")
    frames = sorted(folder.glob("0*.png"))
    assert [frame.name for frame in frames] == ["0001.png", "0002.png", "0003.png", "0004.png"]
    pixels = set()
    for frame in frames:
        with Image.open(frame) as image:
            assert image.size == size
            pixels.add(image.convert("RGB").tobytes())
    assert len(pixels) == looks, "each frame of a scene that moves is another picture"
    row = machine.rows()[0]
    assert (row["frames_done"], row["frames_total"], row["error"]) == ("4", "4", "")
    assert float(row["render_seconds"]) > 0


def test_watch_goes_on_until_every_render_rests(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-k", "1")
    machine.render("add", "-b", blend, "-f", "2", "-e", "2", "-p", "50")
    said = machine.render("process", "--watch")
    assert [row["status"] for row in machine.rows()] == ["Success", "Success"]
    assert "submitted 4 chunks" in said.err
    assert "submitted 1 chunk " in said.err
    assert "all 4 frames are in" in said.err


def test_the_demo_renders_the_sample_and_says_what_to_type_next(home_with_farm: Path, tmp_path: Path) -> None:
    machine = Machine(home=home_with_farm, folder=tmp_path)
    said = machine.render("demo")
    folder = Path(said.out.strip())
    assert [path.name for path in sorted(folder.glob("0*.png"))] == [f"{frame:04}.png" for frame in range(1, 13)]
    assert "12 frames in" in said.err
    assert "render add -b" in said.err
