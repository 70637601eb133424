"""The system's own viewer of pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def view(path: Path) -> None:
    """Open a file as a double click would, without waiting; does nothing where there is no viewer or no display."""
    with suppress(OSError):
        if sys.platform == "win32":
            os.startfile(path)  # noqa: S606 -- what is opened is named as a picture (picture.py)
            return
        command = "open" if sys.platform == "darwin" else "xdg-open"
        display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
        if display and shutil.which(command):
            nowhere = subprocess.DEVNULL
            subprocess.Popen([command, path], stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
