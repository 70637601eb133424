"""What `--help` says of each command, and what the shell offers on Tab."""

from __future__ import annotations

import csv
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from client.cli import app
from client.jobfile import COLUMNS

RENDER = Path(sys.executable).with_name("render")
ROOT: Any = typer.main.get_command(app)
HOSTILE = "a$(touch pwned)`touch pwned`'\"\\.blend"


def walk(command: Any, words: tuple[str, ...] = ("render",)) -> Iterator[tuple[str, Any]]:
    yield " ".join(words), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, (*words, name))


COMMANDS = dict(walk(ROOT))


def help_of(name: str) -> str:
    ended = subprocess.run(
        [RENDER, *name.split()[1:], "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "80"},
    )
    return ended.stdout


def examples_in(text: str) -> list[str]:
    return [line.strip() for line in text.split("Examples:")[1].splitlines() if line.strip()]


def parse(example: str) -> None:
    """Parse an example as the command line would; raises what a user would see."""
    command, words = ROOT, shlex.split(example)[1:]
    while hasattr(command, "commands") and not words[0].startswith("-"):
        command = command.commands[words.pop(0)]
    command.make_context("render", words)


def test_no_command_is_left_out() -> None:
    assert {"render", "render watch", "render local", "render local up", "render process"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_has_an_example_that_works(name: str) -> None:
    command = COMMANDS[name]
    assert command.help.rstrip().endswith(".")
    text = help_of(name)
    examples = examples_in(text)
    assert examples
    for example in examples:
        assert example.startswith(f"{name} ".rstrip())
        parse(example)
    assert "\b" not in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_and_argument_says_what_it_is_for(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help, parameter.name
        assert parameter.help.rstrip().endswith("."), parameter.name


def test_an_example_that_has_gone_stale_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse("render watch --forever")


@pytest.fixture
def jobfile(tmp_path: Path) -> Path:
    for name, blends in (("joblist.csv", ["shot.blend", "夜景.blend"]), ("other.csv", [HOSTILE])):
        with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for number, blend in enumerate(blends, start=1 if len(blends) > 1 else 7):
                writer.writerow({"id": number, "blend": blend})
    return tmp_path


def offered(folder: Path, line: str, shell: str = "zsh") -> str:
    """Press Tab as a shell's completion script does."""
    variables = {"_RENDER_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    ended = subprocess.run(
        [RENDER], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert ended.stderr == ""
    return ended.stdout


@pytest.mark.parametrize("command", ["retry", "cancel", "logs", "cost"])
def test_ids_are_offered_with_the_names_of_their_renders(jobfile: Path, command: str) -> None:
    said = offered(jobfile, f"render {command} ")
    assert '"1":"shot.blend"' in said
    assert '"2":"夜景.blend"' in said


def test_ids_come_from_the_job_file_that_was_named_and_not_twice(jobfile: Path) -> None:
    assert '"7":' in offered(jobfile, "render retry -j other.csv ")
    assert '"1":' not in offered(jobfile, "render retry -j other.csv ")
    assert '"1":' not in offered(jobfile, "render retry 1 ")
    assert '"2":' in offered(jobfile, "render retry 1 ")


def test_a_name_cannot_act_in_the_shell_that_evaluates_it(jobfile: Path) -> None:
    said = offered(jobfile, "render cancel -j other.csv ")
    assert '"7":"a__touch pwned__touch pwned____.blend"' in said


def test_nothing_is_offered_and_nothing_is_said_where_no_job_file_can_be_read(tmp_path: Path) -> None:
    assert "1" not in offered(tmp_path, "render retry ")
    (tmp_path / "joblist.csv").write_bytes(b"\0\xff")
    assert "1" not in offered(tmp_path, "render retry ")
    assert [path.name for path in tmp_path.iterdir()] == ["joblist.csv"]


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not here")
def test_bash_completes_by_the_script_that_it_installs(jobfile: Path) -> None:
    script = (
        'source <(_RENDER_COMPLETE=source_bash render); COMP_WORDS=(render logs ""); COMP_CWORD=2; '
        '_render_completion render; echo "${COMPREPLY[@]}"'
    )
    path = f"{RENDER.parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        ["bash", "-c", script],
        cwd=jobfile,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "1 2\n"
