"""What runs inside Blender: opens the `.blend`, applies the render's settings and renders the chunk's frames.

Started by render_worker.blender, either as `blender -b --python scene.py -- EVENTS` or, with Blender as the module
`bpy`, as `python scene.py EVENTS`. Of ours it imports what needs the standard library and Blender alone, since
Blender's own Python has nothing else. EVENTS is the number of the file descriptor for its events, JSON lines; the task
is one JSON line on standard input, which may come much later, so that Blender starts while the package is fetched.
"""

from __future__ import annotations

import glob
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bpy

# Blender's own Python does not know where this package lies.
sys.path.append(str(Path(__file__).resolve().parents[1]))

from render_worker.contract import remap_key, series_of
from render_worker.references import FIXED, FOLDER, SERIES, TILES, UNNEEDED, Reference, absolute, libraries, references

FAILED = 1
NO_GPU = 3
MISSING = 4

ADDONS_VARIABLE = "RENDER_ADDONS"

Send = Callable[..., None]

_SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "software rasterizer")


class SceneError(Exception):
    """What the scene or this machine cannot do; the message is one sentence for the user."""

    def __init__(self, message: str, exit_code: int = FAILED) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def enable_addons(names: str) -> None:
    """Enable the add-ons that the image names, in their order: Blender itself starts with its factory settings.

    Rendering without one gives frames that are wrong, so it is an error.
    """
    import addon_utils  # noqa: PLC0415 -- it is found once bpy is there

    for name in filter(None, re.split(r"[\s,]+", names)):
        if addon_utils.enable(name, default_set=True) is None:
            raise SceneError(f"the add-on {name!r} of {ADDONS_VARIABLE} cannot be enabled; the log says why")


def open_blend(path: str, *, autoexec: bool) -> None:
    """Open the file without its user interface; Python that it holds runs only when the render says so."""
    name = Path(path).name
    try:
        bpy.ops.wm.open_mainfile(filepath=path, load_ui=False, use_scripts=autoexec)
    except RuntimeError as error:
        raise SceneError(f"Blender cannot open {name}: {_reason(error)}") from None
    if bpy.data.version[:2] > bpy.app.version[:2]:
        saved, ours = (".".join(map(str, version[:2])) for version in (bpy.data.version, bpy.app.version))
        raise SceneError(f"{name} was saved by Blender {saved}, and this farm has Blender {ours}")


def chosen_scene(name: str | None) -> Any:
    """Give the scene of that name, or the one that was active when the file was saved."""
    if name is None:
        return bpy.context.scene
    scene = bpy.data.scenes.get(name)
    if scene is None:
        names = ", ".join(scene.name for scene in bpy.data.scenes)
        raise SceneError(f"the file has no scene {name!r}; it has {names}")
    return scene


def apply_settings(scene: Any, settings: dict[str, Any]) -> None:
    """Override what the render overrides and leave the rest as the file says."""
    render = scene.render
    if settings["camera"] is not None:
        _use_camera(scene, settings["camera"])
    if settings["engine"] is not None:
        _assign(render, "engine", settings["engine"])
    if settings["xres"] is not None:
        render.resolution_x = settings["xres"]
    if settings["yres"] is not None:
        render.resolution_y = settings["yres"]
    if settings["percentage"] is not None:
        render.resolution_percentage = settings["percentage"]
    if settings["samples"] is not None:
        _set_samples(scene, settings["samples"])
    if settings["format"] is not None:
        _assign(render.image_settings, "file_format", settings["format"])
    if render.is_movie_format:
        raise SceneError("the scene's output is a movie; choose an image format, since chunks render frames")
    if scene.camera is None and not any(marker.camera for marker in scene.timeline_markers):
        raise SceneError(f"scene {scene.name!r} has no camera")


def remap(package: Path, places: dict[str, str]) -> None:
    """Tell the open file where in the package lies what it names otherwise; `places` is the manifest's.

    Libraries come first, since each that is found brings references of its own.
    """
    if not places:
        return
    seen: set[str] = set()
    while fresh := [found for found in libraries() if found.text not in seen and _place(found, package, places)]:
        found = fresh[0]
        seen.add(found.text)
        library = next(each for each in bpy.data.libraries if each.filepath == found.text)
        found.write(str(package / places[_key(found, package)]))
        try:
            library.reload()
        except RuntimeError as error:
            raise SceneError(f"Blender cannot open the library {found.text}: {_reason(error)}") from None
    for found in [*references()]:
        place = _place(found, package, places)
        if place:
            try:
                found.write(str(package / place))
            except (AttributeError, RuntimeError) as error:
                raise SceneError(f"Blender does not take another place for {found.text}: {_reason(error)}") from None


def missing_files(package: Path, places: dict[str, str]) -> list[str]:
    """List what the file refers to and this machine does not have; `places` is what `remap` went by."""
    missing = [found for found in references() if not _is_here(found)]
    # A strip keeps the path of its sound a second time, where nobody can change it and nobody reads it.
    return sorted({found.path for found in missing if not (found.kind == FIXED and _place(found, package, places))})


def choose_device(scene: Any, device: str) -> str:
    """Make Cycles use what the farm promises and say what that is: never a paid GPU idle beside a busy CPU."""
    if scene.render.engine != "CYCLES":
        return str(scene.render.engine)
    if device == "cpu":
        scene.cycles.device = "CPU"
        # A number of threads that suited the artist's machine would leave vCPUs of this one idle.
        scene.render.threads_mode = "AUTO"
        return f"CPU, {scene.render.threads} threads"
    preferences = bpy.context.preferences.addons["cycles"].preferences
    for kind in ("OPTIX", "CUDA"):
        try:
            gpus = [found for found in preferences.get_devices_for_type(kind) if found.type == kind]
        except (TypeError, ValueError):
            continue
        if gpus:
            preferences.compute_device_type = kind
            for found in preferences.devices:
                found.use = found.type == kind
            scene.cycles.device = "GPU"
            return f"{kind}, {', '.join(gpu.name for gpu in gpus)}"
    raise SceneError("this is a GPU farm, and Cycles finds neither an OptiX nor a CUDA device here", NO_GPU)


def keep_outputs_inside(scene: Any, folder: Path) -> None:
    """Point every file-output node below the frames' folder: the paths in the file are those of another machine."""
    for tree in _compositor_trees(scene):
        for node in tree.nodes:
            if node.bl_idname == "CompositorNodeOutputFile":
                place = folder / "nodes" / _plain(node.name)
                place.mkdir(parents=True, exist_ok=True)
                if hasattr(node, "directory"):  # Blender 5.0 and later
                    node.directory = f"{place}/"
                    node.file_name = _plain(node.file_name)
                    for item in node.file_output_items:
                        item.name = _plain(item.name)
                else:
                    node.base_path = f"{place}/"
                    for slot in (*node.file_slots, *getattr(node, "layer_slots", ())):
                        if hasattr(slot, "path"):
                            slot.path = _plain(slot.path)


def render_frames(scene: Any, frames: list[int], folder: Path, device: str, send: Send) -> None:
    """Render frame by frame as Blender's own animation render does, and tell of each when its files are complete."""
    render = scene.render
    render.filepath = f"{folder}/####"
    render.use_file_extension = True
    render.use_overwrite = True
    render.use_placeholder = False
    # Geometry, textures and shaders stay loaded from frame to frame.
    render.use_persistent_data = True
    scene.frame_step = 1
    seen: set[str] = set()
    for frame in frames:
        scene.frame_start = scene.frame_end = frame
        began = time.monotonic()
        try:
            bpy.ops.render.render(animation=True, scene=scene.name)
        except RuntimeError as error:
            raise SceneError(f"Blender cannot render frame {frame}: {_reason(error)}") from None
        seconds = time.monotonic() - began
        main = _main_file(scene, frame)
        fresh = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - seen
        seen |= fresh
        # The main file goes last, since a frame counts as finished when that object is there.
        files = [*sorted(fresh - {main.name}), main.name]
        send(event="frame", frame=frame, seconds=seconds, memory_mib=_memory_mib(), files=files)
        if device == "gpu" and scene.render.engine != "CYCLES":
            _check_renderer()


def run(task: dict[str, Any], send: Send) -> None:
    """Render the task's frames."""
    enable_addons(os.environ.get(ADDONS_VARIABLE, ""))
    open_blend(task["blend"], autoexec=task["autoexec"])
    remap(Path(task["package"]), task["remap"])
    scene = chosen_scene(task["settings"]["scene"])
    apply_settings(scene, task["settings"])
    missing = missing_files(Path(task["package"]), task["remap"])
    device = choose_device(scene, task["device"])
    send(
        event="ready",
        blender=bpy.app.version_string,
        device=device,
        samples=_samples(scene),
        missing=[os.path.relpath(path, Path(task["blend"]).parent) for path in missing],
    )
    if missing and task["strict"]:
        names = ", ".join(Path(path).name for path in missing[:5]) + (", ..." if len(missing) > 5 else "")  # noqa: PLR2004
        raise SceneError(
            f"{len(missing)} {'files are' if len(missing) > 1 else 'file is'} missing ({names}): send them along, or "
            "allow it with --allow-missing",
            MISSING,
        )
    folder = Path(task["folder"])
    keep_outputs_inside(scene, folder)
    render_frames(scene, task["frames"], folder, task["device"], send)


def _use_camera(scene: Any, name: str) -> None:
    camera = scene.objects.get(name)
    if camera is None or camera.type != "CAMERA":
        cameras = ", ".join(found.name for found in scene.objects if found.type == "CAMERA") or "none"
        raise SceneError(f"scene {scene.name!r} has no camera {name!r}; it has {cameras}")
    scene.camera = camera
    for marker in scene.timeline_markers:
        # A marker would switch to its own camera at the next frame.
        marker.camera = None


def _samples(scene: Any) -> int | None:
    if scene.render.engine == "CYCLES":
        return int(scene.cycles.samples)
    return int(scene.eevee.taa_render_samples) if "EEVEE" in scene.render.engine else None


def _set_samples(scene: Any, samples: int) -> None:
    if scene.render.engine == "CYCLES":
        scene.cycles.samples = samples
        for layer in scene.view_layers:
            layer.samples = 0
    elif "EEVEE" in scene.render.engine:
        scene.eevee.taa_render_samples = samples
    else:
        raise SceneError(f"samples cannot be set for the engine {scene.render.engine}")


def _key(found: Reference, package: Path) -> str:
    owner = absolute(found.library.filepath) if found.library else bpy.data.filepath
    return remap_key(found.text, os.path.relpath(owner, package))


def _place(found: Reference, package: Path, places: dict[str, str]) -> str | None:
    return places.get(_key(found, package))


def _is_here(found: Reference) -> bool:
    if found.kind == TILES:
        parts = re.split(r"<UDIM>|<UVTILE>", found.path)
        return bool(glob.glob("*".join(map(glob.escape, parts))))
    if found.kind == SERIES:
        series, folder = series_of(Path(found.path).name), Path(found.path).parent
        return folder.is_dir() and any(series is None or series.fullmatch(each.name) for each in folder.iterdir())
    return found.kind == UNNEEDED or (Path(found.path).is_dir() if found.kind == FOLDER else Path(found.path).exists())


def _compositor_trees(scene: Any) -> Iterator[Any]:
    """Give the scene's compositor and every group within it, once each."""
    first = getattr(scene, "compositing_node_group", None) or (
        scene.node_tree if bpy.app.version < (5, 0) and scene.use_nodes else None
    )
    waiting, seen = [first], set()
    while waiting:
        tree = waiting.pop()
        if tree is None or tree in seen:
            continue
        seen.add(tree)
        yield tree
        waiting += [node.node_tree for node in tree.nodes if node.bl_idname == "CompositorNodeGroup"]


def _main_file(scene: Any, frame: int) -> Path:
    main = Path(scene.render.frame_path(frame=frame))
    if not main.exists() and scene.render.use_multiview:
        # Each view has a file of its own (0001_L.png); the first is the frame's main one too, so that it counts.
        views = sorted(main.parent.glob(f"{main.stem}_*{main.suffix}"))
        if views:
            shutil.copyfile(views[0], main)
    if not main.is_file() or not main.stat().st_size:
        raise SceneError(f"Blender wrote no file for frame {frame}")
    return main


def _memory_mib() -> int:
    """Give the most memory that Blender has taken so far; 0 on Windows, where no worker runs."""
    if sys.platform == "win32":
        return 0
    import resource  # noqa: PLC0415 -- Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1 if sys.platform == "linux" else 1024) // 1024


def _check_renderer() -> None:
    """Refuse to go on where the rasterizer turned out to be the CPU's, on a farm whose GPU is paid for."""
    import gpu  # noqa: PLC0415 -- has no renderer to name before the first frame

    try:
        renderer = gpu.platform.renderer_get()
    except SystemError:
        return
    if any(name in renderer.lower() for name in _SOFTWARE_RENDERERS):
        raise SceneError(f"this is a GPU farm, and {renderer} on the CPU renders here instead of the GPU", NO_GPU)


def _plain(name: str) -> str:
    """Make a name that stays in its folder of a name or path in the file."""
    return re.sub(r"[^\w.# -]+", "_", name).lstrip(".") or "image"


def _assign(owner: Any, attribute: str, value: str) -> None:
    try:
        setattr(owner, attribute, value)
    except TypeError as error:
        raise SceneError(f"Blender {bpy.app.version_string} does not take {value!r}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Give Blender's report as part of a sentence."""
    return re.sub(r"\s*\n\s*", "; ", re.sub(r"^Error: ", "", str(error).strip(), flags=re.MULTILINE)).rstrip(".;")


def main() -> int:
    """Wait for the task and run it; 0 when every frame is rendered, or when no task comes."""
    events = int(sys.argv[-1])

    def send(**event: Any) -> None:
        try:
            os.write(events, json.dumps(event).encode() + b"\n")
        except BrokenPipeError:
            os._exit(0)  # the worker has ended the chunk, and nobody keeps what would be rendered

    line = sys.stdin.readline()
    if not line:
        return 0
    try:
        run(json.loads(line), send)
    except SceneError as error:
        send(event="error", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Blender's own way out frees everything piece by piece and can crash doing so; every frame is safe by now.
    os._exit(code)
