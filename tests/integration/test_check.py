"""The health command, with real Blender."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

import render_worker


def check(**variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "render_worker", "check"]
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


def test_it_tells_the_versions_and_the_devices() -> None:
    done = check()
    assert done.returncode == 0, done.stderr
    worker, blender, *devices = done.stdout.splitlines()
    assert worker.startswith(f"Worker {render_worker.__version__}, contract ")
    assert blender == "Blender 5.0.1"
    assert any(line.startswith("CPU: ") for line in devices)
    assert any(line.startswith(("OPTIX: ", "CUDA: ")) for line in devices) or "no GPU" in devices[-1]


@pytest.mark.skipif(shutil.which("blender") is None, reason="no program `blender` on this machine")
def test_it_asks_the_program_that_the_image_names() -> None:
    program = str(shutil.which("blender"))
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    assert version in check(RENDER_BLENDER=program).stdout


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("/nowhere/blender", "Blender cannot be started: "),
        (shutil.which("false"), "Blender ended with exit code 1 before it told its version"),
    ],
)
def test_a_blender_that_does_not_start_is_told(program: str, sentence: str) -> None:
    done = check(RENDER_BLENDER=program)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {sentence}")
