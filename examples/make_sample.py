"""Build examples/sample.blend: a brass armillary with a glowing heart above a sea of hexagonal tiles.

Everything is made here, by script and without any outside asset, and running it again gives the same scene.
It needs Blender 5.0 or its Python module:

    python examples/make_sample.py
    blender --background --factory-startup --python examples/make_sample.py

Frames 1 to 12 are a seamless loop: every motion repeats after exactly twelve frames.
"""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import bpy
from mathutils import Euler, Vector

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLEND_FILE = Path(__file__).resolve().with_name("sample.blend")

FRAMES = 12
WIDTH, HEIGHT = 480, 270
SAMPLES = 14

TILE_RADIUS = 0.5
TILE_PITCH = 0.53
"""Circumradius of the cell that a tile stands in; what it exceeds TILE_RADIUS by is the gap."""
SEA_RINGS = 15
WAVE_HEIGHT = 0.3
WAVE_LENGTH = 4.4
HEART = Vector((0.0, 0.0, 2.3))
HALO_RADIUS = 1.9
CAMERA = Vector((0.0, -13.5, 5.0))

Color = tuple[float, float, float, float]

DEPTHS: tuple[tuple[float, Color], ...] = (
    (0.0, (0.004, 0.012, 0.045, 1.0)),
    (0.5, (0.004, 0.06, 0.12, 1.0)),
    (0.84, (0.015, 0.25, 0.29, 1.0)),
    (1.0, (0.26, 0.62, 0.56, 1.0)),
)
"""Color of the tiles from the trough of the wave to its crest."""
BRASS: Color = (0.95, 0.56, 0.20, 1.0)
EMBERS: tuple[tuple[float, Color], ...] = (
    (0.0, (1.0, 0.66, 0.16, 1.0)),
    (0.4, (1.0, 0.42, 0.05, 1.0)),
    (1.0, (0.75, 0.10, 0.01, 1.0)),
)
"""Color of the heart from its middle to its rim."""
EMBER: Color = (1.0, 0.36, 0.07, 1.0)
HALO: Color = (0.9, 0.26, 0.05, 1.0)
MOONLIGHT: Color = (0.45, 0.68, 1.0, 1.0)
SUNSET: Color = (1.0, 0.50, 0.26, 1.0)
SKY: tuple[tuple[float, Color], ...] = (
    (0.0, (0.02, 0.02, 0.05, 1.0)),
    (0.10, (0.36, 0.085, 0.065, 1.0)),
    (0.18, (0.12, 0.035, 0.085, 1.0)),
    (0.30, (0.016, 0.024, 0.08, 1.0)),
    (1.0, (0.012, 0.03, 0.08, 1.0)),
)
"""Color of the sky from below the horizon to the zenith."""


class Ring(NamedTuple):
    """One band of the armillary: how it leans (degrees) and how many half turns it makes per loop."""

    radius: float
    width: float
    lean: tuple[float, float, float]
    half_turns: int


RINGS = (
    Ring(1.66, 0.30, (62.0, 0.0, 24.0), 1),
    Ring(1.30, 0.26, (40.0, 38.0, 0.0), -1),
    Ring(0.96, 0.22, (10.0, 64.0, 10.0), 1),
)


def main() -> None:
    """Build the scene from nothing and save it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    set_render(scene)
    set_world(scene)
    build_sea()
    build_armillary()
    build_lights()
    scene.camera = build_camera()
    scene.frame_set(1)
    forget_folders()
    bpy.context.preferences.filepaths.save_version = 0
    bpy.ops.wm.save_as_mainfile(filepath=str(BLEND_FILE), compress=True)


def set_render(scene: bpy.types.Scene) -> None:
    """Choose Cycles on the CPU with few samples and the denoiser, so that a frame takes seconds."""
    scene.frame_start, scene.frame_end = 1, FRAMES
    scene.render.engine = "CYCLES"
    scene.render.fps = FRAMES
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.render.resolution_percentage = 100
    scene.render.filepath = "//"
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGB"
    scene.render.image_settings.color_depth = "8"
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    cycles = scene.cycles
    cycles.device = "CPU"
    cycles.samples = SAMPLES
    cycles.use_adaptive_sampling = False
    cycles.use_light_tree = False
    cycles.use_denoising = True
    cycles.denoiser = "OPENIMAGEDENOISE"
    cycles.denoising_quality = "BALANCED"
    cycles.denoising_prefilter = "FAST"
    cycles.max_bounces = 3
    cycles.diffuse_bounces = 1
    cycles.glossy_bounces = 3
    cycles.transmission_bounces = 0
    cycles.volume_bounces = 0
    cycles.caustics_reflective = False
    cycles.caustics_refractive = False
    cycles.sample_clamp_direct = 2.0
    cycles.sample_clamp_indirect = 2.0


def set_world(scene: bpy.types.Scene) -> None:
    """Give the scene a sky at dusk: a warm band behind the sea under a deep blue night."""
    world = bpy.data.worlds.new("Dusk")
    world.cycles.sampling_method = "NONE"
    nodes, links = world.node_tree.nodes, world.node_tree.links
    view = nodes.new("ShaderNodeTexCoord")
    split = nodes.new("ShaderNodeSeparateXYZ")
    height = nodes.new("ShaderNodeMapRange")
    height.inputs["From Min"].default_value, height.inputs["From Max"].default_value = -0.3, 0.7
    ramp = color_ramp(world, SKY)
    links.new(view.outputs["Generated"], split.inputs[0])
    links.new(split.outputs["Z"], height.inputs["Value"])
    links.new(height.outputs["Result"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], nodes["Background"].inputs["Color"])
    scene.world = world


def build_sea() -> None:
    """Lay a hexagon of tiles and let ripples run through it outwards from the middle."""
    mesh = lathe("Tile", tile_profile(), 6)
    mesh.materials.append(tile_material())
    places = [place for place in hexagon(SEA_RINGS) if in_view(*place)]
    for number, (x, y) in enumerate(places, start=1):
        tile = add_object(f"Tile {number:03}", mesh)
        tile.location = (x, y, 0.0)
        swing(tile, height=0.0, amplitude=WAVE_HEIGHT, phase=-math.tau * math.hypot(x, y) / WAVE_LENGTH)


def hexagon(rings: int) -> Iterator[tuple[float, float]]:
    """Give the centers of a hexagon of hexagonal cells."""
    for q in range(-rings, rings + 1):
        for r in range(max(-rings, -rings - q), min(rings, rings - q) + 1):
            yield TILE_PITCH * 1.5 * q, TILE_PITCH * math.sqrt(3.0) * (r + q / 2.0)


def in_view(x: float, y: float) -> bool:
    """Say whether a tile is in the wedge that the camera sees, or near enough to throw a shadow into it."""
    edge: float = 2.5 + 0.34 * (y - CAMERA.y)
    return abs(x) < edge


def tile_profile() -> list[tuple[float, float]]:
    """Give half the outline of a tile with a soft upper edge, its top at height zero."""
    bevel = 0.05
    arc = [math.radians(angle) for angle in (90.0, 60.0, 30.0, 0.0)]
    inner = TILE_RADIUS - bevel
    return [
        (0.0, 0.0),
        *((inner + bevel * math.cos(angle), bevel * (math.sin(angle) - 1.0)) for angle in arc),
        (TILE_RADIUS, -1.6),
    ]


def build_armillary() -> None:
    """Hang the glowing heart over the sea, with the brass rings turning around it."""
    heart = add_object("Heart", lathe("Heart", ball_profile(0.42), 48, smooth=True))
    heart.data.materials.append(ember_material())
    heart.visible_shadow = False
    heart.location = HEART
    swing(heart, height=HEART.z, amplitude=0.06, phase=0.0)
    glow = bpy.data.lights.new("Glow", "POINT")
    glow.color = EMBER[:3]
    glow.energy = 850.0
    glow.shadow_soft_size = 0.3
    add_object("Glow", glow).parent = heart
    build_halo(heart)
    brass = metal("Brass", BRASS, 0.34)
    for number, ring in enumerate(RINGS, start=1):
        name = f"Ring {number}"
        mesh = lathe(name, band_profile(ring.radius, ring.width), 96, smooth=True)
        mesh.materials.append(brass)
        band = add_object(name, mesh)
        band.parent = heart
        band.rotation_euler = Euler(map(math.radians, ring.lean))
        turn(band, half_turns=ring.half_turns)


def build_halo(heart: bpy.types.Object) -> None:
    """Put a soft shine around the heart: a disc that faces the camera and that nothing else sees."""
    mesh = lathe("Halo", [(0.0, 0.0), (1.0, 0.0)], 48)
    mesh.materials.append(halo_material())
    halo = add_object("Halo", mesh)
    halo.parent = heart
    halo.scale = (HALO_RADIUS,) * 3
    halo.rotation_euler = looking(HEART, CAMERA)
    halo.visible_diffuse = halo.visible_glossy = halo.visible_shadow = False


def ball_profile(radius: float) -> list[tuple[float, float]]:
    """Give half the outline of a sphere."""
    angles = [math.pi * step / 24 for step in range(1, 24)]
    return [
        (0.0, radius),
        *((radius * math.sin(angle), radius * math.cos(angle)) for angle in angles),
        (0.0, -radius),
    ]


def band_profile(radius: float, width: float) -> list[tuple[float, float]]:
    """Give the cross-section of a flat ring with rounded edges."""
    half, thick = width / 2.0, 0.04
    angles = [math.tau * step / 24 for step in range(24)]
    edge = [(radius + thick * math.copysign(abs(math.cos(a)) ** 0.5, math.cos(a)), half * math.sin(a)) for a in angles]
    return [*edge, edge[0]]


def build_lights() -> None:
    """Set cool moonlight from behind on the left and a warm low sun from the right."""
    add_area("Moon", MOONLIGHT, 900.0, 6.0, Vector((-7.0, 6.0, 8.0)))
    add_area("Sunset", SUNSET, 1100.0, 4.0, Vector((9.0, 1.0, 4.0)))


def add_area(name: str, color: Color, power: float, size: float, place: Vector) -> None:
    """Add a square area light that shines at the middle of the scene."""
    light = bpy.data.lights.new(name, "AREA")
    light.color = color[:3]
    light.energy = power
    light.size = size
    lamp = add_object(name, light)
    lamp.location = place
    lamp.rotation_euler = looking(place, HEART)


def build_camera() -> bpy.types.Object:
    """Look down at the armillary with a long lens and a shallow depth of field."""
    data = bpy.data.cameras.new("Camera")
    data.lens = 58.0
    camera = add_object("Camera", data)
    camera.location = CAMERA
    camera.rotation_euler = looking(CAMERA, Vector((0.0, 0.0, 1.75)))
    data.dof.use_dof = True
    data.dof.focus_distance = (CAMERA - HEART).length - 1.0
    data.dof.aperture_fstop = 0.5
    return camera


def looking(place: Vector, target: Vector) -> Euler:
    """Turn what stands at one place, and looks down its own -Z, towards another."""
    return (target - place).to_track_quat("-Z", "Y").to_euler()


def swing(thing: bpy.types.Object, *, height: float, amplitude: float, phase: float) -> None:
    """Move a thing up and down as a sine of the time, once a loop."""
    wave = curve(thing, "location", 2).modifiers.new("FNGENERATOR")
    wave.function_type = "SIN"
    wave.amplitude = amplitude
    wave.phase_multiplier = math.tau / FRAMES
    wave.phase_offset = phase
    wave.value_offset = height


def turn(thing: bpy.types.Object, *, half_turns: int) -> None:
    """Turn a thing evenly around its own X axis; a half turn brings a ring back to where it was."""
    start = thing.rotation_euler.x
    per_frame = math.pi * half_turns / FRAMES
    line = curve(thing, "rotation_euler", 0).modifiers.new("GENERATOR")
    line.poly_order = 1
    line.coefficients = (start - per_frame, per_frame)


def curve(thing: bpy.types.Object, path: str, index: int) -> bpy.types.FCurve:
    """Give a thing an empty animation curve for one of its properties."""
    action = bpy.data.actions.new(thing.name)
    thing.animation_data_create().action = action
    return action.fcurve_ensure_for_datablock(thing, path, index=index)


def tile_material() -> bpy.types.Material:
    """Make glazed stone whose color follows the height that its tile has risen to."""
    material, shader = principled("Tile")
    shader.inputs["Roughness"].default_value = 0.2
    nodes, links = material.node_tree.nodes, material.node_tree.links
    place = nodes.new("ShaderNodeObjectInfo")
    split = nodes.new("ShaderNodeSeparateXYZ")
    rise = nodes.new("ShaderNodeMapRange")
    rise.inputs["From Min"].default_value = -WAVE_HEIGHT
    rise.inputs["From Max"].default_value = WAVE_HEIGHT
    ramp = color_ramp(material, DEPTHS)
    links.new(place.outputs["Location"], split.inputs[0])
    links.new(split.outputs["Z"], rise.inputs["Value"])
    links.new(rise.outputs["Result"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], shader.inputs["Base Color"])
    return material


def metal(name: str, color: Color, roughness: float) -> bpy.types.Material:
    """Make a plain metal."""
    material, shader = principled(name)
    shader.inputs["Base Color"].default_value = color
    shader.inputs["Metallic"].default_value = 1.0
    shader.inputs["Roughness"].default_value = roughness
    return material


def ember_material() -> bpy.types.Material:
    """Make something that glows by itself, hot in its middle and deep orange towards its rim.

    The lamp in its place lights the scene; sampling its faces as lights as well would only cost time.
    """
    material, shader = principled("Ember")
    material.cycles.emission_sampling = "NONE"
    shader.inputs["Base Color"].default_value = (0.0, 0.0, 0.0, 1.0)
    shader.inputs["Emission Strength"].default_value = 2.6
    nodes, links = material.node_tree.nodes, material.node_tree.links
    facing = nodes.new("ShaderNodeLayerWeight")
    facing.inputs["Blend"].default_value = 0.35
    ramp = color_ramp(material, EMBERS)
    links.new(facing.outputs["Facing"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], shader.inputs["Emission Color"])
    return material


def halo_material() -> bpy.types.Material:
    """Make a shine that only adds light, and fades out from the middle to the edge."""
    material = bpy.data.materials.new("Halo")
    nodes, links = material.node_tree.nodes, material.node_tree.links
    nodes.clear()
    place = nodes.new("ShaderNodeTexCoord")
    fade = nodes.new("ShaderNodeTexGradient")
    fade.gradient_type = "QUADRATIC_SPHERE"
    shine = nodes.new("ShaderNodeEmission")
    shine.inputs["Color"].default_value = HALO
    clear = nodes.new("ShaderNodeBsdfTransparent")
    both = nodes.new("ShaderNodeAddShader")
    output = nodes.new("ShaderNodeOutputMaterial")
    links.new(place.outputs["Object"], fade.inputs["Vector"])
    links.new(fade.outputs["Fac"], shine.inputs["Strength"])
    links.new(shine.outputs["Emission"], both.inputs[0])
    links.new(clear.outputs["BSDF"], both.inputs[1])
    links.new(both.outputs["Shader"], output.inputs["Surface"])
    material.cycles.emission_sampling = "NONE"
    return material


def color_ramp(owner: bpy.types.Material | bpy.types.World, colors: Sequence[tuple[float, Color]]) -> bpy.types.Node:
    """Add a node to a material or world that gives colors by a value from 0 to 1."""
    ramp = owner.node_tree.nodes.new("ShaderNodeValToRGB")
    stops = ramp.color_ramp.elements
    while len(stops) < len(colors):
        stops.new(1.0)
    for stop, (position, color) in zip(stops, colors, strict=True):
        stop.position, stop.color = position, color
    return ramp


def principled(name: str) -> tuple[bpy.types.Material, bpy.types.Node]:
    """Make a material and give it with its Principled BSDF node."""
    material = bpy.data.materials.new(name)
    return material, material.node_tree.nodes["Principled BSDF"]


def lathe(name: str, outline: Sequence[tuple[float, float]], steps: int, *, smooth: bool = False) -> bpy.types.Mesh:
    """Turn an outline of (radius, height) points around the Z axis into a mesh."""
    corners: list[tuple[float, float, float]] = []
    rows: dict[tuple[float, float], list[int]] = {}
    for radius, height in outline:
        if (radius, height) in rows:
            continue
        angles = [math.tau * step / steps for step in range(steps if radius else 1)]
        first = len(corners)
        corners += [(radius * math.cos(angle), radius * math.sin(angle), height) for angle in angles]
        rows[radius, height] = [first + step % len(angles) for step in range(steps + 1)]
    faces = []
    for upper, lower in pairwise(outline):
        for step in range(steps):
            around = (rows[upper][step], rows[lower][step], rows[lower][step + 1], rows[upper][step + 1])
            faces.append(tuple(dict.fromkeys(around)))
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(corners, [], faces, shade_flat=not smooth)
    return mesh


def add_object(name: str, data: bpy.types.ID) -> bpy.types.Object:
    """Put data into the scene as an object."""
    thing = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(thing)
    return thing


def forget_folders() -> None:
    """Keep the folders of the computer that this runs on, which Blender's file dialogs remember, out of the file."""
    for area in (area for screen in bpy.data.screens for area in screen.areas):
        for space in area.spaces:
            if space.type == "FILE_BROWSER" and space.params:
                space.params.directory = b"//"


if __name__ == "__main__":
    main()
