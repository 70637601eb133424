"""What a user may choose, and what a wrong choice is answered with."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pytest

from render_farm import settings as settings_module
from render_farm.settings import Settings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = [field.name for field in fields(Settings)]


def test_cdk_json_holds_the_defaults_and_explains_every_setting(cdk_context: Mapping[str, Any]) -> None:
    assert Settings.from_context(cdk_context) == Settings.from_context({})
    assert sorted(name for name in cdk_context if re.fullmatch(r"[a-z0-9_]+", name)) == sorted(NAMES)
    for name in NAMES:
        assert cdk_context[f"// {name}"]


def test_the_table_explains_every_setting() -> None:
    table = re.findall(r"^\| ([a-z0-9_]+) +\|", settings_module.__doc__ or "", re.MULTILINE)
    assert sorted(table[1:]) == sorted(NAMES)


def test_strings_from_the_command_line_mean_the_same_as_json() -> None:
    from_json = Settings.from_context({"gpu": False, "max_vcpus": 32, "instance_types": ["c7a.2xlarge", "m7i.xlarge"]})
    typed = Settings.from_context({"gpu": "false", "max_vcpus": "32", "instance_types": "c7a.2xlarge, m7i.xlarge"})
    assert typed == from_json


def test_context_of_the_cdk_itself_and_comments_are_passed_over() -> None:
    theirs = {"aws:cdk:bundling-stacks": ["**"], "@aws-cdk/core:x": True, "// gpu": "text", "cdk-migrate": False}
    assert Settings.from_context(theirs) == Settings.from_context({})


@pytest.mark.parametrize(
    ("context", "job_vcpus", "job_memory_mib"),
    [
        ({}, 4, 14_000),
        ({"instance_types": ["g6e.xlarge"]}, 4, 28_000),
        ({"gpu": False}, 4, 7_000),
        ({"gpu": False, "job_vcpus": 8}, 8, 14_000),
        ({"gpu": False, "instance_types": ["r7a.2xlarge"]}, 4, 28_000),
        ({"gpu": False, "max_vcpus": 2}, 2, 3_500),
    ],
)
def test_a_jobs_share_follows_the_smallest_host(context: dict[str, Any], job_vcpus: int, job_memory_mib: int) -> None:
    settings = Settings.from_context(context)
    assert (settings.job_vcpus, settings.job_memory_mib) == (job_vcpus, job_memory_mib)


GPU_SIZES = (
    "a size: xlarge, 2xlarge, 4xlarge, 8xlarge, 16xlarge of g4dn, g5, g6, g6e, not a family, and with one GPU, "
    "as gpu is true"
)
CPU_SIZES = (
    "a size: xlarge, 2xlarge, 4xlarge, 8xlarge, 16xlarge of c5a, c6a, c6i, c7a, c7i, m5, m5a, m6a, m6i, m7a, m7i, r5, "
    "r5a, r6a, r6i, r7a, r7i, not a family, and without a GPU, as gpu is false"
)
UNPINNED = (
    "a whole number from 2 to 2 while region and account are not both set, for then the farm must fit every region"
)


@pytest.mark.parametrize(
    ("context", "name", "value", "allowed"),
    [
        (
            {"stack_name": "my farm"},
            "stack_name",
            "my farm",
            "a letter followed by letters, digits and hyphens, 128 characters at most",
        ),
        ({"region": "Frankfurt"}, "region", "Frankfurt", "an AWS region such as eu-central-1"),
        ({"account": 123456789012}, "account", 123456789012, "an AWS account's 12 digits, in quotes"),
        (
            {"availability_zones": 3, "region": "eu-central-1"},
            "availability_zones",
            3,
            UNPINNED,
        ),
        (
            {"availability_zones": 0, "region": "eu-central-1", "account": "123456789012"},
            "availability_zones",
            0,
            "a whole number from 2 to 6",
        ),
        ({"availability_zones": 0}, "availability_zones", 0, UNPINNED),
        ({"gpu": "yes"}, "gpu", "yes", "true or false"),
        ({"gpu": []}, "gpu", [], "true or false"),
        ({"instance_types": ["g5"]}, "instance_types", "g5", GPU_SIZES),
        ({"instance_types": ["optimal"]}, "instance_types", "optimal", GPU_SIZES),
        ({"instance_types": ["g5.xlarge", "p3.2xlarge"]}, "instance_types", "p3.2xlarge", GPU_SIZES),
        ({"instance_types": ["g3.4xlarge"]}, "instance_types", "g3.4xlarge", GPU_SIZES),
        ({"instance_types": ["g5.12xlarge"]}, "instance_types", "g5.12xlarge", GPU_SIZES),
        ({"instance_types": ["c7a.2xlarge"]}, "instance_types", "c7a.2xlarge", GPU_SIZES),
        ({"instance_types": [5]}, "instance_types", 5, GPU_SIZES),
        ({"instance_types": []}, "instance_types", [], GPU_SIZES.replace("a size", "a list of sizes")),
        (
            {"gpu": False, "instance_types": ["g5.xlarge"]},
            "instance_types",
            "g5.xlarge",
            CPU_SIZES,
        ),
        ({"max_vcpus": "many"}, "max_vcpus", "many", "a whole number from 1 to 10000"),
        ({"max_vcpus": 2.5}, "max_vcpus", 2.5, "a whole number from 1 to 10000"),
        ({"max_vcpus": True}, "max_vcpus", True, "a whole number from 1 to 10000"),
        (
            {"job_vcpus": 8},
            "job_vcpus",
            8,
            "a whole number from 1 to 4, for the farm has at most 64 vCPUs and the smallest listed host has 4",
        ),
        (
            {"gpu": False, "job_vcpus": 4, "max_vcpus": 2},
            "job_vcpus",
            4,
            "a whole number from 1 to 2, for the farm has at most 2 vCPUs and the smallest listed host has 8",
        ),
        (
            {"job_memory_mib": 16_384},
            "job_memory_mib",
            16_384,
            "a whole number from 512 to 14000, which the smallest listed host can give",
        ),
        ({"gpu": False, "job_gpus": 1}, "job_gpus", 1, "left out, as gpu is false"),
        (
            {"job_gpus": 2},
            "job_gpus",
            2,
            "a whole number from 1 to 1, for each host that may be listed has one GPU",
        ),
        ({"on_demand_fallback": "maybe"}, "on_demand_fallback", "maybe", "true or false"),
        ({"keep_results": 1}, "keep_results", 1, "true or false"),
        ({"disk_gib": 8}, "disk_gib", 8, "a whole number from 32 to 16384"),
        ({"bid_percentage": 0}, "bid_percentage", 0, "a whole number from 1 to 100"),
        ({"timeout_minutes": 0}, "timeout_minutes", 0, "a whole number of at least 1"),
        ({"attempts": 11}, "attempts", 11, "a whole number from 1 to 10"),
        ({"blender_version": "5.0"}, "blender_version", "5.0", "a Blender release such as 5.0.1"),
        ({"blender_sha256": "abc"}, "blender_sha256", "abc", "a SHA-256: 64 digits from 0 to f"),
        (
            {"blender_mirror": "http://mirror.example/"},
            "blender_mirror",
            "http://mirror.example/",
            "an address that begins with https:// and does not end with a slash",
        ),
        (
            {"image": "https://example.com/worker"},
            "image",
            "https://example.com/worker",
            "the URI of a container image, without https://",
        ),
        ({"source_expiry_days": 0}, "source_expiry_days", 0, "a whole number from 1 to 3650"),
        ({"results_expiry_days": "-1"}, "results_expiry_days", "-1", "a whole number from 1 to 3650"),
        (
            {"log_retention_days": 8},
            "log_retention_days",
            8,
            "one of 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731",
        ),
        ({"guard": "kill"}, "guard", "kill", "one of terminate, tell, off"),
        ({"guard": False}, "guard", False, "one of terminate, tell, off"),
        ({"guard_minutes": 5}, "guard_minutes", 5, "a whole number from 15 to 1440"),
        ({"alarm_email": "me"}, "alarm_email", "me", "one mail address"),
        (
            {"alarm_email": "me@example.com", "guard": "off"},
            "alarm_email",
            "me@example.com",
            "left out while guard is off and monthly_budget_usd is not set",
        ),
        ({"monthly_budget_usd": 20}, "monthly_budget_usd", 20, "left out unless alarm_email is set"),
        (
            {"monthly_budget_usd": 0, "alarm_email": "me@example.com"},
            "monthly_budget_usd",
            0,
            "a whole number from 1 to 1000000",
        ),
        (
            {"max-vcpus": 8},
            "max-vcpus",
            8,
            f"left out, for there is no such setting: {', '.join(NAMES)}",
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence(
    context: dict[str, Any], name: str, value: object, allowed: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_context(context)
    assert str(refused.value) == f"The setting {name} is {value!r}, but must be {allowed}."
