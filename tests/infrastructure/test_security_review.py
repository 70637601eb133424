"""cdk-nag's AwsSolutions pack over every farm, and why what it still finds is as it should be.

cdk-nag cannot be told to pass over a whole family of findings, and a reason beside the resource would be in the way of
who reads the farm: so the reasons stand here, one for each family and place, and anything else that it finds fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.infrastructure.conftest import ROOT, VARIANTS

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCEPTED = {
    ("AwsSolutions-S1", "Storage/Source"): (
        "Server access logs are stored, and billed, for ever. The bucket holds copies of files that its owner has at "
        "home, deletes them after days, and CloudTrail can log its use for whom it matters."
    ),
    ("AwsSolutions-S1", "Storage/Results"): (
        "As for the source bucket: no public access, two writers (the job role and the owner), and frames that are "
        "fetched within the hour."
    ),
    ("AwsSolutions-VPC7", "Network/Vpc"): (
        "Flow logs are billed by the byte while rendering. The network has no inbound rule and no host at rest."
    ),
    ("AwsSolutions-IAM5", "Host/Role/DefaultPolicy"): (
        "ecr:GetAuthorizationToken takes no resource; the token opens no repository without the rights beside it."
    ),
    ("AwsSolutions-IAM5", "Host/Agent"): (
        "ecs:DiscoverPollEndpoint takes no resource. Clusters are this farm's own, whose names end in a part that "
        "Batch makes up; container instances are bound to those clusters by condition."
    ),
    ("AwsSolutions-IAM5", "Job/ExecutionRole/DefaultPolicy"): (
        "ecr:GetAuthorizationToken takes no resource; the token opens no repository without the rights beside it."
    ),
    ("AwsSolutions-IAM5", "Job/Role/DefaultPolicy"): (
        "Keys below the contract's prefixes of the farm's own two buckets, one action for each: read packages and "
        "manifests, add results."
    ),
    ("AwsSolutions-IAM5", "Guard/Role/DefaultPolicy"): (
        "ec2:DescribeInstances and batch:ListJobs take no resource. What is stopped must bear this farm's tag, or "
        "stand in a group that Batch named for this farm's environment."
    ),
}
"""Rule family and place in the farm, and the reason."""

REVIEW = """
import json, sys
import render_farm
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from render_farm.settings import Settings
from stacks.render_farm import RenderFarm

context, variants, out = json.loads(sys.argv[1])
app = App(context=context, outdir=out)
Validations.of(app).add_plugins(AwsSolutionsChecks(app))
for name, settings in variants.items():
    RenderFarm(app, settings=Settings.from_context(context | settings | {"stack_name": name}))
app.synth()
"""


@pytest.fixture(scope="module")
def findings(cdk_context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str, str]]:
    """Give each finding's variant, rule family and place."""
    out = tmp_path_factory.mktemp("review")
    # The CDK's own rules are checked where app.py runs as a whole.
    context = {name: value for name, value in cdk_context.items() if "validateAgainstDefaultRules" not in name}
    # A process of its own, since the one of the other tests has validation turned off.
    done = subprocess.run(
        [sys.executable, "-P", "-c", REVIEW, json.dumps([context, VARIANTS, str(out)])],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name != "CDK_VALIDATION"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    report = out / "validation-report.json"
    assert report.exists(), done.stderr
    return set(_read(report))


def _read(report: Path) -> Iterator[tuple[str, str, str]]:
    for plugin in json.loads(report.read_text(encoding="utf-8"))["pluginReports"]:
        for violation in plugin["violations"]:
            for construct in violation["violatingConstructs"]:
                variant, _, place = construct["constructPath"].partition("/")
                yield variant, violation["ruleName"].partition("[")[0], place.removesuffix("/Resource")


@pytest.mark.parametrize("variant_name", VARIANTS)
def test_every_finding_has_a_reason(findings: set[tuple[str, str, str]], variant_name: str) -> None:
    found = {(rule, place) for variant, rule, place in findings if variant == variant_name}
    assert found <= set(ACCEPTED)


def test_every_reason_has_a_finding(findings: set[tuple[str, str, str]]) -> None:
    assert {(rule, place) for _, rule, place in findings} == set(ACCEPTED)
    assert all(len(reason) > 60 for reason in ACCEPTED.values())
