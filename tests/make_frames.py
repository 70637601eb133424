"""Renders one small picture and saves it in every format of Blender's: `python make_frames.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bpy

FORMATS: dict[str, tuple[str, str, str]] = {
    "plain.png": ("PNG", "RGBA", "8"),
    "deep.png": ("PNG", "RGBA", "16"),
    "solid.png": ("PNG", "RGB", "8"),
    "grey.png": ("PNG", "BW", "16"),
    "plain.jpg": ("JPEG", "RGB", "8"),
    "plain.tif": ("TIFF", "RGBA", "8"),
    "deep.tif": ("TIFF", "RGBA", "16"),
    "plain.bmp": ("BMP", "RGB", "8"),
    "plain.tga": ("TARGA", "RGBA", "8"),
    "plain.rgb": ("IRIS", "RGBA", "8"),
    "plain.webp": ("WEBP", "RGBA", "8"),
    "plain.jp2": ("JPEG2000", "RGBA", "8"),
    "deep.jp2": ("JPEG2000", "RGBA", "16"),
    "light.hdr": ("HDR", "RGB", "32"),
    "light.dpx": ("DPX", "RGB", "16"),
    "light.cin": ("CINEON", "RGB", "10"),
    "half.exr": ("OPEN_EXR", "RGBA", "16"),
    "float.exr": ("OPEN_EXR", "RGB", "32"),
    "grey.exr": ("OPEN_EXR", "BW", "16"),
}


def scene_of_a_shot() -> Any:
    """Make an orange monkey in the sun before nothing."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 4, False
    scene.render.resolution_x, scene.render.resolution_y = 160, 90
    scene.render.film_transparent = True
    scene.view_settings.view_transform, scene.view_settings.look = "AgX", "None"
    bpy.ops.mesh.primitive_monkey_add(size=3)
    material = bpy.data.materials.new("orange")
    material.node_tree.nodes["Principled BSDF"].inputs["Base Color"].default_value = (0.8, 0.25, 0.05, 1)
    bpy.context.object.data.materials.append(material)
    for name, data, place, turn in (
        ("eye", bpy.data.cameras.new("lens"), (0, -8, 0), (1.5708, 0, 0)),
        ("sun", bpy.data.lights.new("sun", "SUN"), (0, -8, 8), (0.8, 0.4, 0)),
    ):
        made = bpy.data.objects.new(name, data)
        made.location, made.rotation_euler = place, turn
        scene.collection.objects.link(made)
    bpy.data.lights["sun"].energy = 8
    scene.camera = bpy.data.objects["eye"]
    return scene


def main(folder: Path) -> None:
    scene = scene_of_a_shot()
    settings = scene.render.image_settings
    bpy.ops.render.render()
    for name, (kind, mode, depth) in FORMATS.items():
        settings.file_format, settings.color_mode, settings.color_depth = kind, mode, depth
        bpy.data.images["Render Result"].save_render(str(folder / name), scene=scene)
    odd = bpy.data.images.new("odd", 5, 1, float_buffer=True)
    odd.pixels = [part for light in ("nan", "inf", "-inf", "-5", "0.18") for part in (*[float(light)] * 3, 1)]
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGB", "32"
    odd.save_render(str(folder / "odd.exr"), scene=scene)
    scene.view_layers[0].use_pass_z = True
    settings.media_type, settings.color_depth = "MULTI_LAYER_IMAGE", "16"
    for name, together in (("layers.exr", True), ("parts.exr", False)):
        settings.use_exr_interleave = together
        scene.render.filepath = str(folder / name)
        bpy.ops.render.render(write_still=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
