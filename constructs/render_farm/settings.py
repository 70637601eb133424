"""What a user may choose: the settings, their defaults and their checks.

A setting comes from the context in cdk.json or from `cdk deploy -c name=value`; null means the default.

| setting             | unit    | default    | allowed and meaning                                                    |
|---------------------|---------|------------|------------------------------------------------------------------------|
| stack_name          |         | RenderFarm | letter, then letters, digits and -; at most 128; names the farm        |
| region              |         | the CLI's  | such as eu-central-1; pins the farm to this region                     |
| account             |         | the CLI's  | 12 digits, quoted; pins the farm to this account                       |
| availability_zones  | count   | as known   | 2 to 6, at most; without region and account pinned the farm takes 2    |
| gpu                 |         | true       | true: hosts with one NVIDIA GPU; false: hosts without                  |
| instance_types      |         | see hosts  | list of sizes such as g5.xlarge, no families, all of the kind of `gpu` |
| max_vcpus           | vCPUs   | 64         | 1 to 10000; the ceiling of the whole farm, and so of its cost          |
| on_demand_fallback  |         | false      | true: On-Demand hosts where Spot has none, max_vcpus more in all       |
| job_vcpus           | vCPUs   | 4          | at least 1; one job's share; at most max_vcpus and the smallest host's |
| job_memory_mib      | MiB     | a share    | at least 512; must fit the smallest listed host                        |
| job_gpus            | GPUs    | 1          | 1 on a GPU farm, whose hosts have one each; left out on a CPU farm     |
| disk_gib            | GiB     | 100        | 32 to 16384; each host's disk: image, input files and frames           |
| bid_percentage      | percent | 100        | 1 to 100; most to pay for Spot, as a part of the On-Demand price       |
| timeout_minutes     | minutes | 360        | at least 1; for one attempt at one chunk                               |
| attempts            | count   | 5          | 1 to 10; starts of one chunk, when Spot takes its host away            |
| blender_version     |         | 5.0.1      | three numbers; the Blender in the image that the deployment builds     |
| blender_sha256      |         | none       | SHA-256 that Blender's archive must have; else the mirror's own list   |
| blender_mirror      |         | blender    | https:// address of the folder that holds Blender's releases           |
| image               |         | built      | a ready image's URI; then Docker is not needed to deploy               |
| source_expiry_days  | days    | 30         | 1 to 3650; then input files are deleted                                |
| results_expiry_days | days    | never      | 1 to 3650; then frames are deleted                                     |
| keep_results        |         | false      | true: the results bucket and its frames stay when the farm is removed  |
| log_retention_days  | days    | 7          | what CloudWatch Logs knows: 1, 3, 5, 7, 14, 30, 60, 90, ...            |
| guard               |         | terminate  | what happens to hosts that run on without a job: terminate, tell, off  |
| guard_minutes       | minutes | 60         | 15 to 1440; how long a host must have run before the guard sees it     |
| alarm_email         |         | none       | address that hears from the guard and the budget                       |
| monthly_budget_usd  | USD     | none       | 1 to 1000000; needs alarm_email, which hears at 50, 80 and 100 percent |
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

from render_farm.hosts import CPU_DEFAULTS, CPU_FAMILIES, GPU_DEFAULTS, GPU_FAMILIES, VCPUS, Host, host

if TYPE_CHECKING:
    from collections.abc import Mapping

LOG_RETENTION_DAYS = {
    1: "ONE_DAY",
    3: "THREE_DAYS",
    5: "FIVE_DAYS",
    7: "ONE_WEEK",
    14: "TWO_WEEKS",
    30: "ONE_MONTH",
    60: "TWO_MONTHS",
    90: "THREE_MONTHS",
    120: "FOUR_MONTHS",
    150: "FIVE_MONTHS",
    180: "SIX_MONTHS",
    365: "ONE_YEAR",
    400: "THIRTEEN_MONTHS",
    545: "EIGHTEEN_MONTHS",
    731: "TWO_YEARS",
}
"""Days that CloudWatch Logs can keep a log, up to two years, and the CDK's names for them.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
"""

ZONES_IN_EVERY_REGION = 2
"""Availability zones that the CDK counts on while it does not know the region and the account.

https://docs.aws.amazon.com/cdk/api/v2/python/aws_cdk.aws_ec2/Vpc.html
"""

GuardMode = Literal["terminate", "tell", "off"]
"""What the guard does with a host that runs without a job: stop it and say so, only say so, or there is no guard."""

_COMMAND_LINE_NAMES = {"acknowledged-issue-numbers", "cdk-migrate"}
"""Context that the CDK's command line keeps for itself, beside the names with a colon or an @."""

_Default = TypeVar("_Default")


class SettingsError(ValueError):
    """A setting that the farm cannot have; the message is one sentence for the user."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"The setting {name} is {value!r}, but must be {allowed}.")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The choices for one farm, checked and complete; the module's table says what each means."""

    stack_name: str
    region: str | None
    account: str | None
    availability_zones: int
    gpu: bool
    instance_types: tuple[str, ...]
    max_vcpus: int
    on_demand_fallback: bool
    job_vcpus: int
    job_memory_mib: int
    job_gpus: int
    disk_gib: int
    bid_percentage: int
    timeout_minutes: int
    attempts: int
    blender_version: str
    blender_sha256: str | None
    blender_mirror: str | None
    image: str | None
    source_expiry_days: int
    results_expiry_days: int | None
    keep_results: bool
    log_retention_days: int
    guard: GuardMode
    guard_minutes: int
    alarm_email: str | None
    monthly_budget_usd: int | None

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Settings:
        """Read the settings from the CDK's context, where `-c name=value` leaves every value a string.

        Names with a colon or an @ belong to the CDK, and names that begin with // are comments.
        Raises SettingsError for an unknown name and for a value that is not allowed.
        """
        known = [field.name for field in fields(cls)]
        for name, value in context.items():
            theirs = ":" in name or name.startswith(("@", "//")) or name in _COMMAND_LINE_NAMES
            if not theirs and name not in known:
                raise SettingsError(name, value, f"left out, for there is no such setting: {', '.join(known)}")

        region = _text(context, "region", None, r"[a-z]{2}(-[a-z]+)+-[0-9]", "an AWS region such as eu-central-1")
        account = _text(context, "account", None, r"[0-9]{12}", "an AWS account's 12 digits, in quotes")
        gpu = _truth(context, "gpu", True)
        instance_types = _instance_types(context, gpu=gpu)
        max_vcpus = _whole(context, "max_vcpus", default=64, least=1, most=10_000)
        job_vcpus = _job_vcpus(context, instance_types, gpu=gpu, max_vcpus=max_vcpus)
        guard = _guard(context)
        alarm_email = _text(context, "alarm_email", None, r"[^@\s]+@[^@\s]+\.[^@\s]+", "one mail address")
        monthly_budget_usd = _whole(context, "monthly_budget_usd", default=None, least=1, most=1_000_000)
        if monthly_budget_usd is not None and alarm_email is None:
            raise SettingsError("monthly_budget_usd", monthly_budget_usd, "left out unless alarm_email is set")
        if alarm_email is not None and guard == "off" and monthly_budget_usd is None:
            raise SettingsError(
                "alarm_email", alarm_email, "left out while guard is off and monthly_budget_usd is not set"
            )
        return cls(
            stack_name=_text(
                context,
                "stack_name",
                "RenderFarm",
                r"[A-Za-z][A-Za-z0-9-]{0,127}",
                "a letter followed by letters, digits and hyphens, 128 characters at most",
            ),
            region=region,
            account=account,
            availability_zones=_availability_zones(context, pinned=bool(region and account)),
            gpu=gpu,
            instance_types=instance_types,
            max_vcpus=max_vcpus,
            on_demand_fallback=_truth(context, "on_demand_fallback", False),
            job_vcpus=job_vcpus,
            job_memory_mib=_job_memory_mib(context, instance_types, gpu=gpu, job_vcpus=job_vcpus),
            job_gpus=_job_gpus(context, gpu=gpu),
            # The GPU image's own snapshot is 30 GiB:
            # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/al2023-gpu-workloads.html
            disk_gib=_whole(context, "disk_gib", default=100, least=32, most=16_384),
            bid_percentage=_whole(context, "bid_percentage", default=100, least=1, most=100),
            timeout_minutes=_whole(context, "timeout_minutes", default=360, least=1),
            # Finished frames are kept, so another attempt costs a start, not the chunk. Five outlast a bad hour on
            # Spot; the ten that Batch allows would only pay longer for an image that cannot be pulled.
            attempts=_whole(context, "attempts", default=5, least=1, most=10),
            blender_version=_text(
                context, "blender_version", "5.0.1", r"[0-9]+\.[0-9]+\.[0-9]+", "a Blender release such as 5.0.1"
            ),
            blender_sha256=_text(context, "blender_sha256", None, r"[0-9a-f]{64}", "a SHA-256: 64 digits from 0 to f"),
            blender_mirror=_text(
                context,
                "blender_mirror",
                None,
                r"https://[\w.:/-]*[\w-]",
                "an address that begins with https:// and does not end with a slash",
            ),
            image=_text(
                context,
                "image",
                None,
                r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?",
                "the URI of a container image, without https://",
            ),
            source_expiry_days=_whole(context, "source_expiry_days", default=30, least=1, most=3650),
            results_expiry_days=_whole(context, "results_expiry_days", default=None, least=1, most=3650),
            keep_results=_truth(context, "keep_results", False),
            log_retention_days=_log_retention_days(context),
            guard=guard,
            guard_minutes=_whole(context, "guard_minutes", default=60, least=15, most=24 * 60),
            alarm_email=alarm_email,
            monthly_budget_usd=monthly_budget_usd,
        )


def _text(context: Mapping[str, Any], name: str, default: _Default, pattern: str, allowed: str) -> str | _Default:
    value = context.get(name)
    if value is None:
        return default
    if not isinstance(value, str) or not re.fullmatch(pattern, value):
        raise SettingsError(name, value, allowed)
    return value


def _truth(context: Mapping[str, Any], name: str, default: bool) -> bool:
    value = context.get(name)
    if value is None:
        return default
    if isinstance(value, bool):
        return value
    if value not in ("true", "false"):
        raise SettingsError(name, value, "true or false")
    return bool(value == "true")


def _whole(
    context: Mapping[str, Any], name: str, *, default: _Default, least: int, most: int | None = None, why: str = ""
) -> int | _Default:
    value = context.get(name)
    if value is None:
        return default
    number = int(value) if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value) else value
    if (
        not isinstance(number, int)
        or isinstance(number, bool)
        or number < least
        or (most is not None and number > most)
    ):
        bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise SettingsError(name, value, f"a whole number {bounds}{why}")
    return number


def _availability_zones(context: Mapping[str, Any], *, pinned: bool) -> int:
    if pinned:
        return _whole(context, "availability_zones", default=6, least=2, most=6)
    why = " while region and account are not both set, for then the farm must fit every region"
    most = ZONES_IN_EVERY_REGION
    return _whole(context, "availability_zones", default=most, least=2, most=most, why=why)


def _instance_types(context: Mapping[str, Any], *, gpu: bool) -> tuple[str, ...]:
    value = context.get("instance_types")
    if value is None:
        return GPU_DEFAULTS if gpu else CPU_DEFAULTS
    types = [name.strip() for name in value.split(",")] if isinstance(value, str) else value
    families = ", ".join(GPU_FAMILIES if gpu else CPU_FAMILIES)
    kind = "with one GPU, as gpu is true" if gpu else "without a GPU, as gpu is false"
    sizes = f"{', '.join(VCPUS)} of {families}, not a family, and {kind}"
    if not isinstance(types, list) or not types:
        raise SettingsError("instance_types", value, f"a list of sizes: {sizes}")
    for name in types:
        if not isinstance(name, str) or host(name, gpu=gpu) is None:
            raise SettingsError("instance_types", name, f"a size: {sizes}")
    return tuple(dict.fromkeys(types))


def _job_vcpus(context: Mapping[str, Any], instance_types: tuple[str, ...], *, gpu: bool, max_vcpus: int) -> int:
    smallest = min(_hosts(instance_types, gpu=gpu), key=lambda host: host.vcpus)
    most = min(max_vcpus, smallest.vcpus)
    return _whole(
        context,
        "job_vcpus",
        default=min(4, most),
        least=1,
        most=most,
        why=f", for the farm has at most {max_vcpus} vCPUs and the smallest listed host has {smallest.vcpus}",
    )


def _job_memory_mib(context: Mapping[str, Any], instance_types: tuple[str, ...], *, gpu: bool, job_vcpus: int) -> int:
    hosts = _hosts(instance_types, gpu=gpu)
    most = min(host.job_memory_mib for host in hosts)
    # One GPU serves one job, so that job may have the whole host; on a CPU host, jobs share by their vCPUs.
    share = most if gpu else min(host.job_memory_mib * job_vcpus // host.vcpus for host in hosts)
    return _whole(
        context, "job_memory_mib", default=share, least=512, most=most, why=", which the smallest listed host can give"
    )


def _job_gpus(context: Mapping[str, Any], *, gpu: bool) -> int:
    value = context.get("job_gpus")
    if gpu:
        return _whole(
            context, "job_gpus", default=1, least=1, most=1, why=", for each host that may be listed has one GPU"
        )
    if value is not None:
        raise SettingsError("job_gpus", value, "left out, as gpu is false")
    return 0


def _guard(context: Mapping[str, Any]) -> GuardMode:
    value = context.get("guard")
    if value is None:
        return "terminate"
    for mode in get_args(GuardMode):
        if value == mode:
            return cast("GuardMode", mode)
    raise SettingsError("guard", value, f"one of {', '.join(get_args(GuardMode))}")


def _log_retention_days(context: Mapping[str, Any]) -> int:
    days = _whole(context, "log_retention_days", default=7, least=1)
    if days not in LOG_RETENTION_DAYS:
        raise SettingsError("log_retention_days", days, f"one of {', '.join(map(str, LOG_RETENTION_DAYS))}")
    return days


def _hosts(instance_types: tuple[str, ...], *, gpu: bool) -> list[Host]:
    return [found for name in instance_types if (found := host(name, gpu=gpu)) is not None]
