"""How AWS is reached, and what its refusals mean in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import boto3
import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.utils import parse_timestamp

from client.errors import RenderError, UnreachableError

_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?Z")
PARALLEL = 8
"""Requests under way at once."""
# What is put bears its SHA-256 or a CRC already; to sign it too would be to read it once more.
_S3: Any = {"payload_signing_enabled": False}
_RETRIES = Config(retries={"mode": "standard", "total_max_attempts": 6}, max_pool_connections=2 * PARALLEL, s3=_S3)
_LOCAL_RETRIES = Config(
    retries={"mode": "standard", "total_max_attempts": 2},
    max_pool_connections=2 * PARALLEL,
    s3=_S3,
    connect_timeout=5,
    proxies={},  # a proxy for the Internet does not know this machine
)

# Batch answers 50 calls a second to all clients of an account together; what botocore's own tries did not outlast.
# https://docs.aws.amazon.com/batch/latest/userguide/service_limits.html
_BUSY = {"RequestLimitExceeded", "SlowDown", "Throttling", "ThrottlingException", "TooManyRequestsException"}
_FAULT = 500
"""From this HTTP status on, AWS may have done what it was asked, or not: https://docs.aws.amazon.com/batch/latest/APIReference/CommonErrors.html"""
_MISSING = {"404", "ImageNotFoundException", "NoSuchEntity", "NoSuchKey"}
_MISSING |= {"RepositoryNotFoundException", "ResourceNotFoundException"}


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach an account: region and profile as the user named them, the endpoint for the local farm alone."""

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""

    def client(self, service: str, *, attempts: int | None = None) -> Any:
        """Make a client of an AWS service, with so many attempts at each call if given.

        Raises RenderError when the profile or the region cannot be found.
        """
        once = Config(retries={"mode": "standard", "total_max_attempts": attempts}) if attempts else Config()
        try:
            core = botocore.session.Session(profile=None if self.endpoint_url else self.profile or None)
            core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
            if self.endpoint_url:
                # The local farm asks for no credentials, and must never see the user's own.
                session = boto3.Session(
                    botocore_session=core,
                    aws_access_key_id="local",
                    aws_secret_access_key="local",  # noqa: S106 -- the emulator takes any
                    region_name=self.region,
                )
                return session.client(service, endpoint_url=self.endpoint_url, config=_LOCAL_RETRIES.merge(once))  # type: ignore[call-overload]
            session = boto3.Session(botocore_session=core, region_name=self.region or None)
            return session.client(service, config=_RETRIES.merge(once))  # type: ignore[call-overload]
        except exceptions.ProfileNotFound:
            raise RenderError(
                f"There is no AWS profile {self.profile!r}: run `aws configure --profile {self.profile}`, or name "
                "another with --profile."
            ) from None
        except exceptions.NoRegionError:
            raise RenderError("No AWS region is set: give --region, or run `aws configure`.") from None


def _moment(text: Any) -> datetime:
    """Read a time as AWS writes it; a listing has a thousand, and botocore's own way takes every form there is."""
    if isinstance(text, str) and _ISO.fullmatch(text):
        return datetime.fromisoformat(f"{text[:19]}+00:00")
    moment: datetime = parse_timestamp(text)
    return moment


class BusyError(UnreachableError):
    """AWS refused a call for now, and did nothing of it."""


class MissingError(RenderError):
    """AWS says that the thing itself is not there."""


@contextmanager
def told(what: str, connection: Connection, stack_name: str = "") -> Iterator[None]:
    """Turn what AWS, the network or the disk raise about a thing into one sentence."""
    try:
        yield
    except exceptions.ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in _MISSING or (code == "ValidationError" and "does not exist" in message):
            raise MissingError(f"AWS has no {what.removeprefix('the ')} (any more).") from None
        if code not in _BUSY and error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) >= _FAULT:
            raise UnreachableError(f"AWS has a fault of its own at {what} ({code}): try again in a minute.") from None
        if code in _BUSY:
            raise BusyError(f"AWS is busy and put off {what} ({code}): try again in a minute.") from None
        raise RenderError(_refusal(what, code, message, stack_name)) from None
    except (
        exceptions.NoCredentialsError,
        exceptions.PartialCredentialsError,
        exceptions.TokenRetrievalError,
        exceptions.SSOError,
    ) as error:
        raise RenderError(
            f"AWS needs credentials ({error}): run `aws configure` or `aws sso login`, or name a --profile."
        ) from None
    except (exceptions.HTTPClientError, exceptions.ConnectionError, exceptions.IncompleteReadError) as error:
        if connection.endpoint_url:
            raise UnreachableError(
                f"The local farm at {connection.endpoint_url} does not answer: start it with `render local up`."
            ) from None
        raise UnreachableError(f"AWS cannot be reached ({error}): check the network and try again.") from None
    except exceptions.BotoCoreError as error:
        raise RenderError(f"AWS could not be asked about {what}: {error}.") from None
    except OSError as error:
        raise RenderError(
            f"{what} could not be read or written ({error.strerror}): free the disk or mend its rights, then run the "
            "command again; nothing is lost."
        ) from None


def _refusal(what: str, code: str, message: str, stack_name: str) -> str:
    if code in {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId"}:
        return f"The AWS credentials have expired or are unknown ({code}): sign in again, e.g. with `aws sso login`."
    if code in {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "403"}:
        return f"AWS refused {what} ({message or code}): use a profile that may use the farm."
    if code == "NoSuchBucket" or (code == "ClientException" and "not" in message and "exist" in message):
        return (
            f"The farm {stack_name} has no such part any more ({message}): it was destroyed or deployed anew; run "
            f"`render configure --stackname {stack_name}`."
        )
    return f"AWS refused {what}: {message or code} ({code})."
