"""Users' machines, and the local farm that most of them share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine


@pytest.fixture(scope="session")
def home_with_farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One local farm for all tests that do not stop it."""
    home = tmp_path_factory.mktemp("home")
    machine = Machine(home=home, folder=home)
    machine.render("local", "up")
    yield home
    machine.render("local", "down")


@pytest.fixture
def machine(home_with_farm: Path, tmp_path: Path) -> Machine:
    """A user whose farm is up, in a folder with an empty job file."""
    made = Machine(home=home_with_farm, folder=tmp_path)
    made.render("init")
    return made


@pytest.fixture
def bare_machine(tmp_path: Path) -> Machine:
    """A user who has configured nothing."""
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    return Machine(home=tmp_path / "home", folder=tmp_path / "work")


@pytest.fixture
def blend(machine: Machine, shot: bytes) -> Path:
    """The tiny shot in the user's folder."""
    path = machine.folder / "shot.blend"
    path.write_bytes(shot)
    return path
