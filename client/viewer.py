"""The system's own viewer of pictures."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def view(path: Path) -> bool:
    """Open a file as a double click would, without waiting; tells whether this machine has a viewer and a display."""
    if sys.platform == "win32":
        try:
            os.startfile(path)  # noqa: S606 -- what is opened is named as a picture (client/pictures.py)
        except OSError:
            return False
        return True
    command = "open" if sys.platform == "darwin" else "xdg-open"
    display = sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not display or not shutil.which(command):
        return False
    subprocess.Popen(
        [command, str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    return True
