"""Users' machines, and the local farm that most of them share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from client import config
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


@pytest.fixture
def aws(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make clients of the account in which the farm is."""
    monkeypatch.setenv("RENDER_CONFIG", str(machine.home / ".renderconfig"))
    farm = config.load()

    def client(service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=farm.endpoint_url,
            region_name=farm.region,
            aws_access_key_id="local",
            aws_secret_access_key="local",  # noqa: S106 -- the emulator takes any
        )

    client.farm = farm  # type: ignore[attr-defined]
    return client
