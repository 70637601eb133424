"""One account for all tests, made ready for the CDK, and a farm in it as `cdk deploy` makes it with no options."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from local_farm.server import Server
from tests.deployment.account import CDK, Account

STACK = "RenderFarm"


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account after `cdk bootstrap`."""
    assert CDK.exists(), "The CDK's command line is not installed: run `make install`."
    folder = tmp_path_factory.mktemp("account")
    (folder / "jobs").mkdir()
    server = Server(folder=folder / "jobs")
    server.start()
    made = Account(endpoint_url=server.endpoint_url, folder=folder)
    assert "bootstrapped" in made.cdk("bootstrap")
    yield made
    server.stop()


@pytest.fixture(scope="session")
def farm(account: Account) -> dict[str, str]:
    """The outputs of a farm with the settings of cdk.json, but for a ready image."""
    account.deploy()
    return account.outputs(STACK)
