"""`render watch` in a real terminal, left by Ctrl-C and come back to, and what follows its end."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.machine import Machine
from tests.e2e.terminal import CTRL_C, Terminal


def test_ctrl_c_leaves_the_renders_running_and_watching_again_sees_their_end(machine: Machine, blend: Path) -> None:
    programs = machine.folder / "programs"
    programs.mkdir()
    (programs / "notify-send").write_text(f'#!/bin/sh\necho "$@" > "{programs}/shown"\n')
    (programs / "notify-send").chmod(0o755)
    machine.variables |= {"PATH": f"{programs}:/usr/bin:/bin", "DISPLAY": ":99"}
    machine.render("add", "-b", blend, "-k", "1")

    left = Terminal(machine, "watch")
    left.wait_for("Ctrl-C stops watching; the renders go on.")
    left.wait_for("Scheduled")
    left.type(CTRL_C)
    assert left.ended() == 130
    assert left.screen.endswith("Stopped here; what was submitted goes on. `render watch` comes back to it.\r\n")
    assert left.screen.rindex("\x1b[?25h") > left.screen.rindex("\x1b[?25l"), "the cursor is there again"
    assert "\a" not in left.screen
    row = machine.rows()[0]
    assert row["status"] in {"Scheduled", "Running"}

    words = [
        "watch",
        "--exec",
        'echo "it is $RENDER_STATUS: $RENDER_SUCCESS render, $RENDER_FRAMES frames of $RENDER_JOBFILE"',
    ]
    again = Terminal(machine, *words, columns=50, lines=20)
    assert again.ended() == 0
    assert "4/4" in again.screen
    assert "✓ Success" in again.screen
    assert "\a" in again.screen
    assert f"it is done: 1 render, 4 frames of {machine.folder / 'joblist.csv'}" in again.screen.replace("\r\n", "")
    assert (programs / "shown").read_text() == "--app-name=render -- joblist.csv: done 1 Success\n"
    assert machine.rows()[0]["run"] == row["run"], "it went on and was not submitted again"

    (programs / "shown").unlink()
    quiet = Terminal(machine, "process", "--watch", "--no-notice", "--exec", "exit 3")
    assert quiet.ended() == 0, "the renders' end counts"
    assert "Warning: The command of --exec ended with exit code 3." in quiet.screen.replace("\x1b[33m", "")
    assert "\a" not in quiet.screen
    assert not (programs / "shown").exists()


def test_a_watch_in_a_pipe_rings_no_bell_and_keeps_its_output_for_the_table(machine: Machine, blend: Path) -> None:
    machine.render("add", "-b", blend)
    machine.edit(0, status="Failed", error="out of memory")
    said = machine.render("watch", "--exec", 'echo "$RENDER_STATUS $RENDER_FAILED"', code=1)
    assert said.err == "failed 1\n"
    assert [line.split("\t")[0] for line in said.out.splitlines()] == ["id", "1"]
    machine.variables["SHELL"] = "/no/such/shell"
    said = machine.render("watch", "--exec", "true", code=1)
    assert "Warning: The command of --exec did not start (/no/such/shell: No such file or directory)." in said.err


def test_what_only_a_watch_has_is_refused_without_one(bare_machine: Machine) -> None:
    for option in (["--exec", "true"], ["--no-notice"]):
        said = bare_machine.render("process", *option, code=2)
        assert "--exec and --no-notice go with --watch, which alone has an end." in said.err
