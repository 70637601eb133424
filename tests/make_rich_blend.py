"""Makes a .blend that uses what artists use: `python make_rich_blend.py FILE KIND`; KIND names what is in it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import bpy


def base() -> Any:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = 32, 24
    scene.frame_start, scene.frame_end = 1, 4
    scene.render.filepath = "/nowhere/on/this/machine/"
    bpy.ops.mesh.primitive_monkey_add()
    scene.world = bpy.data.worlds.new("World")
    scene.camera = camera(scene, "Eye", -6)
    return scene


def camera(scene: Any, name: str, distance: float) -> Any:
    made = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    scene.collection.objects.link(made)
    made.location, made.rotation_euler = (0, distance, 0), (1.5708, 0, 0)
    return made


def markers(scene: Any) -> None:
    """A marker changes the camera at frame 3."""
    scene.timeline_markers.new("near", frame=1).camera = scene.camera
    scene.timeline_markers.new("far", frame=3).camera = camera(scene, "Far", -30)


def nodes(scene: Any) -> None:
    """A file-output node that would write to an absolute path, with a name that would leave its folder."""
    tree = bpy.data.node_groups.new("compositor", "CompositorNodeTree")
    scene.compositing_node_group = tree
    layers = tree.nodes.new("CompositorNodeRLayers")
    group_out = tree.nodes.new("NodeGroupOutput")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    tree.links.new(layers.outputs["Image"], group_out.inputs[0])
    output = tree.nodes.new("CompositorNodeOutputFile")
    output.name = "../Beauty"
    output.directory = str(Path(sys.argv[1]).parent / "outside_the_farm")
    output.file_name = "../../pass_"
    output.format.media_type = "IMAGE"
    output.format.file_format = "PNG"
    output.file_output_items.new("RGBA", "beauty")
    tree.links.new(layers.outputs["Image"], output.inputs[0])


def stereo(scene: Any) -> None:
    """Two views, a file for each."""
    scene.render.use_multiview = True
    scene.render.image_settings.views_format = "INDIVIDUAL"


def multilayer(scene: Any) -> None:
    """A multilayer EXR with two view layers and half floats."""
    scene.view_layers.new("Second")
    scene.render.image_settings.media_type = "MULTI_LAYER_IMAGE"
    scene.render.image_settings.file_format = "OPEN_EXR_MULTILAYER"
    scene.render.image_settings.color_depth = "16"


def deep(scene: Any) -> None:
    """Sixteen bits a channel."""
    scene.render.image_settings.color_depth = "16"


def script(scene: Any) -> None:
    """A script that runs when the file is opened, if it may: it makes the picture twice as wide."""
    text = bpy.data.texts.new("wide.py")
    text.write("import bpy\nbpy.context.scene.render.resolution_x = 64\n")
    text.use_module = True


def pink(scene: Any) -> None:
    """A texture that is not there."""
    image = bpy.data.images.new("wood", 4, 4)
    image.source = "FILE"
    image.filepath = "//tex/wood.png"
    material = bpy.data.materials.new("pink")
    material.use_nodes = True
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    material.node_tree.links.new(node.outputs[0], material.node_tree.nodes["Principled BSDF"].inputs[0])
    scene.objects[0].data.materials.append(material)


def workbench(scene: Any) -> None:
    """The engine of the viewport."""
    scene.render.engine = "BLENDER_WORKBENCH"


def eevee(scene: Any) -> None:
    """The rasterizer, as small as can be, since software renders it where there is no GPU."""
    scene.render.engine = "BLENDER_EEVEE"
    scene.eevee.taa_render_samples = 1
    scene.render.resolution_x, scene.render.resolution_y = 16, 12


if __name__ == "__main__":
    made = base()
    globals()[sys.argv[2]](made)
    bpy.ops.wm.save_as_mainfile(filepath=sys.argv[1])
