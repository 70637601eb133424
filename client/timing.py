"""How long frames of a render take on this machine, by rendering them here and throwing them away."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from client import inspection
from client.errors import RenderError
from client.jobfile import Render
from render_worker.contract import Settings

MARK = "@timing "
_SCRIPT = Path(__file__).with_name("blend_timing.py")


def time_here(
    render: Render, frames: Sequence[int], settings: Settings, say: Callable[[str], None]
) -> tuple[list[float], str]:
    """Render frames with the Blender of this machine and give the seconds of each, and what rendered them.

    `say` hears how far it is. Raises RenderError where there is no Blender, or it cannot render the scene.
    """
    blender = inspection.find_blender()
    if blender is None:
        raise RenderError("No Blender was found on this machine to render with: install one, or leave out --here.")
    say(f"{render.label}: rendering {len(frames)} {'frames' if len(frames) > 1 else 'frame'} here; nothing is kept")
    device, seconds = "", list[float]()
    with tempfile.TemporaryDirectory(prefix="render-estimate-") as folder:
        task = {"blend": str(render.blend), "frames": [*frames], "settings": asdict(settings), "folder": folder}
        separator = ["--"] if len(blender) > 1 else []
        for event in _events([*blender, str(_SCRIPT), *separator, json.dumps(task)]):
            if event["event"] == "error":
                raise RenderError(f"Blender here cannot render it: {event['message']}.")
            if event["event"] == "device":
                device = event["device"]
            else:
                seconds.append(event["seconds"])
                left = len(frames) - len(seconds)
                about = f"; about {left * sum(seconds) / len(seconds):.0f} s left" if left else ""
                say(f"{render.label}: frame {event['frame']} took {event['seconds']:.1f} s{about}")
    if len(seconds) < len(frames):
        raise RenderError(
            f"Blender ended before frame {frames[len(seconds)]} was rendered here: leave out --here, or open the file "
            "in Blender and render that frame to see why."
        )
    return seconds, device


def _events(command: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Run Blender and give what the script in it tells; a process of its own, which ends with us."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise RenderError(f"Blender cannot be started ({command[0]}: {error.strerror}).") from None
    try:
        with process:
            for line in process.stdout or ():
                if line.startswith(MARK):
                    yield json.loads(line.removeprefix(MARK))
    finally:
        process.kill()
