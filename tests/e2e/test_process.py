"""What happens on the way: hooks, extra files, edits in a spreadsheet, and all that goes wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.machine import Machine

Make = Callable[..., Path]


def test_hooks_extra_files_and_folders_travel_and_what_hooks_leave_comes_back(machine: Machine, blend: Path) -> None:
    (machine.folder / "notes.txt").write_text("beside the blend")
    (machine.folder / "tex" / "deep").mkdir(parents=True)
    (machine.folder / "tex" / "deep" / "wood.txt").write_text("in folders")
    (machine.folder / "pre_render.sh").write_bytes(
        # Saved on Windows, as it often is.
        b"set -e\r\ntest -f shot.blend\r\ncat notes.txt tex/deep/wood.txt > seen.txt\r\n"
    )
    (machine.folder / "post_render.sh").write_text(
        'mkdir -p "$RENDER_OUTPUT/logs"\ncp seen.txt "$RENDER_OUTPUT/logs/chunk$RENDER_CHUNK.txt"\n'
        'echo "$RENDER_RUN $RENDER_FRAMES" > "$RENDER_OUTPUT/frames$RENDER_CHUNK.txt"\n'
    )
    extra = [word for name in ("notes.txt", "tex", "pre_render.sh", "post_render.sh") for word in ("-a", name)]
    machine.render("add", "-b", blend, "-k", "2", *extra)
    machine.render("process", "--watch")
    folder, name = machine.folder_of(), machine.rows()[0]["run"]
    assert (folder / "output" / "logs" / "chunk1.txt").read_text() == "beside the blendin folders"
    assert (folder / "output" / "frames0.txt").read_text() == f"{name} 1,2\n"
    assert len(list(folder.glob("0*.png"))) == 4


def test_a_hook_that_fails_is_the_renders_failure_and_is_named(machine: Machine, blend: Path) -> None:
    (machine.folder / "pre_render.sh").write_text("echo no licence server >&2\nexit 7\n")
    machine.render("add", "-b", blend, "-k", "2", "-a", "pre_render.sh")
    said = machine.render("process", "--watch", code=1)
    row = machine.rows()[0]
    assert row["status"] == "Failed"
    assert "pre_render.sh failed with exit code 7" in row["error"]
    assert "1 more of its chunks failed" in row["error"]
    assert "chunk 0 (frames 1-2): pre_render.sh failed" in row["error"]
    assert said.err.count("Warning: ") == 1
    assert "\n    no licence server\n" in said.err, "the last lines of the log tell more"


def test_a_post_hook_that_fails_keeps_the_frames(machine: Machine, blend: Path) -> None:
    (machine.folder / "post_render.sh").write_text("exit 3\n")
    machine.render("add", "-b", blend, "-a", "post_render.sh", "-d", "keeps")
    machine.render("process", "--watch", code=1)
    row = machine.rows()[0]
    assert "post_render.sh failed" in row["error"]
    assert row["frames_done"] == "4"


def test_an_extra_file_that_vanished_stops_the_render_before_it_is_submitted(machine: Machine, blend: Path) -> None:
    extra = machine.folder / "notes.txt"
    extra.write_text("here")
    machine.render("add", "-b", blend, "-a", extra)
    machine.render("add", "-b", blend, "-e", "1")
    extra.unlink()
    said = machine.render("process", "--watch", code=1)
    assert "notes.txt" in said.err
    first, second = machine.rows()
    assert (first["status"], first["run"], first["job_id"]) == ("Pending", "", "")
    assert "There is no file" in first["error"]
    assert second["status"] == "Success", "a row that is refused does not hold back the others"
    extra.write_text("back")
    machine.render("process", "--watch")
    assert [(row["status"], row["error"]) for row in machine.rows()] == [("Success", "")] * 2


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ({"scene": "Gone"}, "has no scene 'Gone'"),
        ({"camera": "Gone"}, "has no camera 'Gone'"),
        ({"endframe": "0"}, "end frame 0 is before"),
        ({"blend": "gone.blend"}, "There is no file"),
        ({"status": "Scheduled"}, "its run cell is empty"),
        ({"samples": "many"}, "samples is 'many'"),
    ],
)
def test_a_row_edited_into_nonsense_is_refused_with_the_reason(
    machine: Machine, blend: Path, cells: dict[str, str], sentence: str
) -> None:
    machine.render("add", "-b", blend)
    machine.edit(0, **cells)
    said = machine.render("process", code=1)
    assert sentence in said.err
    assert machine.rows()[0]["job_id"] == ""


def test_a_row_set_back_to_pending_with_new_settings_is_rendered_afresh(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-d", "afresh")
    machine.render("process", "--watch")
    first, first_folder = machine.rows()[0], machine.folder_of()
    machine.edit(0, status="Pending", percentage="50", endframe="2")
    machine.render("process", "--watch")
    second = machine.rows()[0]
    assert second["run"] != first["run"]
    assert (second["status"], second["frames_total"]) == ("Success", "2")
    assert machine.folder_of() != first_folder, "no finished frame is ever overwritten"
    assert len(list(first_folder.glob("0*.png"))) == 4
    assert len(list(machine.folder_of().glob("0*.png"))) == 2


def test_a_row_set_back_to_pending_while_it_runs_stops_the_job_it_had(machine: Machine, make_blend: Make) -> None:
    long = make_blend(machine.folder / "long.blend", end=400)
    machine.render("add", "-b", long, "-k", "400")
    machine.render("process", code=3)
    machine.edit(0, status="Pending", endframe="1")
    said = machine.render("process", "--watch")
    assert "stopped the earlier job" in said.err
    assert machine.rows()[0]["status"] == "Success"


def test_without_a_configuration_it_says_how_to_get_one(bare_machine: Machine) -> None:
    bare_machine.render("init")
    said = bare_machine.render("process", code=1)
    assert "render configure --stackname NAME" in said.err
    assert "render local up" in said.err


@pytest.mark.parametrize("content", ["[farm]\nstack_name = x\n", "not a settings file", "\xff\xfe"])
def test_a_configuration_of_nonsense_says_what_to_do(bare_machine: Machine, content: str) -> None:
    (bare_machine.home / ".renderconfig").write_text(content, encoding="latin-1")
    bare_machine.render("init")
    assert "configure" in bare_machine.render("process", code=1).err


@pytest.mark.parametrize(("version", "sentence"), [("0", "run `cdk deploy`"), ("9", "newer than this client")])
def test_a_farm_of_another_contract_is_refused_before_anything_is_sent(
    machine: Machine, blend: Path, version: str, sentence: str
) -> None:
    machine.render("add", "-b", blend)
    changed = (
        (machine.home / ".renderconfig").read_text().replace("contract_version = 1", f"contract_version = {version}")
    )
    (machine.folder / "config").write_text(changed)
    machine.variables = {"RENDER_CONFIG": str(machine.folder / "config")}
    assert sentence in machine.render("process", code=1).err
    assert machine.rows()[0]["status"] == "Pending"


def test_a_stack_that_is_not_there_is_told(machine: Machine) -> None:
    endpoint = machine.render("local", "status").out.split("\t")[1]
    machine.variables = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "RENDER_CONFIG": str(machine.folder / "config"),
    }
    said = machine.render("configure", "--stackname", "Nope", "--region", "us-east-1", code=1)
    assert "There is no stack Nope in region us-east-1" in said.err
    assert not (machine.folder / "config").exists()


def test_a_job_file_with_a_broken_row_goes_on_with_the_others(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-e", "1")
    machine.render("add", "-b", blend, "-e", "1")
    machine.edit(0, startframe="first")
    said = machine.render("process", "--watch", code=1)
    assert "Row 2 of joblist.csv is passed over: its startframe is 'first'" in said.err
    assert [row["status"] for row in machine.rows()] == ["Pending", "Success"]


def test_a_row_copied_in_a_spreadsheet_is_not_taken_for_the_first_ones_run(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend, "-e", "1")
    machine.render("process", "--watch")
    with (machine.folder / "joblist.csv").open("a") as file:
        file.write((machine.folder / "joblist.csv").read_text().splitlines()[1] + "\r\n")
    said = machine.render("process", code=1)
    assert "has the id 1 that row 2 has too" in said.err


def test_a_full_disk_while_frames_arrive_loses_nothing(machine: Machine, blend: Path) -> None:
    full = machine.folder / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(full)]
    if shutil.which("mount") is None or not _run(mount):
        pytest.skip("only root can make a small disk")
    try:
        machine.variables = {"RENDER_HOME": str(full), "RENDER_CONFIG": str(machine.home / ".renderconfig")}
        machine.render("add", "-b", blend, "-x", "400", "-y", "400")
        said = machine.render("process", "--watch", code=1)
        assert "No space left" in said.err
        row = machine.rows()[0]
        assert row["status"] not in {"Success", "Failed", "Pending"}
        assert not list(full.rglob(".fetch-*")), "no half frame is left"
        _run(["mount", "-o", "remount,size=64m", str(full)])
        machine.render("process", "--watch")
    finally:
        _run(["umount", str(full)])
    after = machine.rows()[0]
    assert (after["status"], after["run"]) == ("Success", row["run"])


def _run(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
