"""Where things are on this machine."""

from __future__ import annotations

import os
from pathlib import Path


def render_home() -> Path:
    """Give `~/rendering`, or what RENDER_HOME names."""
    return Path(os.environ.get("RENDER_HOME") or Path.home() / "rendering").expanduser().absolute()


def config_file() -> Path:
    """Give `~/.renderconfig`, or what RENDER_CONFIG names."""
    return Path(os.environ.get("RENDER_CONFIG") or Path.home() / ".renderconfig").expanduser().absolute()


def finished_renders() -> Path:
    """Give the folder that holds a folder of frames for each render."""
    return render_home() / "finished_renders"


def digests_file() -> Path:
    """Give the file that remembers what files hold (client/digests.py)."""
    return render_home() / ".digests.sqlite"
