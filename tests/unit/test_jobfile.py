"""The job file, and what people and spreadsheets do to it."""

from __future__ import annotations

import csv
import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from client.errors import RenderError
from client.jobfile import COLUMNS, OPTIONAL_COLUMNS, JobFile, Status, written


@pytest.fixture
def jobfile(tmp_path: Path) -> JobFile:
    made = JobFile(tmp_path / "joblist.csv")
    made.create()
    return made


def rows_of(jobfile: JobFile) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(jobfile.path.read_text("utf-8-sig"))))


def save(jobfile: JobFile, rows: list[dict[str, str]], *, encoding: str = "utf-8", **dialect: Any) -> None:
    """Write the file as a spreadsheet would."""
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), **dialect)
    writer.writeheader()
    writer.writerows(rows)
    jobfile.path.write_bytes(out.getvalue().encode(encoding))


def test_a_new_file_has_the_editable_columns_first(jobfile: JobFile) -> None:
    assert jobfile.path.read_text("utf-8").strip().split(",") == list(COLUMNS)


def test_init_never_overwrites(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    before = jobfile.path.read_bytes()
    with pytest.raises(RenderError, match="there already"):
        jobfile.create()
    assert jobfile.path.read_bytes() == before


def test_rows_get_ids_in_turn_and_are_pending(jobfile: JobFile) -> None:
    first, second = jobfile.add({"blend": "a.blend"}), jobfile.add({"blend": "b.blend", "samples": 4})
    assert (first.id, second.id, second.samples) == (1, 2, 4)
    assert second.status is Status.PENDING
    assert second.blend == jobfile.path.parent / "b.blend"


def test_what_a_person_changed_about_the_file_survives(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    rows = [{"my notes": "keep, me", **dict(reversed(row.items()))} for row in rows_of(jobfile)]
    save(jobfile, rows, encoding="utf-8-sig")
    with jobfile.path.open("ab") as file:
        file.write(b",,,\r\n\r\n")
    render = jobfile.read()[0][0]
    jobfile.update(render, {"status": Status.RUNNING})
    content = jobfile.path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfmy notes,cost_usd,")
    assert content.endswith(b",,,\r\n\r\n")
    after = rows_of(jobfile)[0]
    assert after["my notes"] == "keep, me"
    assert after["status"] == "Running"


def test_an_update_keeps_what_a_person_saved_meanwhile(jobfile: JobFile) -> None:
    render = jobfile.add({"blend": "a.blend"})
    save(jobfile, [{**rows_of(jobfile)[0], "description": "edited"}])
    assert jobfile.update(render, {"status": Status.UPLOADED}).description == "edited"


def test_a_row_typed_by_hand_needs_no_id_and_no_status(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    save(jobfile, [*rows_of(jobfile), {**dict.fromkeys(COLUMNS, ""), "blend": "b.blend"}])
    jobfile.settle()
    renders, broken = jobfile.read()
    assert [(render.id, render.status) for render in renders] == [(1, Status.PENDING), (2, Status.PENDING)]
    assert not broken


def test_numbers_that_a_spreadsheet_spelled_its_own_way_are_read(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    save(jobfile, [{**rows_of(jobfile)[0], "id": "1.0", "startframe": "1.00", "status": "pending"}])
    renders, broken = jobfile.read()
    assert not broken
    assert (renders[0].id, renders[0].startframe) == (1, 1)


@pytest.mark.parametrize(
    ("cell", "value", "sentence"),
    [
        ("startframe", "one", "startframe is 'one'"),
        ("startframe", "1,5", "startframe is '1,5'"),
        ("percentage", "0", "percentage is 0"),
        ("samples", "-4", "samples is -4"),
        ("status", "Done", "status 'Done' is unknown"),
        ("blend", "", "blend cell is empty"),
        ("id", "1", "has the id 1 that row 2 has too"),
        ("id", "x", "id is 'x'"),
    ],
)
def test_a_broken_row_is_told_and_the_others_go_on(jobfile: JobFile, cell: str, value: str, sentence: str) -> None:
    for name in ("a", "b", "c"):
        jobfile.add({"blend": f"{name}.blend"})
    rows = rows_of(jobfile)
    rows[1][cell] = value
    save(jobfile, rows)
    renders, broken = jobfile.read()
    assert [render.blend.stem for render in renders] == ["a", "c"]
    assert [row.line for row in broken] == [3]
    assert sentence in broken[0].reason
    assert broken[0].reason.startswith("Row 3 of joblist.csv")


def test_a_text_with_an_unquoted_comma_is_told(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    with jobfile.path.open("a", newline="") as file:
        file.write("2,b.blend,hello, world" + "," * (len(COLUMNS) - 3) + "x\r\n")
    renders, broken = jobfile.read()
    assert len(renders) == 1
    assert "quotes around" in broken[0].reason


def test_a_missing_column_is_named(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    rows = rows_of(jobfile)
    for row in rows:
        del row["samples"]
    save(jobfile, rows)
    with pytest.raises(RenderError, match="no column samples"):
        jobfile.read()


def test_a_file_from_before_the_allowances_allows_nothing_until_a_row_asks(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    save(
        jobfile,
        [{name: cell for name, cell in row.items() if name not in OPTIONAL_COLUMNS} for row in rows_of(jobfile)],
    )
    assert jobfile.read()[0][0].autoexec is False
    jobfile.add({"blend": "b.blend", "autoexec": None})
    assert "autoexec" not in rows_of(jobfile)[0]
    added = jobfile.add({"blend": "c.blend", "autoexec": "yes"})
    assert (added.autoexec, added.allow_missing) == (True, False)
    assert [render.autoexec for render in jobfile.read()[0]] == [False, False, True]


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_another_encoding_is_told_with_what_to_save_as(jobfile: JobFile, encoding: str) -> None:
    jobfile.add({"blend": "Bär.blend"})
    save(jobfile, rows_of(jobfile), encoding=encoding)
    with pytest.raises(RenderError, match="CSV UTF-8"):
        jobfile.read()


def test_semicolons_instead_of_commas_are_told(jobfile: JobFile) -> None:
    jobfile.add({"blend": "a.blend"})
    save(jobfile, rows_of(jobfile), delimiter=";")
    with pytest.raises(RenderError, match="semicolons"):
        jobfile.read()


@pytest.mark.parametrize("content", [b"", b'"open quote\n', b"\0\0\0", b"a,b\n"])
def test_a_file_of_nonsense_ends_in_a_sentence(jobfile: JobFile, content: bytes) -> None:
    jobfile.path.write_bytes(content)
    with pytest.raises(RenderError):
        jobfile.read()


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", '=HYPERLINK("http://x")', "\t=1"])
def test_no_cell_that_a_spreadsheet_would_run_is_written(jobfile: JobFile, text: str) -> None:
    jobfile.add({"blend": "a.blend", "description": text})
    cell = rows_of(jobfile)[0]["description"]
    assert cell[0] not in "=+-@\t"
    assert text.strip() in cell


def test_negative_numbers_are_not_formulas() -> None:
    assert written(-5) == "-5"


def test_a_blend_whose_name_looks_like_a_formula_is_still_found(jobfile: JobFile) -> None:
    path = jobfile.path.parent / "=cmd.blend"
    render = jobfile.add({"blend": jobfile.spell(path)})
    assert rows_of(jobfile)[0]["blend"] == "./=cmd.blend"
    assert render.blend == path


def test_the_files_beside_the_job_file_move_with_it(jobfile: JobFile, tmp_path: Path) -> None:
    assert jobfile.spell(tmp_path / "shots" / "a.blend") == "shots/a.blend"
    assert jobfile.spell(tmp_path.parent / "elsewhere.blend") == str(tmp_path.parent / "elsewhere.blend")


def test_what_was_learned_while_a_spreadsheet_held_the_file_is_applied_later(
    jobfile: JobFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    render = jobfile.add({"blend": "a.blend"})
    before = jobfile.path.read_bytes()

    def held(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", held)
        with pytest.raises(RenderError, match="close the program"):
            jobfile.update(render, {"status": Status.UPLOADED, "run": "r-1"})
    assert jobfile.path.read_bytes() == before
    assert [file.name for file in jobfile.path.parent.iterdir() if file.name.startswith(".joblist")] == []
    again = jobfile.read()[0][0]
    assert (again.status, again.run) == (Status.UPLOADED, "r-1")
    jobfile.settle()
    assert rows_of(jobfile)[0]["run"] == "r-1"


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's disk that is always full")
def test_a_full_disk_leaves_the_file_as_it_was(jobfile: JobFile, monkeypatch: pytest.MonkeyPatch) -> None:
    render = jobfile.add({"blend": "a.blend"})
    before = jobfile.path.read_bytes()
    real = Path.open

    def full(path: Path, *args: Any, **kwargs: Any) -> Any:
        file = real(path, *args, **kwargs)
        if path.suffix == ".new":
            os.dup2(os.open("/dev/full", os.O_WRONLY), file.fileno())
        return file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(RenderError, match="No space left"):
        jobfile.update(render, {"status": Status.UPLOADED})
    monkeypatch.undo()
    assert jobfile.path.read_bytes().startswith(before[:20])
    assert rows_of(jobfile)[0]["blend"] == "a.blend"


def test_an_update_of_a_row_that_is_gone_says_what_was_learned(jobfile: JobFile) -> None:
    render = jobfile.add({"blend": "a.blend"})
    jobfile.path.unlink()
    jobfile.create()
    with pytest.raises(RenderError, match=r"no longer in joblist\.csv.*r-9"):
        jobfile.update(render, {"run": "r-9"})


def test_a_second_process_on_the_same_file_is_refused(jobfile: JobFile) -> None:
    with (
        jobfile.one_pass(),
        pytest.raises(RenderError, match="Another `render process`"),
        JobFile(jobfile.path).one_pass(),
    ):
        pass
