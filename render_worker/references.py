"""Every place in an open `.blend` where Blender keeps the path of something outside it.

Runs inside Blender, for the client that looks for what goes along and for the worker that says where it lies there.
Blender's own lists (`bpy.utils.blend_paths`) name a path but neither its owner nor the frames or tiles that are used of
it, pass over what Geometry Nodes import and bake, and can be rewritten in Blender 5 only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import bpy

# As the module `bpy`, Blender does not know where its own packages lie: pxr, and oslquery for its scripts' sockets.
sys.path += map(str, Path(bpy.utils.system_resource("PYTHON")).glob("lib/python*/site-packages"))

FILE = "file"
FOLDER = "folder"
"""Everything below it is needed: a cache."""
TILES = "tiles"
"""A pattern with `<UDIM>` or `<UVTILE>`."""
SERIES = "series"
"""One of the numbered files of a sequence, each standing for a frame."""
UNNEEDED = "unneeded"
"""Blender names it, and no render reads it."""
FIXED = "fixed"
"""A file that Blender names in a place where nobody can write another path."""
BESIDE = "beside"
"""A file that a cache names itself, relative to its own place."""

_BUILT_IN = "<builtin>"
_FIRST_TILE = 1001
_TILES_IN_A_ROW = 10


@dataclass(frozen=True, kw_only=True)
class Reference:
    """One path that the file or a library that it links says; `text` is as Blender keeps it (`//tex/wood.png`).

    It is relative to the folder of `library`, or of the `.blend` where that is None; `owner` is the path of the file
    that says it, where that is neither of them. `numbers` are the first and last of a series that are used, None
    where that is not known; `tiles` are what `<UDIM>` or `<UVTILE>` stand for.
    """

    text: str
    kind: str
    library: Any = None
    owner: str | None = None
    numbers: tuple[int, int] | None = None
    tiles: tuple[str, ...] = ()
    write: Callable[[str], None] = lambda _: None

    @property
    def path(self) -> str:
        """Where this machine would look."""
        return absolute(self.text, self.library)


def absolute(text: str, library: Any = None) -> str:
    """Give the path that a text in the file, or in a library that it links, means on this machine."""
    # A file saved on Windows has backslashes, which Blender reads everywhere.
    path: str = bpy.path.abspath(text.replace("\\", "/"), library=library)
    return os.path.normpath(path)


def libraries() -> Iterator[Reference]:
    """Give the linked libraries, those that libraries link included: Blender spells all from the `.blend`'s folder."""
    for library in bpy.data.libraries:
        if library.packed_file or getattr(library, "is_archive", False):
            continue
        # Brushes come with Blender itself, and nobody renders them.
        brushes = {owned.id_type for owned in library.users_id if hasattr(owned, "id_type")} == {"BRUSH"}
        owner = absolute(library.parent.filepath) if library.parent else None
        yield _held(library, "filepath", UNNEEDED if brushes else FILE, library=None, owner=owner)


def references() -> Iterator[Reference]:
    """Give everything that the open file refers to."""
    found = chain(
        libraries(),
        _images(),
        _clips(),
        _single_files(),
        _caches(),
        _volumes(),
        _strips(),
        _shader_nodes(),
        _objects(),
        _node_paths(),
    )
    seen = set()
    for reference in found:
        if reference.text:
            seen.add(reference.path)
            yield reference
    # What this module does not know of, newer kinds among it, Blender may.
    named = zip(bpy.utils.blend_paths(packed=False), bpy.utils.blend_paths(absolute=True, packed=False), strict=True)
    for text, path in named:
        path = os.path.normpath(path)  # noqa: PLW2901
        if text and path not in seen:
            seen.add(path)
            yield Reference(text=text if text.startswith("//") else path, kind=FIXED)


def _held(holder: Any, attribute: str, kind: str, **more: Any) -> Reference:
    """Describe the path that an attribute holds."""
    more.setdefault("library", holder.id_data.library)
    return Reference(
        text=getattr(holder, attribute), kind=kind, write=lambda text: setattr(holder, attribute, text), **more
    )


def _images() -> Iterator[Reference]:
    used = _frames_used()
    for image in bpy.data.images:
        if image.source in {"GENERATED", "VIEWER"} or image.packed_files:
            continue
        if image.users - image.use_fake_user == 0:
            yield _held(image, "filepath", UNNEEDED)
        elif image.source == "TILED":
            yield _held(image, "filepath", TILES, tiles=_tiles(image))
        elif image.source == "SEQUENCE":
            yield _held(image, "filepath", SERIES, numbers=_numbers(image, used.get(image.as_pointer(), [])))
        else:
            yield _held(image, "filepath", FILE)


def _tiles(image: Any) -> tuple[str, ...]:
    numbers = [tile.number for tile in image.tiles]
    if "<UDIM>" in image.filepath:
        return tuple(map(str, numbers))
    rows = (divmod(number - _FIRST_TILE, _TILES_IN_A_ROW) for number in numbers)
    return tuple(f"u{column + 1}_v{row + 1}" for row, column in rows)


def _frames_used() -> dict[int, list[Any]]:
    """Collect for each image those who choose frames of it: by the image's address, as names are not unique."""
    used: dict[int, list[Any]] = {}
    for node in _nodes():
        image = getattr(node, "image", None)
        if image is not None:
            used.setdefault(image.as_pointer(), []).append(getattr(node, "image_user", node))
    for texture in bpy.data.textures:
        if texture.type == "IMAGE" and texture.image:
            used.setdefault(texture.image.as_pointer(), []).append(texture.image_user)
    return used


def _numbers(image: Any, users: list[Any]) -> tuple[int, int] | None:
    """Give the numbers that are used, or None when not everybody who uses the image is known to choose them."""
    if len(users) != image.users - image.use_fake_user:
        return None
    if any(not hasattr(user, "frame_offset") or user.id_data.animation_data for user in users):
        return None
    # Frame 0 is what is shown before the sequence begins.
    return min(user.frame_offset for user in users), max(user.frame_offset + user.frame_duration for user in users)


def _clips() -> Iterator[Reference]:
    for clip in bpy.data.movieclips:
        yield _held(clip, "filepath", SERIES if clip.source == "SEQUENCE" else FILE)


def _single_files() -> Iterator[Reference]:
    for sound in bpy.data.sounds:
        if not sound.packed_file:
            yield _held(sound, "filepath", FILE)
    for font in bpy.data.fonts:
        if not font.packed_file and font.filepath != _BUILT_IN:
            yield _held(font, "filepath", FILE)
    for text in bpy.data.texts:
        # Its content is in the file.
        yield _held(text, "filepath", UNNEEDED)
    for camera in bpy.data.cameras:
        if getattr(camera, "custom_mode", "") == "EXTERNAL":
            yield _held(camera, "custom_filepath", FILE if camera.type == "CUSTOM" else UNNEEDED)


def _caches() -> Iterator[Reference]:
    for cache in bpy.data.cache_files:
        yield _held(cache, "filepath", SERIES if cache.is_sequence else FILE)
        for layer in cache.layers:
            yield _held(layer, "filepath", FILE)
        if Path(cache.filepath).suffix.lower().startswith(".usd"):
            yield from _usd_layers(absolute(cache.filepath, cache.library))


def _usd_layers(top: str) -> Iterator[Reference]:
    """Give what a USD file is composed of, which its own library knows where this Blender brings it."""
    try:
        from pxr import Sdf  # noqa: PLC0415
    except ImportError:
        return
    waiting, seen = [top], {top}
    while waiting:
        owner = waiting.pop()
        layer = Sdf.Layer.FindOrOpen(owner) if Path(owner).exists() else None
        if layer is None:
            continue
        for text in layer.GetCompositionAssetDependencies():
            path = os.path.normpath(layer.ComputeAbsolutePath(text))
            if path not in seen:
                seen.add(path)
                waiting.append(path)
                yield Reference(text=path, kind=FIXED if Path(text).is_absolute() else BESIDE, owner=owner)


def _volumes() -> Iterator[Reference]:
    for volume in bpy.data.volumes:
        if volume.packed_file:
            continue
        if volume.is_sequence:
            first = volume.frame_offset
            numbers = None if volume.animation_data else (first, first + volume.frame_duration)
            yield _held(volume, "filepath", SERIES, numbers=numbers)
        else:
            yield _held(volume, "filepath", FILE)


def _strips() -> Iterator[Reference]:
    for scene in bpy.data.scenes:
        editor = scene.sequence_editor
        if editor is None:
            continue
        for strip in editor.strips_all if hasattr(editor, "strips_all") else editor.sequences_all:
            if strip.type == "MOVIE":
                yield _held(strip, "filepath", FILE)
            elif strip.type == "IMAGE":
                yield from _image_strip(strip)


def _image_strip(strip: Any) -> Iterator[Reference]:
    library = strip.id_data.library

    def write(path: str) -> None:
        strip.directory = os.path.dirname(path)  # noqa: PTH120 -- a text of Blender's

    for element in strip.elements:
        # Its folder may end in a slash or not.
        text = (
            f"{strip.directory.rstrip('/')}/{element.filename}" if strip.directory != "//" else f"//{element.filename}"
        )
        yield Reference(text=text, kind=FILE, library=library, write=write)


def _shader_nodes() -> Iterator[Reference]:
    for node in _nodes():
        if node.bl_idname in {"ShaderNodeScript", "ShaderNodeTexIES"} and node.mode == "EXTERNAL":
            yield _held(node, "filepath", FILE)


def _objects() -> Iterator[Reference]:
    for scene in bpy.data.scenes:
        if scene.rigidbody_world:
            yield from _point_cache(scene.rigidbody_world.point_cache)
    for owner in bpy.data.objects:
        for system in owner.particle_systems:
            yield from _point_cache(system.point_cache)
        for modifier in owner.modifiers:
            if modifier.show_render:
                yield from _modifier(modifier)
            elif modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
                yield _held(modifier.domain_settings, "cache_directory", UNNEEDED)
            elif modifier.type == "MESH_CACHE":
                yield _held(modifier, "filepath", UNNEEDED)


def _modifier(modifier: Any) -> Iterator[Reference]:
    if modifier.type in {"CLOTH", "SOFT_BODY"}:
        yield from _point_cache(modifier.point_cache)
    elif modifier.type == "DYNAMIC_PAINT" and modifier.canvas_settings:
        for surface in modifier.canvas_settings.canvas_surfaces:
            yield from _point_cache(surface.point_cache)
    elif modifier.type == "FLUID" and modifier.fluid_type == "DOMAIN":
        yield _held(modifier.domain_settings, "cache_directory", FOLDER)
    elif modifier.type == "OCEAN":
        yield _held(modifier, "filepath", FOLDER if modifier.is_cached else UNNEEDED)
    elif modifier.type == "MESH_CACHE" or (modifier.type == "MULTIRES" and modifier.is_external):
        yield _held(modifier, "filepath", FILE)
    elif modifier.type == "NODES":
        yield from _bakes(modifier)
        yield from _inputs(modifier)


def _point_cache(cache: Any) -> Iterator[Reference]:
    library = cache.id_data.library if cache.use_library_path else None
    if cache.use_external:
        yield _held(cache, "filepath", FOLDER, library=library)
    elif cache.use_disk_cache:
        blend = absolute(library.filepath) if library else bpy.data.filepath
        yield Reference(text=f"//blendcache_{Path(blend).stem}", kind=FOLDER, library=library)


def _bakes(modifier: Any) -> Iterator[Reference]:
    """Give the folders of bakes on disk; in Blender 4.2 every bake is one."""
    library = modifier.id_data.library
    shared = []
    for bake in modifier.bakes:
        target = getattr(bake, "bake_target", "DISK")
        if (modifier.bake_target if target == "INHERIT" else target) != "DISK":
            continue
        if bake.use_custom_path:
            write = partial(_move_bakes, modifier, bake, "directory", [bake])
            yield Reference(text=bake.directory, kind=FOLDER, library=library, write=write)
        else:
            shared.append(bake)
    if shared:
        write = partial(_move_bakes, modifier, modifier, "bake_directory", shared)
        yield Reference(text=modifier.bake_directory, kind=FOLDER, library=library, write=write)


def _move_bakes(modifier: Any, holder: Any, attribute: str, bakes: list[Any], text: str) -> None:
    """Name another folder; raises RuntimeError where Blender does not read bakes from it.

    Blender looks for a bake once, when the file is opened, and again only when it packs it.
    """
    setattr(holder, attribute, text)
    for bake in bakes:
        bpy.ops.object.geometry_node_bake_pack_single(
            session_uid=modifier.id_data.session_uid, modifier_name=modifier.name, bake_id=bake.bake_id
        )


def _inputs(modifier: Any) -> Iterator[Reference]:
    """Give the paths among what the user set in the modifier."""
    tree = modifier.node_group
    for socket in tree.interface.items_tree if tree else ():
        if socket.item_type == "SOCKET" and socket.in_out == "INPUT" and getattr(socket, "subtype", "") == "FILE_PATH":
            name = socket.identifier

            def write(text: str, name: str = name) -> None:
                modifier[name] = text
                modifier.id_data.update_tag()

            yield Reference(text=modifier.get(name, ""), kind=FILE, library=tree.library, write=write)


def _node_paths() -> Iterator[Reference]:
    """Give what nodes import, typed into the node or into a String node before it."""
    for tree in bpy.data.node_groups:
        if tree.bl_idname != "GeometryNodeTree":
            continue
        for node in tree.nodes:
            for socket in node.inputs:
                if socket.bl_idname != "NodeSocketStringFilePath":
                    continue
                source = socket.links[0].from_node if socket.is_linked else None
                if source is None:
                    yield _held(socket, "default_value", FILE)
                elif source.bl_idname == "FunctionNodeInputString":
                    yield _held(source, "string", FILE)


def _nodes() -> Iterator[Any]:
    """Give every node of every tree, those that belong to a material, world, light or scene included."""
    owners = [bpy.data.materials, bpy.data.worlds, bpy.data.lights, bpy.data.textures, bpy.data.linestyles]
    if bpy.app.version < (5, 0):
        owners.append(bpy.data.scenes)
    for owner in chain.from_iterable(owners):
        if owner.node_tree:
            yield from owner.node_tree.nodes
    for tree in bpy.data.node_groups:
        yield from tree.nodes
