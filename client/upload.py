"""Uploading: each content that the farm does not have yet goes there once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from client.buckets import PART_BYTES, Buckets
from client.connection import PARALLEL
from render_worker.contract import PackageFile


def upload(buckets: Buckets, files: Sequence[tuple[Path, PackageFile]], told: Callable[[int, int], None]) -> int:
    """Send what is missing and give the number of bytes sent; `told` hears bytes on the farm and bytes in all.

    Small files go side by side, large ones one after the other, each in parts side by side. Raises RenderError at the
    first that cannot be sent; what was sent stays, and is not sent again.
    """
    contents = {file.digest: (path, file) for path, file in files}
    total = sum(file.size for _, file in contents.values())
    kept = buckets.kept({digest: file.size for digest, (_, file) in contents.items()})
    here = sum(file.size for digest, (_, file) in contents.items() if digest in kept)
    missing = [each for digest, each in contents.items() if digest not in kept]
    lock, there = threading.Lock(), here

    def sent(count: int) -> None:
        nonlocal there
        with lock:
            there += count
            told(there, total)

    told(there, total)
    small = [each for each in missing if each[1].size <= PART_BYTES]
    with ThreadPoolExecutor(PARALLEL) as pool:
        waiting = [pool.submit(buckets.send, path, file, sent) for path, file in small]
        try:
            for future in as_completed(waiting):
                future.result()
        finally:
            pool.shutdown(cancel_futures=True)
    for path, file in missing:
        if file.size > PART_BYTES:
            buckets.send(path, file, sent)
    return total - here
