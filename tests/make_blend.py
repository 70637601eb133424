"""Makes a tiny .blend to render: `python make_blend.py FILE [KEY=VALUE]...`.

With the program instead of the module: `blender --background --python make_blend.py -- FILE [KEY=VALUE]...`.
"""

from __future__ import annotations

import sys

import bpy


def main(path: str, options: dict[str, str]) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.name = options.get("scene", "Shot")
    scene.render.engine = options.get("engine", "CYCLES")
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = 32, 24
    scene.frame_start, scene.frame_end = 1, int(options.get("end", "4"))
    scene.render.fps, scene.render.fps_base = int(options.get("fps", "24")), float(options.get("fps_base", "1"))
    scene.render.filepath = "/nowhere/on/this/machine/shot_"
    if "movie" in options:
        scene.render.image_settings.media_type = "VIDEO"
        scene.render.image_settings.file_format = "FFMPEG"
    bpy.ops.mesh.primitive_monkey_add()
    monkey = bpy.context.object
    monkey.rotation_euler.z = 0
    monkey.keyframe_insert("rotation_euler", frame=1)
    monkey.rotation_euler.z = 3
    monkey.keyframe_insert("rotation_euler", frame=4)
    if "texture" in options:
        image = bpy.data.images.new("texture", 4, 4)
        image.source = "FILE"
        image.filepath = options["texture"]
        material = bpy.data.materials.new("wood")
        material.node_tree.nodes.new("ShaderNodeTexImage").image = image
        monkey.data.materials.append(material)
    if "camera" not in options or options["camera"]:
        camera = bpy.data.objects.new(options.get("camera", "Eye"), bpy.data.cameras.new("lens"))
        scene.collection.objects.link(camera)
        camera.location, camera.rotation_euler = (0, -6, 0), (1.5708, 0, 0)
        scene.camera = camera
    scene.world = bpy.data.worlds.new("World")
    bpy.ops.wm.save_as_mainfile(filepath=path, compress="compress" in options)


if __name__ == "__main__":
    file, *words = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    main(file, dict(word.split("=", 1) for word in words))
