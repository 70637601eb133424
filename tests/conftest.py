"""Tiny files to render, made with real Blender."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def make_blend() -> Callable[..., Path]:
    """Make a tiny .blend with real Blender; options are those of make_blend.py."""

    def make(path: Path, **options: object) -> Path:
        script = Path(__file__).with_name("make_blend.py")
        words = [f"{name}={value}" for name, value in options.items()]
        subprocess.run([sys.executable, script, path, *words], check=True, capture_output=True)
        return path

    return make


@pytest.fixture(scope="session")
def shot(tmp_path_factory: pytest.TempPathFactory, make_blend: Callable[..., Path]) -> bytes:
    """Four tiny frames of a turning monkey."""
    return make_blend(tmp_path_factory.mktemp("shot") / "shot.blend").read_bytes()
