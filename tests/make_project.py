"""Makes a project whose .blend uses every kind of file: `python make_project.py FOLDER SPELLING`.

FOLDER/shots/shot.blend refers to what lies in FOLDER/assets, by relative or absolute paths as SPELLING says. Each kind
lights a column of its own in the picture, from left to right in the order of COLUMNS.
"""

from __future__ import annotations

import math
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bpy

sys.path += map(str, Path(bpy.utils.system_resource("PYTHON")).glob("lib/python*/site-packages"))

SIZE = 8
"""Pixels of a column, which is as high as it is wide and one unit of Blender's."""
FRAME = 2
"""What the local render and the worker render: what moves differs from frame 1."""


def new_file(path: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.ops.wm.save_as_mainfile(filepath=str(path))


def picture(path: Path, *colour: float) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = bpy.data.images.new("made", 4, 4)
    image.generated_color = (*colour, 1)
    image.filepath_raw, image.file_format = str(path), "PNG"
    image.save()
    bpy.data.images.remove(image)
    return path


def shining(name: str, *colour: float) -> tuple[Any, Any]:
    """Make a material that shines, and give it with its node that does."""
    material = bpy.data.materials.new(name)
    nodes = material.node_tree.nodes
    nodes.clear()
    emission, output = nodes.new("ShaderNodeEmission"), nodes.new("ShaderNodeOutputMaterial")
    emission.inputs["Color"].default_value = (*(colour or (1, 1, 1)), 1)
    material.node_tree.links.new(emission.outputs[0], output.inputs["Surface"])
    return material, emission


def textured(name: str, image: Any) -> tuple[Any, Any]:
    material, emission = shining(name)
    node = material.node_tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    material.node_tree.links.new(node.outputs[0], emission.inputs["Color"])
    return material, node


def plane(x: float, material: Any) -> Any:
    bpy.ops.mesh.primitive_plane_add(size=0.9, location=(x, 0, 0), rotation=(math.pi / 2, 0, 0))
    made = bpy.context.object
    made.data.materials.append(material)
    return made


class Project:
    """The assets, and the .blend that is open."""

    def __init__(self, folder: Path, spelling: str) -> None:
        self.assets, self.absolute = folder / "assets", spelling == "absolute"

    def spell(self, path: Path) -> str:
        return str(path) if self.absolute else str(bpy.path.relpath(str(path)))

    def library(self, x: float) -> None:
        """A library that links a material from another one, which has a texture beside it."""
        scene_file, outer, inner = bpy.data.filepath, self.assets / "libs/outer.blend", self.assets / "libs/in/in.blend"
        bpy.ops.wm.save_mainfile()
        picture(self.assets / "libs/in/tex/green.png", 0, 1, 0)
        new_file(inner)
        material, _ = textured("inner", bpy.data.images.load("//tex/green.png"))
        material.use_fake_user = True
        bpy.ops.wm.save_mainfile()
        new_file(outer)
        with bpy.data.libraries.load(str(inner), link=True, relative=True) as (_, wanted):
            wanted.materials = ["inner"]
        plane(0, bpy.data.materials["inner"]).name = "Thing"
        bpy.ops.wm.save_mainfile()
        bpy.ops.wm.open_mainfile(filepath=scene_file)
        with bpy.data.libraries.load(str(outer), link=True, relative=not self.absolute) as (_, wanted):
            wanted.objects = ["Thing"]
        scene = bpy.context.scene
        linked = bpy.data.objects["Thing"]
        scene.collection.objects.link(linked)
        moved = linked.override_create(remap_local_usages=True)
        moved.location = (x, 0, 0)
        local = bpy.data.objects.new("local", linked.data)
        scene.collection.objects.link(local)
        local.location, local.rotation_euler, local.scale = (x, -1, 0.3), linked.rotation_euler, (1, 0.2, 1)
        local.material_slots[0].link = "OBJECT"
        local.material_slots[0].material = shining("own", 1, 0, 0)[0]

    def sequence(self, x: float) -> None:
        for number in range(5, 10):
            picture(self.assets / f"seq/a_{number:04}.png", number / 10, 0, 1 - number / 10)
        image = bpy.data.images.load(self.spell(self.assets / "seq/a_0005.png"))
        image.source = "SEQUENCE"
        material, node = textured("sequence", image)
        node.image_user.frame_offset, node.image_user.frame_duration = 5, 3
        node.image_user.use_auto_refresh = True
        plane(x, material)

    def tiles(self, x: float) -> None:
        for number, colour in ((1001, (1, 1, 0)), (1002, (0, 1, 1))):
            picture(self.assets / f"udim/wood.{number}.png", *colour)
        image = bpy.data.images.load(self.spell(self.assets / "udim/wood.1001.png"))
        image.source = "TILED"
        image.filepath = self.spell(self.assets / "udim/wood.<UDIM>.png")
        if len(image.tiles) < 2:
            image.tiles.new(1002)
        made = plane(x, textured("tiles", image)[0])
        for corner in made.data.uv_layers[0].data:
            corner.uv[0] *= 2

    def font(self, x: float) -> None:
        source = next(Path(bpy.utils.system_resource("DATAFILES")).glob("fonts/*Mono*"))
        (self.assets / "fonts").mkdir()
        shutil.copy(source, self.assets / "fonts")
        curve = bpy.data.curves.new("text", "FONT")
        curve.body, curve.size, curve.font = (
            "W",
            1.2,
            bpy.data.fonts.load(self.spell(self.assets / "fonts" / source.name)),
        )
        curve.materials.append(shining("text")[0])
        made = bpy.data.objects.new("text", curve)
        bpy.context.collection.objects.link(made)
        made.location, made.rotation_euler = (x - 0.4, 0, -0.4), (math.pi / 2, 0, 0)

    def alembic(self, x: float) -> None:
        self.moving(x)
        path = self.assets / "caches/thing.abc"
        path.parent.mkdir(exist_ok=True)
        bpy.ops.wm.alembic_export(filepath=str(path), selected=True, start=1, end=3)
        self.cached("abc", bpy.ops.wm.alembic_import, path)

    def usd(self, x: float) -> None:
        """A USD file that is composed of another one."""
        self.moving(x)
        path = self.assets / "caches/layers/thing.usdc"
        path.parent.mkdir(parents=True, exist_ok=True)
        bpy.ops.wm.usd_export(
            filepath=str(path), selected_objects_only=True, export_animation=True, export_shapekeys=False
        )
        top = self.assets / "caches/top.usda"
        top.write_text(
            '#usda 1.0\n(\n    startTimeCode = 1\n    endTimeCode = 4\n    upAxis = "Z"\n'
            "    subLayers = [@./layers/thing.usdc@]\n)\n"
        )
        self.cached("usd", bpy.ops.wm.usd_import, top)

    def moving(self, x: float) -> None:
        made = plane(x, shining("moving")[0])
        made.shape_key_add(name="Basis")
        key = made.shape_key_add(name="small")
        for point in key.data:
            point.co *= 0.5
        key.value = 0
        key.keyframe_insert("value", frame=1)
        key.value = 1
        key.keyframe_insert("value", frame=3)

    def cached(self, name: str, load: Callable[..., Any], path: Path) -> None:
        bpy.data.objects.remove(bpy.context.object)
        load(filepath=str(path))
        bpy.context.scene.frame_start, bpy.context.scene.frame_end = 1, 4
        for cache in bpy.data.cache_files:
            if cache.filepath == str(path) or Path(bpy.path.abspath(cache.filepath)) == path:
                cache.filepath = self.spell(path)
        for made in bpy.context.selected_objects:
            if made.type == "MESH":
                made.data.materials.clear()
                made.data.materials.append(shining(name, 1, 0.5, 0)[0])

    def volume(self, x: float) -> None:
        import numpy as np  # noqa: PLC0415
        import openvdb  # noqa: PLC0415

        for number in range(1, 5):
            grid = openvdb.FloatGrid()
            grid.name = "density"
            grid.copyFromArray(np.full((4, 4, number * 2), 5.0, dtype=np.float32))
            grid.transform = openvdb.createLinearTransform(voxelSize=0.1)
            (self.assets / "smoke").mkdir(exist_ok=True)
            openvdb.write(str(self.assets / f"smoke/smoke_{number:04}.vdb"), grid)
        data = bpy.data.volumes.new("smoke")
        data.filepath = self.spell(self.assets / "smoke/smoke_0001.vdb")
        data.is_sequence, data.frame_duration, data.frame_start = True, 3, 1
        material = bpy.data.materials.new("smoke")
        nodes = material.node_tree.nodes
        nodes.clear()
        shader, output = nodes.new("ShaderNodeVolumePrincipled"), nodes.new("ShaderNodeOutputMaterial")
        shader.inputs["Emission Strength"].default_value = 2
        material.node_tree.links.new(shader.outputs[0], output.inputs["Volume"])
        data.materials.append(material)
        made = bpy.data.objects.new("smoke", data)
        bpy.context.collection.objects.link(made)
        made.location = (x - 0.2, 0, -0.4)

    def imported(self, x: float) -> None:
        """What Geometry Nodes import: the path of one is set in the node, of the other in the modifier."""
        (self.assets / "models").mkdir()
        for name, height in (("low", 0.3), ("high", 0.7)):
            (self.assets / f"models/{name}.obj").write_text(
                f"v -0.4 0 {height}\nv 0.4 0 {height}\nv 0.4 0 {height - 0.2}\nv -0.4 0 {height - 0.2}\nf 1 2 3 4\n"
            )
        tree = bpy.data.node_groups.new("import", "GeometryNodeTree")
        socket = tree.interface.new_socket("Path", in_out="INPUT", socket_type="NodeSocketString")
        socket.subtype = "FILE_PATH"
        tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        given, out = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
        join, paint = tree.nodes.new("GeometryNodeJoinGeometry"), tree.nodes.new("GeometryNodeSetMaterial")
        paint.inputs["Material"].default_value = shining("import", 0.2, 0.2, 1)[0]
        for index in range(2):
            node = tree.nodes.new("GeometryNodeImportOBJ")
            real = tree.nodes.new("GeometryNodeRealizeInstances")
            tree.links.new(node.outputs[0], real.inputs[0])
            tree.links.new(real.outputs[0], join.inputs[0])
            if index:
                tree.links.new(given.outputs[0], node.inputs[0])
            else:
                node.inputs[0].default_value = self.spell(self.assets / "models/low.obj")
        tree.links.new(join.outputs[0], paint.inputs["Geometry"])
        tree.links.new(paint.outputs[0], out.inputs[0])
        made = plane(x, shining("unseen")[0])
        made.rotation_euler, made.location = (0, 0, 0), (x, 0, -0.5)
        modifier = made.modifiers.new("import", "NODES")
        modifier.node_group = tree
        modifier[socket.identifier] = self.spell(self.assets / "models/high.obj")

    def baked(self, x: float) -> None:
        """A bake node whose bake is on disk: what it was made from is gone."""
        tree = bpy.data.node_groups.new("bake", "GeometryNodeTree")
        tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
        tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        given, out = tree.nodes.new("NodeGroupInput"), tree.nodes.new("NodeGroupOutput")
        bake = tree.nodes.new("GeometryNodeBake")
        bake.bake_items.new("GEOMETRY", "Geometry")
        paint = tree.nodes.new("GeometryNodeSetMaterial")
        paint.inputs["Material"].default_value = shining("bake", 1, 0, 1)[0]
        tree.links.new(given.outputs[0], bake.inputs[0])
        tree.links.new(bake.outputs[0], paint.inputs["Geometry"])
        tree.links.new(paint.outputs[0], out.inputs[0])
        made = plane(x, shining("unseen")[0])
        modifier = made.modifiers.new("bake", "NODES")
        modifier.node_group = tree
        modifier.bake_target = "DISK"
        modifier.bake_directory = self.spell(self.assets / "bakes")
        bpy.context.view_layer.update()
        bpy.ops.object.geometry_node_bake_single(
            session_uid=made.session_uid, modifier_name=modifier.name, bake_id=modifier.bakes[0].bake_id
        )
        tree.links.remove(given.outputs[0].links[0])

    def particles(self, x: float) -> None:
        """Particles whose cache is on disk."""
        material, _ = shining("spark", 1, 1, 0.3)
        bpy.ops.mesh.primitive_cube_add(size=0.3, location=(x, 50, 0))
        spark = bpy.context.object
        spark.data.materials.append(material)
        source = plane(x, shining("source", 0.1, 0.1, 0.1)[0])
        source.show_instancer_for_render = False
        source.modifiers.new("sparks", "PARTICLE_SYSTEM")
        system = source.particle_systems[0]
        settings = system.settings
        settings.count, settings.frame_start, settings.frame_end, settings.lifetime = 20, 1, 2, 50
        settings.render_type, settings.instance_object, settings.particle_size = "OBJECT", spark, 1
        settings.effector_weights.gravity = 0
        system.point_cache.use_disk_cache = True
        system.point_cache.frame_end = 4
        with bpy.context.temp_override(point_cache=system.point_cache, object=source, active_object=source):
            bpy.ops.ptcache.bake(bake=True)

    def mesh_cache(self, x: float) -> None:
        made = plane(x, shining("mesh cache", 0, 1, 1)[0])
        points = [(-0.4, 0.4, 0), (0.4, 0.4, 0), (-0.4, 0.1, 0), (0.4, 0.1, 0)]
        path = self.assets / "caches/thing.mdd"
        path.parent.mkdir(exist_ok=True)
        frames = [value + step / 10 for step in range(3) for point in points for value in point]
        path.write_bytes(struct.pack(f">2i3f{len(frames)}f", 3, 4, 0, 1, 2, *frames))
        modifier = made.modifiers.new("cache", "MESH_CACHE")
        modifier.filepath, modifier.cache_format = self.spell(path), "MDD"

    def shaders(self, x: float) -> None:
        """An OSL script that paints, and a light whose IES profile shines on the lower half."""
        (self.assets / "shaders").mkdir()
        osl = self.assets / "shaders/paint.osl"
        osl.write_text("shader paint(output color Paint = 0) { Paint = color(0.1, 0.8, 0.4); }\n")
        bpy.context.scene.cycles.shading_system = True
        material, emission = shining("osl")
        node = material.node_tree.nodes.new("ShaderNodeScript")
        node.mode, node.filepath = "EXTERNAL", self.spell(osl)
        material.node_tree.links.new(node.outputs["Paint"], emission.inputs["Color"])
        plane(x, material).scale = (1, 0.4, 1)
        ies = self.assets / "shaders/lamp.ies"
        ies.write_text("IESNA:LM-63-1995\nTILT=NONE\n1 1000 1 3 1 1 2 0 0 0\n1 1 0\n0 45 90\n0\n1000 500 0\n")
        lamp = bpy.data.lights.new("lamp", "POINT")
        lamp.energy, lamp.use_nodes = 1, True
        profile = lamp.node_tree.nodes.new("ShaderNodeTexIES")
        profile.mode, profile.filepath = "EXTERNAL", self.spell(ies)
        lamp.node_tree.links.new(profile.outputs[0], lamp.node_tree.nodes["Emission"].inputs["Strength"])
        made = bpy.data.objects.new("lamp", lamp)
        bpy.context.collection.objects.link(made)
        made.location = (x, -1, 1)

    def sound(self) -> None:
        path = self.assets / "sound.wav"
        data = bytes(800)
        path.write_bytes(
            b"RIFF"
            + struct.pack("<I", 36 + len(data))
            + b"WAVEfmt "
            + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 8000, 1, 8)
            + b"data"
            + struct.pack("<I", len(data))
            + data
        )
        editor = bpy.context.scene.sequence_editor_create()
        editor.strips.new_sound("sound", self.spell(path), 1, 1)
        bpy.data.speakers.new("speaker").sound = bpy.data.sounds[0]
        bpy.context.scene.render.use_sequencer = False
        for number in range(2):
            picture(self.assets / f"strip/{number}.png", 0, 0, 0)
        strip = editor.strips.new_image("strip", self.spell(self.assets / "strip/0.png"), 3, 1)
        strip.elements.append("1.png")


COLUMNS = (
    "library",
    "sequence",
    "tiles",
    "font",
    "alembic",
    "usd",
    "volume",
    "imported",
    "baked",
    "particles",
    "mesh_cache",
    "shaders",
)


def main(folder: Path, spelling: str) -> None:
    (folder / "shots").mkdir(parents=True)
    (folder / "assets/libs/in").mkdir(parents=True)
    new_file(folder / "shots/shot.blend")
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples = 1
    scene.cycles.use_denoising = False
    scene.render.resolution_x, scene.render.resolution_y = SIZE * len(COLUMNS), SIZE
    scene.render.film_transparent = False
    scene.frame_start, scene.frame_end = 1, 4
    camera = bpy.data.cameras.new("Eye")
    camera.type, camera.ortho_scale = "ORTHO", len(COLUMNS)
    eye = bpy.data.objects.new("Eye", camera)
    scene.collection.objects.link(eye)
    eye.location, eye.rotation_euler = (len(COLUMNS) / 2 - 0.5, -20, 0), (math.pi / 2, 0, 0)
    scene.camera = eye
    project = Project(folder, spelling)
    for x, kind in enumerate(COLUMNS):
        getattr(project, kind)(x)
    project.sound()
    bpy.context.scene.frame_set(FRAME)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)
    scene = bpy.context.scene
    scene.frame_start = scene.frame_end = FRAME
    scene.render.filepath = str(folder / "local_####")
    bpy.ops.render.render(animation=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
