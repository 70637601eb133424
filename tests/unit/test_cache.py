"""The files that chunks of one host share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from render_worker import cache as caching
from render_worker.cache import Cache

CONTENT = b"content"
LARGE = 17 << 20


def fetching(fetched: list[str], digest: str, size: int = len(CONTENT)) -> Callable[[Path], None]:
    def fetch(part: Path) -> None:
        fetched.append(digest)
        with part.open("wb") as file:
            file.write(CONTENT)
            file.truncate(size)

    return fetch


def test_a_content_is_fetched_once_and_comes_to_each_chunk(tmp_path: Path) -> None:
    fetched: list[str] = []
    for chunk in ("a", "b"):
        Cache(tmp_path / "cache").place("d1", 7, tmp_path / chunk / "tex" / "wood.png", fetching(fetched, "d1"))
        assert (tmp_path / chunk / "tex" / "wood.png").read_bytes() == CONTENT
    assert fetched == ["d1"]


def test_chunks_that_want_the_same_files_in_another_order_do_not_wait_for_each_other(tmp_path: Path) -> None:
    fetched: list[str] = []
    both = threading.Barrier(2, timeout=20)
    placed: list[str] = []

    def chunk(name: str, digests: list[str]) -> None:
        cache = Cache(tmp_path / "cache")
        for digest in digests:
            cache.place(digest, 7, tmp_path / name / digest, fetching(fetched, digest))
            # Each now holds what the other wants next, and goes on holding it.
            both.wait()
        placed.append(name)
        both.wait()
        cache.close()

    orders = {"a": ["d1", "d2"], "b": ["d2", "d1"]}
    threads = [threading.Thread(target=chunk, args=item, daemon=True) for item in orders.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(placed) == ["a", "b"]
    assert sorted(fetched) == ["d1", "d2"]


def test_a_script_that_edits_a_small_file_edits_its_own_copy(tmp_path: Path) -> None:
    fetched: list[str] = []
    Cache(tmp_path / "cache").place("d1", 7, tmp_path / "a", fetching(fetched, "d1"))
    (tmp_path / "a").write_bytes(b"edited")
    Cache(tmp_path / "cache").place("d1", 7, tmp_path / "b", fetching(fetched, "d1"))
    assert (tmp_path / "b").read_bytes() == CONTENT


def test_a_large_file_is_shared_and_read_only(tmp_path: Path) -> None:
    Cache(tmp_path / "cache").place("d1", LARGE, tmp_path / "a", fetching([], "d1", LARGE))
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "a").stat().st_mode & 0o222 == 0


def test_a_fetch_that_fails_leaves_what_it_got_for_the_next(tmp_path: Path) -> None:
    def broken(part: Path) -> None:
        part.write_bytes(b"con")
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 -- the very one that was raised
        Cache(tmp_path / "cache").place("d1", 7, tmp_path / "a", broken)
    seen: list[bytes] = []

    def resumed(part: Path) -> None:
        seen.append(part.read_bytes())
        part.write_bytes(CONTENT)

    Cache(tmp_path / "cache").place("d1", 7, tmp_path / "a", resumed)
    assert seen == [b"con"]


def test_what_nobody_uses_makes_room_and_what_is_used_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, busy, new = Cache(tmp_path / "cache"), Cache(tmp_path / "cache"), Cache(tmp_path / "cache")
    old.place("old", 7, tmp_path / "a", fetching([], "old"))
    busy.place("busy", 7, tmp_path / "b", fetching([], "busy"))
    old.close()
    # A disk that is full for good: whatever can go, goes.
    monkeypatch.setattr(caching, "_ROOM_BYTES", 1 << 62)
    new.place("new", 7, tmp_path / "c", fetching([], "new"))
    assert not (tmp_path / "cache" / "old").exists()
    assert (tmp_path / "cache" / "busy").read_bytes() == CONTENT
    assert (tmp_path / "c").read_bytes() == CONTENT
