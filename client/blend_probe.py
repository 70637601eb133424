"""What runs inside Blender to see what a `.blend` holds: prints one line of JSON behind a mark.

Started by client.inspection as `blender -b --python blend_probe.py -- FILE`, or as `python blend_probe.py FILE` with
Blender as the module `bpy`. Of ours it imports only what needs the standard library and Blender alone, since Blender's
own Python has nothing else.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import bpy

# Blender's own Python does not know where this package lies.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from render_worker.references import UNNEEDED, Reference, absolute, references

MARK = "@blend "


def scene_facts(scene: Any) -> dict[str, Any]:
    """Say what a render of this scene would be."""
    render = scene.render
    if render.engine == "CYCLES":
        samples = scene.cycles.samples
    elif "EEVEE" in render.engine:
        samples = scene.eevee.taa_render_samples
    else:
        samples = None
    return {
        "name": scene.name,
        "camera": scene.camera.name if scene.camera else None,
        "cameras": [found.name for found in scene.objects if found.type == "CAMERA"],
        "marker_cameras": any(marker.camera for marker in scene.timeline_markers),
        "startframe": scene.frame_start,
        "endframe": scene.frame_end,
        "step": scene.frame_step,
        "fps": render.fps / round(render.fps_base, 6),  # Blender keeps 1.001 as 1.00100004673
        "xres": render.resolution_x,
        "yres": render.resolution_y,
        "percentage": render.resolution_percentage,
        "engine": render.engine,
        "samples": samples,
        "format": render.image_settings.file_format,
        "is_movie": render.is_movie_format,
    }


def probe(path: str) -> dict[str, Any]:
    """Open the file without running Python that it holds and say what it holds."""
    bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=False)
    return {
        "blender": bpy.app.version[:2],
        "saved_by": bpy.data.version[:2],
        "active_scene": bpy.context.scene.name,
        "scenes": [scene_facts(scene) for scene in bpy.data.scenes],
        "references": [reference_facts(found) for found in references() if found.kind != UNNEEDED],
    }


def reference_facts(found: Reference) -> dict[str, Any]:
    """Say what the file, or a library that it links, refers to."""
    return {
        "text": found.text,
        "path": found.path,
        "kind": found.kind,
        "owner": found.owner or (absolute(found.library.filepath) if found.library else None),
        "numbers": found.numbers,
        "tiles": found.tiles,
    }


def main() -> None:
    """Print what the file named last on the command line holds, or why it cannot be opened."""
    try:
        facts = probe(sys.argv[-1])
    except RuntimeError as error:
        facts = {"error": re.sub(r"\s*\n\s*", "; ", str(error).replace("Error: ", "").strip()).rstrip(".;")}
    print(f"\n{MARK}{json.dumps(facts)}", flush=True)
    # Blender's own way out frees everything piece by piece and can crash doing so.
    os._exit(0)


if __name__ == "__main__":
    main()
