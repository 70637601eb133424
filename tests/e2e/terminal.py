"""A terminal in which a user types a command: a pseudo-terminal whose other end the test reads."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from contextlib import suppress
from typing import NoReturn

from tests.e2e.machine import RENDER, Machine

CTRL_C = b"\x03"
_PATIENCE_SECONDS = 120


class Terminal:
    """One `render ...` in a terminal of its own."""

    def __init__(self, machine: Machine, *arguments: str, columns: int = 80, lines: int = 24) -> None:
        self.screen = ""
        """All that was written to it, with what steers it."""
        self._pid, self._handle = pty.fork()
        if self._pid == 0:
            _become(machine, arguments)
        fcntl.ioctl(self._handle, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def wait_for(self, text: str) -> None:
        """Read on until the text is there."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while text not in self.screen:
            assert time.monotonic() < until, self.screen
            assert self._read(), self.screen

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._handle, keys)

    def ended(self) -> int:
        """Wait for the command's end and give its exit code."""
        while self._read():
            pass
        os.close(self._handle)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _read(self) -> bool:
        ready, _, _ = select.select([self._handle], [], [], _PATIENCE_SECONDS)
        assert ready, f"nothing more came: {self.screen}"
        with suppress(OSError):  # Linux's end of a pseudo-terminal
            self.screen += (read := os.read(self._handle, 4096)).decode(errors="replace")
            return bool(read)
        return False


def _become(machine: Machine, arguments: tuple[str, ...]) -> NoReturn:
    # A test run in the background of a shell would have the command ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(machine.folder)
    environment = {**machine.environment(), "TERM": "xterm-256color"}
    os.execve(RENDER, [str(RENDER), *arguments], environment)  # noqa: S606 -- there is no shell by intention
