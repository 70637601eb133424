"""The farm on this machine, which a clone of the project brings."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING

from client import config, connection, farm, places
from client.errors import RenderError

if TYPE_CHECKING:
    from types import ModuleType

    from local_farm.daemon import LocalFarm


def up(say: Callable[[str], None]) -> tuple[LocalFarm, bool]:
    """Start the local farm unless it is up and configure the client for it; says whether it was started now."""
    daemon = _daemon()
    try:
        running, started = daemon.up(places.render_home(), progress=say)
    except daemon.LocalFarmError as error:
        raise RenderError(str(error)) from None
    config.save(farm.read_stack(running.stack_name, _connection(running)))
    return running, started


def down() -> bool:
    """Stop the local farm and its workers; False when it was not up."""
    daemon = _daemon()
    try:
        stopped: bool = daemon.down(places.render_home())
    except daemon.LocalFarmError as error:
        raise RenderError(str(error)) from None
    return stopped


def status() -> LocalFarm | None:
    """Give the local farm if it is up."""
    found: LocalFarm | None = _daemon().status(places.render_home())
    return found


def connection_to(stack_name: str) -> connection.Connection | None:
    """Give the way to the local farm if it is up and its stack has that name."""
    if importlib.util.find_spec("local_farm") is None:
        return None
    running = status()
    return _connection(running) if running and running.stack_name == stack_name else None


def _connection(running: LocalFarm) -> connection.Connection:
    return connection.Connection(region=running.region, endpoint_url=running.endpoint_url)


def _daemon() -> ModuleType:
    if importlib.util.find_spec("local_farm") is None:
        raise RenderError(
            "The local farm needs a clone of the project, which this installation is not: clone it and run `make demo` "
            "there."
        )
    if importlib.util.find_spec("moto") is None:
        raise RenderError("The local farm's own packages are not installed: run `pip install -e '.[local]'`.")
    return importlib.import_module("local_farm.daemon")
