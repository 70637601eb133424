"""A worker's output as a log stream, the way that the awslogs driver writes it to CloudWatch Logs."""

from __future__ import annotations

import codecs
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.logs.models import logs_backends

from local_farm.jobs import now_ms

MAX_EVENT_BYTES = 256 * 1024 - 26
"""Longest message that the awslogs driver puts into one event; a longer line goes on in the next event.

https://docs.docker.com/engine/logging/drivers/awslogs/
"""
MAX_STREAM_BYTES = 64 * 1024 * 1024
"""What one stream may hold: the emulator keeps it all in memory, and a worker may print without end."""


class LogGroupMissingError(Exception):
    """The log group that the job definition names is not there."""


class LogStream:
    """One attempt's stream; bytes go in as they come, one event a line comes out."""

    def __init__(self, *, region: str, group: str, stream: str) -> None:
        """Create the stream; raises LogGroupMissingError where its group is not there."""
        self._backend: Any = logs_backends[DEFAULT_ACCOUNT_ID][region]
        if group not in self._backend.groups:
            raise LogGroupMissingError(group)
        self._backend.create_log_stream(group, stream)
        self._group = group
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = ""
        self._room = MAX_STREAM_BYTES

    def write(self, output: bytes) -> None:
        """Put every line that is complete by now, in one call."""
        *lines, self._line = (self._line + self._decoder.decode(output)).split("\n")
        if len(self._line) > MAX_EVENT_BYTES:
            lines.append(self._line)
            self._line = ""
        self._put(lines)

    def close(self) -> None:
        """Put what is left of a last line without an end."""
        self._put([self._line + self._decoder.decode(b"", final=True)])

    def _put(self, lines: list[str]) -> None:
        messages = [message for line in lines for message in _messages(line)]
        if not messages or self._room <= 0:
            return
        self._room -= sum(len(message.encode()) for message in messages)
        if self._room <= 0:
            messages = [f"The local farm keeps no more than {MAX_STREAM_BYTES} bytes of one log stream."]
        at = now_ms()
        events = [{"timestamp": at, "message": message} for message in messages]
        # A group that was deleted meanwhile takes its streams with it; the worker goes on, as it does on AWS.
        if self._group in self._backend.groups and self._stream in self._backend.groups[self._group].streams:
            self._backend.put_log_events(self._group, self._stream, events)


def _messages(line: str) -> list[str]:
    if len(line) <= MAX_EVENT_BYTES // 4:
        return [line] if line else []
    encoded = line.encode()
    messages = []
    while encoded:
        # Ignoring the broken end of a cut never splits a character.
        message = encoded[:MAX_EVENT_BYTES].decode(errors="ignore")
        messages.append(message)
        encoded = encoded[len(message.encode()) :]
    return messages
