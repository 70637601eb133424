"""What files hold is remembered, and never wrongly."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from client import digests
from client.digests import Content, Digests
from client.errors import RenderError


@pytest.fixture
def old(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Make a file that was written an hour ago."""

    def make(name: str, content: bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content)
        os.utime(path, ns=(time.time_ns() - 3_600_000_000_000,) * 2)
        return path

    return make


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which files were read; and the clock stands two seconds after all of them were made."""
    found: list[str] = []
    real = digests._read

    def read(path: Path, told: Callable[[int], None]) -> Content:
        found.append(path.name)
        return real(path, told)

    monkeypatch.setattr(digests, "_read", read)
    late = time.time_ns() + 3_000_000_000
    monkeypatch.setattr("time.time_ns", lambda: late)
    return found


def test_an_unchanged_file_is_read_once(old: Callable[[str, bytes], Path], tmp_path: Path, reads: list[str]) -> None:
    path, heard = old("a.bin", b"content"), list[int]()
    memory = tmp_path / "memory"
    first = Digests(memory).of([path, path], heard.append)
    assert Digests(memory).of([path], heard.append) == first
    assert first == {path: Content(hashlib.sha256(b"content").hexdigest(), 7)}
    assert reads == ["a.bin"]
    assert heard == [7, 7], "what is remembered counts as read, for the progress"


@pytest.mark.parametrize("change", ["content", "time", "size"])
def test_a_file_that_changed_in_any_way_is_read_again(
    old: Callable[[str, bytes], Path], tmp_path: Path, reads: list[str], change: str
) -> None:
    path, memory = old("a.bin", b"content"), Digests(tmp_path / "memory")
    memory.of([path])
    state = path.stat()
    if change == "time":
        os.utime(path)
    else:
        path.write_bytes(b"another" if change == "content" else b"more of it")
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))  # as some programs do
    assert memory.of([path])[path].digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert len(reads) == 2


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    path, memory = tmp_path / "a.bin", Digests(tmp_path / "memory")
    path.write_bytes(b"one")
    memory.of([path])
    state = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert memory.of([path])[path].digest == hashlib.sha256(b"two").hexdigest()


def test_what_turned_out_wrong_is_forgotten(
    old: Callable[[str, bytes], Path], tmp_path: Path, reads: list[str]
) -> None:
    path, memory = old("a.bin", b"content"), Digests(tmp_path / "memory")
    memory.of([path])
    memory.forget([path])
    memory.of([path])
    assert len(reads) == 2


@pytest.mark.parametrize("damage", ["no database", "a folder"])
def test_without_a_memory_that_works_every_file_is_read(
    old: Callable[[str, bytes], Path], tmp_path: Path, reads: list[str], damage: str
) -> None:
    path, memory = old("a.bin", b"content"), tmp_path / "memory"
    memory.write_text("this is none") if damage == "no database" else memory.mkdir()
    for _ in range(2):
        assert Digests(memory).of([path])[path].size == 7
    assert len(reads) == 2


def test_a_file_that_vanished_is_named(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"gone\.bin cannot be read \(No such file or directory\): restore it"):
        Digests(tmp_path / "memory").of([tmp_path / "gone.bin"])
