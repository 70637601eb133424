"""Templates of farms, each synthesized once per session."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# The CDK's own linting takes most of a synthesis; test_app.py runs it once. Node.js reads this when it starts.
os.environ["CDK_VALIDATION"] = "false"

from render_farm.settings import Settings
from stacks.render_farm import RenderFarm

if TYPE_CHECKING:
    from collections.abc import Callable

from aws_cdk import App
from aws_cdk.assertions import Template

ROOT = Path(__file__).parents[2]

VARIANTS: dict[str, dict[str, object]] = {
    "default": {},
    "cpu": {"gpu": False},
    "ready-image": {"image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/studio/worker:5.0.1"},
    "fallback": {"on_demand_fallback": True},
    "kept-results": {"keep_results": True},
    "budget-and-mail": {"alarm_email": "artist@example.com", "monthly_budget_usd": 20},
    "no-guard": {"guard": "off"},
}
"""The farms that are not like each other, and the settings that make each."""


@pytest.fixture(scope="session")
def cdk_context() -> dict[str, Any]:
    """Give the context of cdk.json."""
    context: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]
    return context


@pytest.fixture(scope="session")
def synthesize(cdk_context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Template]:
    """Give a function that makes a farm's template; its arguments override the context of cdk.json."""

    def synthesized(**overrides: object) -> Template:
        context = cdk_context | overrides
        app = App(context=context, outdir=str(tmp_path_factory.mktemp("cdk.out")))
        return Template.from_stack(RenderFarm(app, settings=Settings.from_context(context)))

    return synthesized


@pytest.fixture(scope="session")
def farm(synthesize: Callable[..., Template]) -> Template:
    """Give what `cdk deploy` with no options creates."""
    return synthesize()


@pytest.fixture(scope="session")
def cpu_farm(synthesize: Callable[..., Template]) -> Template:
    """Give a farm without GPUs, as small as the local one and like it without a guard."""
    return synthesize(gpu=False, max_vcpus=2, job_vcpus=1, guard="off")


@pytest.fixture(scope="session", params=VARIANTS)
def variant(request: pytest.FixtureRequest, synthesize: Callable[..., Template]) -> Template:
    """Give each farm that a user may choose, in turn."""
    return synthesize(**VARIANTS[request.param])
