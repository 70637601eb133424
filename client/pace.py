"""How long a chunk should be: about a quarter of an hour, by what frames took in earlier runs.

Short enough that little waits for the last chunk, long enough that starting Blender and loading the scene are nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from client import frames
from client.jobfile import Render

CHUNK_SECONDS = 15 * 60


def breaksize(render: Render, renders: Sequence[Render], count: int) -> int:
    """Give the frames of a chunk for a render of `count` frames: what its row says, or what was measured suggests.

    Without a measurement, `auto` means the default.
    """
    if not isinstance(render.breaksize, str):
        return render.breaksize or frames.DEFAULT_BREAKSIZE
    measured = seconds_a_frame(render, renders)
    wanted = round(CHUNK_SECONDS / measured) if measured else frames.DEFAULT_BREAKSIZE
    return max(1, wanted, frames.least_breaksize(count, render.review))


def seconds_a_frame(render: Render, renders: Sequence[Render]) -> float | None:
    """Give what a frame of the render should take on the farm: as in its own last run, else in the newest of its scene.

    Another resolution or number of samples is allowed for in proportion, as Cycles' time goes. None where no run of
    the file was measured.
    """
    alike = [other for other in renders if other.blend == render.blend and other.scene == render.scene]
    measured = [other for other in alike if other.render_seconds and other.frames_done]
    if not measured:
        return None
    latest = max(measured, key=lambda other: (other.id == render.id, other.submitted_at))
    return latest.render_seconds / latest.frames_done * _work(render) / _work(latest)


def _work(render: Render) -> float:
    pixels = (render.xres or 1) * (render.yres or 1) * (render.percentage or 100) ** 2
    return pixels * (render.samples or 1)
