"""Frame ranges, and how a range is cut into chunks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from client.errors import RenderError
from render_worker.contract import MAX_ARRAY_SIZE, MAX_FRAMES

DEFAULT_BREAKSIZE = 10


def frame_range(start: int, end: int, step: int) -> list[int]:
    """List the frames from start to end, both included. Raises RenderError for a range that holds no frame."""
    if step < 1:
        raise RenderError(f"The step {step} is not 1 or more: give --step a positive number.")
    if end < start:
        raise RenderError(f"The end frame {end} is before the start frame {start}: give an end of {start} or more.")
    if (end - start) // step >= MAX_FRAMES:
        raise RenderError(f"Frames {start} to {end} are more than {MAX_FRAMES:,}: split them into several renders.")
    return list(range(start, end + 1, step))


def chunks(frames: Sequence[int], breaksize: int, review: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Cut frames into chunks of at most `breaksize`, as equal as can be: no host starts for a stub.

    With `review`, the first chunks hold every `review`-th frame, so that the whole shot is seen early: Batch starts an
    array's children in the order of their index. Raises RenderError for more chunks than an array job has children.
    """
    if breaksize < 1:
        raise RenderError(f"The breaksize {breaksize} is not 1 or more: give the number of frames of a chunk.")
    first = frames[::review] if review else ()
    seen = set(first)
    cut = (*_balanced(first, breaksize), *_balanced([frame for frame in frames if frame not in seen], breaksize))
    if len(cut) > MAX_ARRAY_SIZE:
        raise RenderError(
            f"{len(frames):,} frames in chunks of {breaksize} are {len(cut):,} jobs, and AWS Batch takes at most "
            f"{MAX_ARRAY_SIZE:,}: give a --breaksize of {least_breaksize(len(frames), review)} or more."
        )
    return cut


def least_breaksize(count: int, review: int | None = None) -> int:
    """Give the smallest breaksize that makes no more chunks of `count` frames than an array job has children."""
    return max(1, -(-count // (MAX_ARRAY_SIZE - (1 if review else 0))))


def _balanced(frames: Sequence[int], breaksize: int) -> tuple[tuple[int, ...], ...]:
    count = -(-len(frames) // breaksize)
    bounds = [len(frames) * index // count for index in range(count + 1)] if count else []
    return tuple(tuple(frames[start:end]) for start, end in itertools.pairwise(bounds))


def parsed(text: str) -> set[int]:
    """Read frames as people write them: `3,7-9`. Raises RenderError for anything else."""
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        if not first.isdecimal() or not (last or first).isdecimal():
            raise RenderError(f"The frames {text!r} cannot be read: write them like 3,7-9.")
        found.update(frame_range(int(first), int(last or first), 1))
    return found


def spelled(frames: Iterable[int]) -> str:
    """Write frames as people do: `1-4, 7`."""
    parts: list[list[int]] = []
    for frame in sorted(frames):
        if parts and frame == parts[-1][-1] + 1:
            parts[-1][1:] = [frame]
        else:
            parts.append([frame])
    return ", ".join("-".join(map(str, part)) for part in parts)
