"""What the doctor says of an account in AWS: what the local farm has no such thing of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from client import doctor
from client.account import Account, Part
from client.config import FarmConfig
from client.doctor import Finding, Level
from client.errors import RenderError
from client.farm import Farm

FARM = FarmConfig(
    stack_name="Farm",
    stack_id="arn:aws:cloudformation:eu-west-1:123456789012:stack/Farm/0a1b2c3d",
    region="eu-west-1",
    source_bucket="source",
    results_bucket="results",
    job_queue="arn:aws:batch:eu-west-1:123456789012:job-queue/q",
    job_definition="Farm",
    log_group="log",
    device="gpu",
    blender_version="5.0.1",
    contract_version=1,
    job_vcpus=4,
    source_expiry_days=30,
    max_vcpus=64,
)


class Facts:
    """An account of which every fact is well, unless a test says otherwise; an exception is raised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        well = Part(name="ce", state="ENABLED", status="VALID", reason="")
        self.are(
            identity="123456789012",
            has_role=True,
            image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/w:1",
            has_image=True,
            queue=well,
            environments=[well],
            waiting=[],
            instances=[],
            stored_bytes={"results": 10**9},
            last_alarm=None,
        )
        monkeypatch.setattr(doctor, "read_stack", lambda *_: FARM)
        self.quota(64.0)

    def are(self, **facts: Any) -> None:
        for name, fact in facts.items():

            def give(*_: object, fact: Any = fact) -> Any:
                if isinstance(fact, Exception):
                    raise fact
                return fact

            self._patch.setattr(Account, name, give)

    def quota(self, vcpus: float | None) -> None:
        answer = None if vcpus is None else ("All G and VT Spot Instance Requests", vcpus)
        self._patch.setattr(Farm, "spot_quota", lambda _: answer)

    def found(self, check: str) -> Finding:
        return next(each for each in doctor.examine(FARM) if each.check == check)


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> Facts:
    return Facts(monkeypatch)


def test_a_farm_that_is_well_has_no_trouble(facts: Facts) -> None:
    assert not {each.level for each in doctor.examine(FARM)} & doctor.TROUBLE


@pytest.mark.parametrize(
    ("vcpus", "level", "fix"),
    [(0.0, Level.FAILS, "no job can ever start"), (32.0, Level.OK, "never grows"), (None, Level.UNCHECKED, "")],
)
def test_the_quota_is_held_against_one_job_and_the_farms_size(
    facts: Facts, vcpus: float | None, level: Level, fix: str
) -> None:
    facts.quota(vcpus)
    found = facts.found("spot quota")
    assert found.level is level
    assert fix in found.fix


@pytest.mark.parametrize(
    ("fact", "check", "level", "sentence"),
    [
        ({"identity": "999999999999"}, "credentials", Level.FAILS, "the farm is in account 123456789012"),
        (
            {"has_role": False},
            "service roles",
            Level.FAILS,
            "has no AWSServiceRoleForBatch and no AWSServiceRoleForEC2",
        ),
        ({"has_image": False}, "image", Level.FAILS, "is not in ECR"),
        ({"has_image": None}, "image", Level.UNCHECKED, "another registry"),
        (
            {"environments": [Part(name="ce", state="ENABLED", status="INVALID", reason="ROLE_GONE - no role.")]},
            "hosts",
            Level.FAILS,
            "ce is ENABLED and INVALID (ROLE_GONE - no role).",
        ),
        ({"stored_bytes": {"results": 10**12}}, "stored", Level.COSTS, "about 23.00 dollars a month"),
        ({"instances": RenderError("AWS refused the hosts.")}, "idle hosts", Level.UNCHECKED, "AWS refused the hosts."),
    ],
)
def test_what_is_wrong_is_told(facts: Facts, fact: dict[str, Any], check: str, level: Level, sentence: str) -> None:
    facts.are(**fact)
    found = facts.found(check)
    assert found.level is level
    assert sentence in found.said


def test_a_stack_that_was_deployed_anew_is_to_be_configured_again(
    facts: Facts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "read_stack", lambda *_: replace(FARM, stack_id=FARM.stack_id + "-anew"))
    assert "render configure --stackname Farm" in facts.found("stack").fix
