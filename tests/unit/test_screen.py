"""What the terminal shows: the live screen, lines in a pipe, and tables."""

from __future__ import annotations

import io
import re
import sys
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from client import screen, wording
from client.jobfile import JobFile, Render, Status
from client.live import Live
from client.screen import Lines
from client.standing import Chunks, Standing
from client.table import fitted

COLUMNS = ("id", "blend", "scene", "frames", "step", "chunk", "size", "%", "samples", "status", "done", "error")
HOSTILE = "\x1b[2J[red]\x9b31m\u202ekitchen\x07\n[/red]"
FIGURES = {
    "chunks": Chunks(waiting=9, starting=3, running=5, done=12, failed=1),
    "reclaims": 2,
    "lost_minutes": 14.0,
    "seconds_a_frame": 12.3,
    "seconds_left": 1500.0,
    "usd": 1.24,
    "usd_to_completion": 1.4,
}


def render(number: int, status: str, done: int = 0, *, total: int = 250, name: str = "shot", error: str = "") -> Render:
    draft = JobFile(Path("joblist.csv")).draft({"blend": "shot.blend"})
    return replace(
        draft,
        id=number,
        blend=Path(f"{name}.blend"),
        status=Status(status),
        frames_done=done,
        frames_total=total,
        error=error,
    )


def running(number: int = 1, name: str = "shot") -> Standing:
    return Standing(render=render(number, "Running", 120, name=name), **FIGURES)  # type: ignore[arg-type]


def waiting(number: int, minutes: int = 6) -> Standing:
    since = datetime.now(timezone.utc) - timedelta(minutes=minutes)
    return Standing(
        render=render(number, "Scheduled"),
        chunks=Chunks(waiting=12),
        waits_for="a Spot host (capacity)",
        waits_since=since,
    )


def screen_of(*standings: Standing, width: int = 120, height: int = 24, encoding: str = "utf-8") -> list[str]:
    """Draw the live screen once, on a terminal of this size."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system="truecolor")
    live = Live(console)
    for standing in standings:
        live.stands(standing)
    console.print(live)
    file.seek(0)
    text = re.sub(r"\x1b\[[0-9;]*m", "", file.read())
    assert "\x1b" not in text
    return text.splitlines()


def test_a_row_tells_frames_chunks_reclaims_times_and_dollars() -> None:
    header, row, footer = screen_of(running())
    assert header.split("  ")[0] == "id"
    for said in ("120/250", "▸ Running", "2, 14 min", "12 s", "25 min", "$1.24", "$1.40"):
        assert said in row
    for title, figure in (("run", "5"), ("wait", "9"), ("start", "3"), ("fail", "1"), ("reclaims", "2, 14 min")):
        assert row[: header.index(title) + len(title)].endswith(figure), "a figure ends where its title ends"
    assert footer == "Ctrl-C stops watching; the renders go on."


def test_while_nothing_runs_it_says_why_and_since_when() -> None:
    assert "waits 6 min for a Spot host (capacity), since " in "\n".join(screen_of(waiting(1)))
    now = datetime(2026, 3, 4, 12).astimezone()
    said = [
        wording.wait(replace(waiting(1), waits_since=now - timedelta(minutes=minutes)), now) for minutes in (6, 4320)
    ]
    assert said == [
        "waits 6 min for a Spot host (capacity), since 11:54",
        "waits 3.0 d for a Spot host (capacity), since 01 Mar 12:00",
    ]


def test_the_last_line_adds_all_rows_up() -> None:
    failed = Standing(render=render(3, "Failed", 3, total=50, error="chunk 0: out of memory"), usd=0.5)
    lines = screen_of(running(1), running(2), failed)
    total = next(line for line in lines if "3 renders" in line)
    for sum_of_all in ("243/550", "10", "18", "4, 28 min", "25 min", "$2.98", "$2.80"):
        assert sum_of_all in total


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (50, 20), (200, 50), (30, 10), (12, 5)])
def test_no_line_wraps_and_all_of_a_hundred_rows_fit(width: int, height: int) -> None:
    names = ["TheRing", "上海の夜景 final final", HOSTILE, "a" * 200]
    rows = [
        running(n, names[n % 4])
        if n % 5
        else Standing(render=render(n, "Failed", error="wrong " * 99, name=names[n % 4]))
        for n in range(1, 101)
    ]
    for shown in (rows, rows[:3]):
        lines = screen_of(*shown, width=width, height=height)
        assert len(lines) <= height
        assert max(map(cell_len, lines)) <= width


def test_what_rests_is_counted_and_what_runs_or_failed_comes_first() -> None:
    rests = [Standing(render=render(n, "Success", 250)) for n in range(1, 38)]
    failed = [Standing(render=render(n, "Failed", error="out of memory")) for n in (38, 39)]
    rows = [*rests, *failed, *map(waiting, range(40, 95)), *map(running, range(95, 101))]
    lines = screen_of(*rows, width=80, height=24)
    ids = [int(line.split()[0]) for line in lines if line[:3].strip().isdecimal()]
    folded = len(range(40, 95)) - len(ids) + 8
    assert ids[:8] == [95, 96, 97, 98, 99, 100, 38, 39]
    assert "out of memory" in next(line for line in lines if line.startswith(" 38"))
    assert f"and 37 Success, {folded} Scheduled" in lines[-3]


def test_rows_that_fit_stay_in_their_files_order() -> None:
    lines = screen_of(Standing(render=render(1, "Success", 250)), waiting(2), running(3))
    assert [line.split()[0] for line in lines if line.split()[0] in {"1", "2", "3"}][:3] == ["1", "2", "3"]


def test_a_narrow_terminal_drops_columns_in_the_order_of_their_importance() -> None:
    order = ["left", "spent", "run", "wait", "fail", "to come", "reclaims", "start", "a frame"]
    for width in range(40, 140):
        shown = [title for title in order if re.search(rf"\b{title}\b", screen_of(running(), width=width)[0])]
        assert shown == order[: len(shown)]
        assert len(shown) >= {50: 2, 80: 5, 120: 9}.get(width, 0)


def test_columns_that_say_nothing_are_not_there() -> None:
    header = screen_of(Standing(render=render(1, "Running", 3)))[0]
    assert header.split() == ["id", "render", "frames", "status"]


def test_names_and_errors_cannot_act_on_the_terminal() -> None:
    bad = Standing(render=render(1, "Failed", name=HOSTILE.replace("/", ""), error=HOSTILE))
    for lines in (screen_of(bad), screen_of(replace(running(), render=replace(bad.render, frames_done=10**400)))):
        assert all(line.isprintable() for line in lines)
        assert "[red]" in "".join(lines), "markup is text"


def test_a_console_without_box_characters_gets_ascii() -> None:
    lines = screen_of(running(name="a" * 60), Standing(render=render(2, "Success", 250)), encoding="cp1252")
    assert "".join(lines).isascii()
    assert "?" not in "".join(lines)
    assert "> Running" in lines[1]
    assert "#---" in lines[1]
    assert "+ Success" in lines[2]


def test_colour_is_never_the_only_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True)
    live = Live(console)
    live.stands(Standing(render=render(1, "Failed", 100, error="out of memory")))
    console.print(live)
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", file.getvalue())
    assert "✗ Failed" in file.getvalue()
    assert "━─" in file.getvalue()


def test_an_upload_and_frames_that_come_are_seen_before_the_pass_ends() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True)
    live = Live(console)
    live.sending(render(1, "Pending", total=0), 5_000_000, 20_000_000)
    console.print(live)
    live.stands(running())
    live.fetched(render(1, "Running", 121), 1)
    console.print(live)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "uploading 5.0 MB of 20.0 MB" in text
    assert "121/250" in text
    assert "$1.24" in text.split("121/250")[1], "what was known of the row stays"


def test_messages_scroll_above_the_screen_and_the_cursor_comes_back() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)
    long = "/home/you/" + "x" * 100
    with suppress(KeyboardInterrupt), Live(console) as live:
        live.stands(running())
        live.say(f"to {long}")
        live.warn(HOSTILE)
        raise KeyboardInterrupt
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert long in text, "in one piece, so that it can be copied"
    assert "Warning:  [2J[red] 31m kitchen" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert text.rindex("120/250") > text.rindex("kitchen")
    assert "Ctrl-C" not in text[text.rindex("120/250") :], "what stays on the screen is no longer live"


@pytest.mark.parametrize(("variables", "kind"), [({"TERM": "dumb"}, Lines), ({"TERM": "xterm"}, Live)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], kind: type
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert type(screen.listener(live=True)) is kind
    assert type(screen.listener(live=False)) is Lines


def test_a_pipe_gets_a_line_only_when_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()

    def said(standing: Standing) -> str:
        lines.stands(standing)
        return capsys.readouterr().err

    new = Standing(render=render(1, "Scheduled"))
    assert said(new) == "", "its submission was told"
    assert "waits 6 min for a Spot host (capacity), since " in said(waiting(1))
    assert said(waiting(1, minutes=7)) == "", "only the time has changed"
    assert said(running()) == (
        "Render 1 (shot.blend): Running, 120 of 250 frames are here, 1 chunk failed, Spot reclaims: 2, 14 min, "
        "25 min left, $1.24 so far, $1.40 to come\n"
    )
    assert said(replace(running(), render=render(1, "Running", 121), seconds_left=1400)) == ""
    assert "130 of 250" in said(replace(running(), render=render(1, "Running", 130))), "half of it is here"
    assert "Spot reclaims: 3" in said(replace(running(), render=render(1, "Running", 130), reclaims=3))
    assert said(Standing(render=render(1, "Success", 250))) == "", "it was told with the folder"
    assert said(Standing(render=render(2, "Cancelled"))) == "", "it rested before this command"


def test_lines_and_warnings_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Lines().say(HOSTILE)
    Lines().warn(HOSTILE)
    screen.show_table(["name"], [[HOSTILE]])
    out, err = capsys.readouterr()
    assert (out + err).replace("\n", "").isprintable()
    assert out.count("\n") == 2, "a cell stays in its line"


def table_of(width: int, rows: list[list[str]], columns: tuple[str, ...] = COLUMNS) -> tuple[list[str], list[str]]:
    console = Console(file=io.StringIO(), width=width)
    shown = fitted(columns, rows, console)
    console.print(shown.table)
    return console.file.getvalue().splitlines(), shown.left_out  # type: ignore[attr-defined]


def row_of(number: int, name: str, status: str, error: str = "") -> list[str]:
    return [str(number), name, "Scene", "1-250", "1", "5", "1920x1080", "50", "128", status, "120/250", error]


@pytest.mark.parametrize("width", [50, 80, 120, 200])
def test_a_table_breaks_no_word_and_no_number(width: int) -> None:
    error = "chunk 0 (frames 1-2): CUDA error: out of memory, too many textures of 8k"
    rows = [row_of(1, "TheRing.blend", "Success"), row_of(2, "上海の夜景.blend", "Failed", error)]
    lines, left_out = table_of(width, rows)
    text = " ".join(lines)
    assert max(map(cell_len, lines)) <= width
    for whole in ("120/250", "✓ Success", "✗ Failed", *error.split()):
        assert whole in text
    assert set(left_out) <= set(COLUMNS) - {"id", "blend", "status", "done", "error"}
    assert ("1920x1080" in text) == ("size" not in left_out)
    assert bool(left_out) == (width < 120)


def test_wide_characters_keep_the_columns_straight() -> None:
    lines, _ = table_of(100, [row_of(1, "上海の夜景 shot.blend", "Success"), row_of(2, "b.blend", "Failed")])
    at = {cell_len(line[: line.index(word)]) for line, word in zip(lines[1:], ("✓", "✗"), strict=True)}
    assert len(at) == 1


def test_what_is_to_be_copied_is_wrapped_and_not_cut() -> None:
    command = "aws-ec2-terminate-instances--region--eu-central-1--instance-ids--i-0123456789abcdef0"
    lines, _ = table_of(60, [["idle hosts", "costs", command]], ("check", "is", "what"))
    assert "! costs" in lines[1]
    start = lines[0].index("what")
    assert "".join(line[start:].strip() for line in lines[1:]) == command


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, ""),
        (float("nan"), ""),
        (float("inf"), ""),
        (3.21, "3.2 s"),
        (61, "61 s"),
        (1500, "25 min"),
        (19800, "5.5 h"),
        (259200, "3.0 d"),
        (1e300, "999.0 d"),
    ],
)
def test_durations_are_as_coarse_as_a_person_would_say(seconds: float | None, said: str) -> None:
    assert wording.duration(seconds) == said


@pytest.mark.parametrize(("usd", "said"), [(None, ""), (0.0, "$0.00"), (0.0042, "$0.004"), (12.345, "$12.35")])
def test_dollars_are_told_to_the_cent(usd: float | None, said: str) -> None:
    assert wording.dollars(usd) in {said, said.replace("35", "34")}


def test_a_transfer_tells_its_rate_and_the_time_left_as_soon_as_there_is_one() -> None:
    assert wording.transfer(5_000_000, 20_000_000, 0, 0) == "5.0 MB of 20.0 MB"
    said = wording.transfer(5_000_000, 20_000_000, 3_000_000, 6)
    assert said == "5.0 MB of 20.0 MB, 500.0 kB/s, 30 s left"
