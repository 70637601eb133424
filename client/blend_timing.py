"""What runs inside Blender to time frames on this machine: prints a line of JSON behind a mark for each.

Started by client.timing as `blender -b --python blend_timing.py -- TASK`, or as `python blend_timing.py TASK` with
Blender as the module `bpy`. The frames are rendered as the worker renders them, and client.timing throws them away.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

# Blender's own Python does not know where this package lies.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from render_worker import scene as worker

MARK = "@timing "


def tell(**event: Any) -> None:
    """Print an event for client.timing, among all that Blender prints."""
    print(f"\n{MARK}{json.dumps(event)}", flush=True)


def best_device(scene: Any) -> str:
    """Use this machine's GPU where Cycles finds one, as a farm does, else its CPU; says which."""
    try:
        return worker.choose_device(scene, "gpu")
    except worker.SceneError:
        return worker.choose_device(scene, "cpu")


def time_frames(task: dict[str, Any]) -> None:
    """Render the task's frames into its folder; Python that the file holds does not run."""
    worker.open_blend(task["blend"], autoexec=False)
    scene = worker.chosen_scene(task["settings"]["scene"])
    worker.apply_settings(scene, task["settings"])
    tell(event="device", device=best_device(scene))
    folder = Path(task["folder"])
    worker.keep_outputs_inside(scene, folder)
    worker.render_frames(scene, task["frames"], folder, "any", tell)


if __name__ == "__main__":
    try:
        time_frames(json.loads(sys.argv[-1]))
    except worker.SceneError as error:
        tell(event="error", message=str(error))
    # Blender's own way out frees everything piece by piece and can crash doing so.
    os._exit(0)
