"""What is wrong with a farm, or costs while nothing renders: one small check for each, in the order to mend them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import Enum

from client import inspection
from client.account import CAPACITY, Account, Waiting
from client.config import FarmConfig
from client.connection import Connection, MissingError
from client.errors import RenderError
from client.farm import Farm, read_stack
from render_worker import __version__
from render_worker.contract import CONTRACT_VERSION

_GB_MONTH_USD = 0.023
"""S3 Standard in us-east-1, first 50 TB, mid 2026: https://aws.amazon.com/s3/pricing/; where AWS tells no price."""
_MUCH_USD = 1.0
"""From so much a month on, stored bytes are told as a cost."""
_LONG_MINUTES = 30
"""For so long a job may wait for a Spot host without that being told as a failure."""
_RECENT = timedelta(days=1)
"""An alarm of the guard that is older is history."""
_INSTANCE_ID = re.compile(r"\bi-[0-9a-f]{8,17}\b")
_MORE_CAPACITY = "List more sizes (instance_types) or set on_demand_fallback, then cdk deploy"
_FIXES = {
    "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE": "Raise max_vcpus to one job's vCPUs or more, then cdk deploy",
    "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT": "Lower job_memory_mib or list larger sizes, then cdk deploy",
    "MISCONFIGURATION:SERVICE_ROLE_PERMISSIONS": "Make the roles that `service roles` misses, then cdk deploy",
    "MISCONFIGURATION:EC2_INSTANCE_CONFIGURATION_UNSUPPORTED": "List other sizes (instance_types), then cdk deploy",
}
"""By how the reason that Batch gives begins.

https://docs.aws.amazon.com/batch/latest/userguide/job_stuck_in_runnable.html
"""
_ROLES = {
    "AWSServiceRoleForBatch": "batch.amazonaws.com",
    "AWSServiceRoleForEC2Spot": "spot.amazonaws.com",
}
"""https://docs.aws.amazon.com/batch/latest/userguide/using-service-linked-roles.html and
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/service-linked-roles-spot-instance-requests.html"""


class Level(str, Enum):
    """How a check went."""

    OK = "ok"
    COSTS = "costs"
    """Billed although nothing renders."""
    FAILS = "fails"
    """Renders cannot go on until it is mended."""
    UNCHECKED = "not checked"
    """The account or the local farm does not answer this; nothing is known."""


TROUBLE = {Level.COSTS, Level.FAILS}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found, in a sentence, and what to do about it; `fix` is empty where nothing is to be done."""

    check: str
    level: Level
    said: str
    fix: str = ""

    def data(self) -> dict[str, str]:
        """Give it for --json."""
        return {"check": self.check, "level": self.level.value, "said": self.said, "fix": self.fix}


def examine(config: FarmConfig) -> list[Finding]:
    """Make every check; without credentials or the stack, the others could only repeat that and are left out."""
    account = Account(config)
    findings: list[Finding] = []
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        try:
            level, said, fix = check(account)
        except RenderError as error:
            level, said, fix = Level.UNCHECKED, f"not checked: {error}", ""
            if isinstance(error, MissingError):
                level, said = Level.FAILS, str(error)
        findings.append(Finding(check=name, level=level, said=said, fix=fix))
        if level is Level.FAILS and check in {credentials, stack}:
            break
    return findings


_Result = tuple[Level, str, str]  # what was found and the fix


def version(account: Account) -> _Result:
    """Check that client and worker speak the same version of the manifest."""
    theirs = account.config.contract_version
    if theirs == CONTRACT_VERSION:
        blender = f"the farm renders with Blender {account.config.blender_version}"
        return Level.OK, f"Client {__version__} and farm both speak version {theirs}; {blender}.", ""
    older = "client" if theirs > CONTRACT_VERSION else "farm"
    fix = "pipx upgrade blender-aws-batch" if older == "client" else "cdk deploy, then render configure"
    return (
        Level.FAILS,
        f"The farm speaks version {theirs}, this client ({__version__}) version {CONTRACT_VERSION}.",
        f"Update the {older}: {fix}.",
    )


def credentials(account: Account) -> _Result:
    """Check that the credentials work, and belong to the farm's account."""
    config = account.config
    try:
        found = account.identity()
    except RenderError as error:
        return Level.FAILS, str(error), "Nothing else can be checked without credentials that AWS takes."
    where = f"account {found}, region {config.region}"
    if found == config.account:
        return Level.OK, f"They are of {where}, as the farm is.", ""
    return (
        Level.FAILS,
        f"They are of {where}, and the farm is in account {config.account}.",
        f"Use its profile: render configure --stackname {config.stack_name} --profile NAME.",
    )


def stack(account: Account) -> _Result:
    """Check that the stack is there as it was configured."""
    config = account.config
    connection = Connection(region=config.region, profile=config.profile, endpoint_url=config.endpoint_url)
    again = f"Read it again: render configure --stackname {config.stack_name}."
    try:
        found = read_stack(config.stack_name, connection)
    except RenderError as error:
        return Level.FAILS, str(error), "Nothing else can be checked without the stack."
    if found.stack_id != config.stack_id:
        return Level.FAILS, f"{config.stack_name} was deployed anew since it was configured.", again
    if found != config:
        return Level.FAILS, f"{config.stack_name} has changed since it was configured.", again
    return Level.OK, f"{config.stack_name} is there with all its outputs.", ""


def spot_quota(account: Account) -> _Result:
    """Check the Spot quota, which bounds how many hosts there can be."""
    config = account.config
    if config.endpoint_url:
        return _not_local("starts no Spot hosts")
    quota = Farm(config).spot_quota()
    if quota is None:
        return Level.UNCHECKED, "not checked: the quota may not be read (servicequotas:GetServiceQuota).", ""
    name, vcpus = quota
    said = f"`{name}` is {vcpus:g} vCPUs; a job takes {config.job_vcpus}, the farm at most {config.max_vcpus}."
    ask = "Ask for more in the Service Quotas console"
    if vcpus < config.job_vcpus:
        return Level.FAILS, said, f"{ask}: no job can ever start."
    return Level.OK, said, f"{ask}, or the farm never grows to its size." if vcpus < config.max_vcpus else ""


def service_roles(account: Account) -> _Result:
    """Check for the roles through which AWS acts for the farm; each account needs them once."""
    if account.config.endpoint_url:
        return _not_local("starts no Spot hosts")
    missing = {name: service for name, service in _ROLES.items() if not account.has_role(name)}
    if not missing:
        return Level.OK, f"{' and '.join(_ROLES)} are there.", ""
    commands = "; ".join(f"aws iam create-service-linked-role --aws-service-name {each}" for each in missing.values())
    return Level.FAILS, f"The account has no {' and no '.join(missing)}.", f"Create it once: {commands}."


def image(account: Account) -> _Result:
    """Check that the worker's image is there to be pulled."""
    if account.config.endpoint_url:
        return _not_local("renders without an image")
    name = account.image()
    there = account.has_image(name)
    if there is None:
        return Level.UNCHECKED, f"not checked: {name} is in another registry than ECR.", ""
    if there:
        return Level.OK, f"{name} is in ECR.", ""
    return Level.FAILS, f"{name} is not in ECR (any more).", "Build and push it again: cdk deploy."


def queue(account: Account) -> _Result:
    """Check that the queue takes jobs."""
    part = account.queue()
    if part.works:
        return Level.OK, "The job queue takes jobs.", ""
    said = f"The job queue is {part.state} and {part.status}{_because(part.reason)}."
    name = account.config.job_queue
    return Level.FAILS, said, f"aws batch update-job-queue --job-queue {name} --state ENABLED, or cdk deploy."


def hosts(account: Account) -> _Result:
    """Check that the compute environments start hosts."""
    parts = account.environments()
    broken = [part for part in parts if not part.works]
    if not broken:
        return Level.OK, "Every compute environment is enabled and valid.", ""
    said = " ".join(f"{part.name} is {part.state} and {part.status}{_because(part.reason)}." for part in broken)
    fix = f"aws batch update-compute-environment --compute-environment {broken[0].name} --state ENABLED"
    if broken[0].status == "INVALID":
        fix = "Mend what the reason names, then cdk deploy"
    return Level.FAILS, said, f"{fix}."


def waiting_jobs(account: Account) -> _Result:
    """Find jobs that wait for a host for long, and tell a farm that is full from a host that cannot be had."""
    found = account.waiting()
    blocked = [job for job in found if job.reason and not job.reason.startswith(CAPACITY)]
    if blocked:
        fixes = dict.fromkeys(_fix_of(job.reason) for job in blocked)
        return Level.FAILS, " ".join(map(_waits, blocked)), f"{'; '.join(fixes)}. {_OR_STOP}"
    slow = [job for job in found if job.reason or job.minutes >= _LONG_MINUTES]
    if not slow:
        few = f"{_jobs(len(found))} for a host, none for long." if found else "No job waits for a host."
        return Level.OK, few, ""
    if account.config.endpoint_url:
        return Level.OK, f"{_jobs(len(slow))} until this machine has rendered others.", ""
    return _short_of_hosts(account, slow)


def _short_of_hosts(account: Account, slow: Sequence[Waiting]) -> _Result:
    """Say why there are no more hosts: the quota, the farm's own bound, or Spot itself."""
    config, hosts, quota = account.config, account.instances(), Farm(account.config).spot_quota()
    longest = max(job.minutes for job in slow)
    waits = f"{_jobs(len(slow))} for a host, up to {longest} min"
    used, on_spot = (sum(each.vcpus for each in some) for some in (hosts, [each for each in hosts if each.spot]))
    ask = "Ask for more in the Service Quotas console"
    if quota and quota[1] < config.job_vcpus:
        said = f"{waits}: `{quota[0]}` is {quota[1]:g} vCPUs, and a job takes {config.job_vcpus}."
        return Level.FAILS, said, f"{ask}; while they wait they cost nothing."
    if quota and hosts and on_spot + config.job_vcpus > quota[1]:
        said = f"{waits}, since the farm's hosts use {on_spot} of the {quota[1]:g} vCPUs of `{quota[0]}`"
        return Level.OK, f"{said}; they start as others end.", f"{ask} to render more at once."
    if hosts and used + config.job_vcpus > config.max_vcpus:
        said = f"{waits}, since the farm's hosts use {used} of its {config.max_vcpus} vCPUs (max_vcpus)"
        return Level.OK, f"{said}; they start as others end.", "Raise max_vcpus and cdk deploy to render more at once."
    if hosts:
        said = f"{waits}, and Spot has no more now than the {len(hosts)} hosts that run; they start as others end."
        return Level.OK, said, f"{_MORE_CAPACITY}, to render more at once."
    if not any(job.reason for job in slow):
        waits += ": Batch gives no reason, so Spot has no such host now, or other hosts of the account use the quota"
        return Level.FAILS, f"{waits}.", f"{_MORE_CAPACITY}. {_OR_STOP}"
    return Level.FAILS, " ".join(map(_waits, slow)), f"{_MORE_CAPACITY}. {_OR_STOP}"


def idle_hosts(account: Account) -> _Result:
    """Find hosts that run without a job, the bill that nobody expects."""
    found = account.instances()
    # The jobs are read last: one that arrives after the hosts were listed is then seen.
    if not found or account.has_live_job():
        return Level.OK, f"{len(found)} hosts run, and there are jobs." if found else "No host runs.", ""
    said = ", ".join(f"{each.id} ({each.size}, up for {each.minutes} min)" for each in found)
    command = _stop(account, [each.id for each in found])
    return (
        Level.COSTS,
        f"No job is there, and these hosts are billed: {said}.",
        f"Batch stops its hosts some minutes after the last job; if they are there in 15 minutes still: {command}",
    )


def stored(account: Account) -> _Result:
    """Count the stored bytes, which are billed by the month."""
    held = account.stored_bytes()
    gigabytes = sum(held.values()) / 1e9
    if account.config.endpoint_url:
        return Level.OK, f"{gigabytes:.3f} GB are kept on this machine, which costs nothing.", ""
    price, source = _GB_MONTH_USD, "us-east-1's price, since AWS tells none of this region"
    try:
        told = account.storage_price()
    except RenderError as error:
        source = f"us-east-1's price, since this region's was not told: {str(error).rstrip('.')}"
    else:
        if told is not None:
            price, source = told, f"the price of {account.config.region}"
    usd = gigabytes * price
    said = f"{gigabytes:.3f} GB are kept, about {usd:.2f} dollars a month at {price:g} per GB ({source})."
    if usd < _MUCH_USD:
        return Level.OK, said, ""
    return Level.COSTS, said, "Delete runs that you have fetched, or set results_expiry_days and run cdk deploy."


def local_blender(account: Account) -> _Result:
    """Compare the Blender here with the farm's, for which alone holds what it says of a file."""
    theirs = account.config.blender_version
    command = inspection.find_blender()
    here = inspection.blender_version(command) if command else None
    if here is None:
        return Level.UNCHECKED, "not checked: no Blender was found here, so nothing checks a .blend before upload.", ""
    said = f"Blender {here} is here, {theirs} on the farm."
    if here.split(".")[:2] == theirs.split(".")[:2]:
        return Level.OK, said, ""
    return (
        Level.OK,
        said,
        "Deploy the farm with your version (blender_version) when a file is refused or looks different.",
    )


def guard_alarm(account: Account) -> _Result:
    """Look for what the guard last told of hosts that ran without a job, and whether they run on."""
    try:
        alarm = account.last_alarm()
    except MissingError as error:
        return Level.UNCHECKED, f"not checked: {error}", ""
    if alarm is None:
        return Level.OK, "The guard's log holds no alarm.", ""
    at, words = alarm
    said = f"The guard's last alarm, {at:%Y-%m-%d %H:%M} UTC: {words.rstrip('.')}."
    if datetime.now(timezone.utc) - at > _RECENT:
        return Level.OK, said, ""
    named = set(_INSTANCE_ID.findall(words))
    left = [each.id for each in account.instances() if each.id in named]
    if not left:
        return Level.OK, f"{said} None of them runs any more.", ""
    if account.has_live_job():
        return Level.OK, f"{said} {', '.join(left)} run on, and there are jobs now.", ""
    return Level.COSTS, f"{said} Without a job, these run on: {', '.join(left)}.", f"Stop them: {_stop(account, left)}"


CHECKS: tuple[Callable[[Account], _Result], ...] = (
    version,
    credentials,
    stack,
    spot_quota,
    service_roles,
    image,
    queue,
    hosts,
    waiting_jobs,
    idle_hosts,
    stored,
    local_blender,
    guard_alarm,
)


_OR_STOP = "Or stop it with `render cancel ID`; while it waits it costs nothing."


def _jobs(count: int) -> str:
    return "1 job waits" if count == 1 else f"{count} jobs wait"


def _waits(job: Waiting) -> str:
    return f"{job.name} is RUNNABLE for {job.minutes} min: {job.reason.rstrip('.')}."


def _fix_of(reason: str) -> str:
    return next((fix for beginning, fix in _FIXES.items() if reason.startswith(beginning)), "Mend the cause")


def _stop(account: Account, ids: Sequence[str]) -> str:
    return f"aws ec2 terminate-instances --region {account.config.region} --instance-ids {' '.join(ids)}"


def _because(reason: str) -> str:
    return f" ({reason.rstrip('.')})" if reason else ""


def _not_local(why: str) -> _Result:
    return Level.UNCHECKED, f"not checked: the local farm {why}.", ""
