"""What a row asks for, checked against what its `.blend` holds: the frames and settings of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from client import frames, pace
from client.errors import RenderError
from client.inspection import Inspection, Scene
from client.jobfile import Render
from render_worker.contract import MAX_FRAME, Settings

_MAX_PIXELS = 65_536
"""Blender's largest resolution: https://docs.blender.org/api/current/bpy.types.RenderSettings.html"""
_MAX_PERCENTAGE = 32_767


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run renders: its frames in chunks, and what differs from the file's own settings.

    `fps` are the scene's frames a second; None where no Blender told.
    """

    chunks: tuple[tuple[int, ...], ...]
    settings: Settings
    fps: float | None

    @property
    def frames(self) -> list[int]:
        """Every frame of the range."""
        return sorted(frame for chunk in self.chunks for frame in chunk)


def plan(
    render: Render,
    inspection: Inspection | None,
    *,
    renders: Sequence[Render] = (),
    without: frozenset[int] = frozenset(),
) -> Plan:
    """Check the row against the file, as far as a Blender told of it, and give what a run of it renders.

    `renders` are the job file's rows, whose measured seconds make the chunks of `auto`; `without` are frames that are
    already on this machine. Raises RenderError with what the file does hold.
    """
    scene = inspection.scene(render.scene) if inspection else None
    if scene:
        _check_scene(render, scene)
    _check_bounds(render)
    start = _given(render.startframe, scene.startframe if scene else None, "startframe")
    end = _given(render.endframe, scene.endframe if scene else None, "endframe")
    step = render.step or (scene.step if scene else 1)
    if start < 0 or end > MAX_FRAME:
        raise RenderError(f"Frames {start} to {end} are not all between 0 and {MAX_FRAME:,}, as Blender's are.")
    wanted = [frame for frame in frames.frame_range(start, end, step) if frame not in without]
    breaksize = pace.breaksize(render, renders, len(wanted))
    return Plan(
        chunks=frames.chunks(wanted, breaksize, render.review),
        settings=_settings(render, scene),
        fps=scene.fps if scene else None,
    )


def check_version(inspection: Inspection | None, farm_blender: str) -> None:
    """Raise RenderError when the file was saved by a newer Blender than the farm's (`5.0.1`), which may misread it."""
    if inspection is None:
        return
    farm = tuple(int(part) for part in farm_blender.split(".")[:2])
    if inspection.saved_by > farm:
        saved = ".".join(map(str, inspection.saved_by))
        raise RenderError(
            f"The file was saved by Blender {saved} and the farm has {farm_blender}: deploy the farm with a newer "
            "blender_version, or save the file in the farm's version."
        )


def _check_scene(render: Render, scene: Scene) -> None:
    if render.camera is not None and render.camera not in scene.cameras:
        cameras = ", ".join(scene.cameras) or "none"
        raise RenderError(f"Scene {scene.name!r} has no camera {render.camera!r}: it has {cameras}.")
    if scene.camera is None and render.camera is None and not scene.marker_cameras:
        hint = f"name one of {', '.join(scene.cameras)} with --camera" if scene.cameras else "add one in Blender"
        raise RenderError(f"Scene {scene.name!r} has no active camera, so nothing can be rendered: {hint}.")
    if scene.is_movie:
        raise RenderError(
            f"Scene {scene.name!r} writes a movie ({scene.format}), which a farm cannot share out by frames: choose "
            "an image format such as PNG or OpenEXR in Blender's Output properties."
        )
    if render.samples is not None and scene.samples is None:
        raise RenderError(f"Scene {scene.name!r} renders with {scene.engine}, which has no samples: leave them out.")


def _check_bounds(render: Render) -> None:
    for name, value, most in (
        ("xres", render.xres, _MAX_PIXELS),
        ("yres", render.yres, _MAX_PIXELS),
        ("percentage", render.percentage, _MAX_PERCENTAGE),
    ):
        if value is not None and value > most:
            raise RenderError(f"The {name} {value} is more than Blender's {most:,}: give a smaller one.")


def _given(row: int | None, file: int | None, name: str) -> int:
    value = file if row is None else row
    if value is None:
        raise RenderError(f"The {name} is not known, since no Blender was found to ask: give --{name}.")
    return value


def _settings(render: Render, scene: Scene | None) -> Settings:
    """Override only what differs: a view layer's own samples, say, give way to the scene's only on request."""

    def differing(name: str) -> int | None:
        value: int | None = getattr(render, name)
        return None if scene and value == getattr(scene, name) else value

    return Settings(
        scene=render.scene,
        camera=render.camera,
        xres=differing("xres"),
        yres=differing("yres"),
        percentage=differing("percentage"),
        samples=differing("samples"),
    )
