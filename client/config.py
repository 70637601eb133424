"""`~/.renderconfig`: the farm that the client uses, as its stack's outputs told it."""

from __future__ import annotations

import configparser
import hashlib
import io
from dataclasses import dataclass, fields
from typing import Any

from client import disk, places
from client.errors import RenderError

_FARM = "farm"
_KNOWN = "known farms"


@dataclass(frozen=True, kw_only=True)
class FarmConfig:
    """One farm: a CloudFormation stack in an account and region, and the names of its parts.

    `stack_id` is CloudFormation's own; a stack that was deleted and created anew has another one.
    `endpoint_url` is set for the local farm alone. Input files are kept for `source_expiry_days`.
    """

    stack_name: str
    stack_id: str
    region: str
    profile: str = ""
    endpoint_url: str = ""
    source_bucket: str
    results_bucket: str
    job_queue: str
    job_definition: str
    log_group: str
    device: str
    blender_version: str
    contract_version: int
    source_expiry_days: int
    job_vcpus: int
    max_vcpus: int

    @property
    def tag(self) -> str:
        """Six letters that tell this stack from every other, an earlier one of the same name too."""
        return hashlib.sha256(self.stack_id.encode()).hexdigest()[:6]

    @property
    def account(self) -> str:
        """The account id within the stack's ARN."""
        return self.stack_id.split(":")[4]


def load() -> FarmConfig:
    """Read the farm in use. Raises RenderError when none was configured."""
    parser = _parser()
    if not parser.has_section(_FARM):
        raise RenderError(
            f"No farm is configured ({places.config_file()}): run `render configure --stackname NAME` for a farm in "
            "AWS, or `render local up` for one on this machine."
        )
    section = parser[_FARM]
    try:
        cells: dict[str, Any] = {
            item.name: int(section[item.name]) if item.type == "int" else section[item.name]
            for item in fields(FarmConfig)
        }
        return FarmConfig(**cells)
    except (KeyError, ValueError) as error:
        raise RenderError(
            f"{places.config_file()} cannot be used ({error}): run `render configure --stackname NAME` again."
        ) from None


def save(farm: FarmConfig) -> None:
    """Make this the farm in use and remember which stack its tag stands for."""
    parser = _parser()
    parser[_FARM] = {item.name: str(getattr(farm, item.name)) for item in fields(FarmConfig)}
    if not parser.has_section(_KNOWN):
        parser.add_section(_KNOWN)
    parser[_KNOWN][farm.tag] = _place(farm)
    path = places.config_file()
    text = io.StringIO()
    parser.write(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        disk.write(path, text.getvalue())
    except OSError as error:
        raise RenderError(f"{path} cannot be written ({error.strerror}): set RENDER_CONFIG to another place.") from None


def replaced_by(tag: str, farm: FarmConfig) -> bool:
    """Say whether the farm of that tag is gone because this one was deployed in its place, under its name."""
    return tag != farm.tag and _parser().get(_KNOWN, tag, fallback=None) == _place(farm)


def _place(farm: FarmConfig) -> str:
    # An account holds one stack of a name in a region at a time, so a new stack id there means that the old is gone.
    return f"{farm.account} {farm.region} {farm.stack_name} {'local' if farm.endpoint_url else 'aws'}"


def _parser() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    path = places.config_file()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        reason = str(error).splitlines()[0]
        raise RenderError(f"{path} is not a settings file ({reason}): delete it and configure again.") from None
    except OSError as error:
        raise RenderError(f"{path} cannot be read ({error.strerror}): set RENDER_CONFIG to another place.") from None
    return parser
