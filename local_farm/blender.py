"""Which Blender the local farm's workers run: the `bpy` module beside this Python, or the `blender` program."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from dataclasses import dataclass

from local_farm.errors import LocalFarmError

_VERSION = re.compile(r"Blender (\d+\.\d+\.\d+)")


@dataclass(frozen=True, kw_only=True)
class Blender:
    """One Blender: its version (`5.0.1`), and the path of the program or None for the module."""

    version: str
    program: str | None

    def __str__(self) -> str:
        return f"{'bpy' if self.program is None else 'blender'} {self.version}"


def find_blender() -> Blender:
    """Give the Blender of this machine; raises LocalFarmError, saying what to install, where there is none."""
    try:
        return Blender(version=importlib.metadata.version("bpy"), program=None)
    except importlib.metadata.PackageNotFoundError:
        pass
    program = shutil.which("blender")
    if program is None:
        raise LocalFarmError(
            "no Blender was found: run `pip install bpy==5.0.1` with Python 3.11, or install Blender from "
            "https://www.blender.org/download/ so that `blender` is on PATH"
        )
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise LocalFarmError(f"`{program} --version` failed, so install Blender anew: {error}") from None
    version = _VERSION.search(said)
    if version is None:
        raise LocalFarmError(f"`{program} --version` names no version, so install Blender anew")
    return Blender(version=version[1], program=program)
