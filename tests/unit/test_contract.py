"""What a manifest from a bucket may say, and what it may not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from render_worker import contract
from render_worker.contract import (
    ContractError,
    FrameReport,
    Host,
    Manifest,
    PackageFile,
    RenderedFile,
    Report,
    Settings,
)

DIGEST = "a" * 64


def manifest(**changes: Any) -> Manifest:
    values: dict[str, Any] = {
        "run": "Ring-1-20261122-101500-abcdef-012345",
        "blend": "Ring.blend",
        "files": (PackageFile(path="Ring.blend", digest=DIGEST, size=3),),
        "chunks": ((1, 2), (3,)),
        "settings": Settings(scene="Scene", samples=4),
    }
    return Manifest(**{**values, **changes})


def test_a_manifest_survives_the_way_through_the_bucket() -> None:
    assert Manifest.from_json(manifest().to_json()) == manifest()


def test_a_remap_may_name_files_folders_and_patterns_of_the_package() -> None:
    files = (*manifest().files, PackageFile(path="_elsewhere/a/wood.1001.png", digest=DIGEST, size=3))
    remap = {"/a/wood.<UDIM>.png": "_elsewhere/a/wood.<UDIM>.png", "/a": "_elsewhere/a", "/r": "Ring.blend"}
    assert Manifest.from_json(manifest(files=files, remap=remap).to_json()).remap == remap


@pytest.mark.parametrize(
    ("text", "owner", "key"),
    [
        ("//tex/a.png", "shot.blend", "//tex/a.png"),
        ("//../a.png", "shots/shot.blend", "//a.png"),
        ("//..\\tex\\a.png", "shot.blend", "//../tex/a.png"),
        ("C:\\tex\\a.png", "shot.blend", "C:/tex/a.png"),
        ("\\\\server\\a.png", "shot.blend", "//server/a.png"),
        ("/tex/a.png", "libs/lib.blend", "/tex/a.png"),
    ],
)
def test_both_sides_spell_what_a_file_says_alike(text: str, owner: str, key: str) -> None:
    assert contract.remap_key(text, owner) == key


@pytest.mark.parametrize("place", ["What? Why: *.png", "aux.png", "wood .", "_elsewhere/0a/b", "caf\udce9.png"])
def test_a_package_holds_any_name_that_linux_can(place: str) -> None:
    files = (*manifest().files, PackageFile(path=place, digest=DIGEST, size=3))
    assert Manifest.from_json(manifest(files=files).to_json()).files == files


@pytest.mark.parametrize(
    ("name", "others", "strangers"),
    [
        ("a_0001.png", ["a_0002.png", "a_12345.png"], ["a_2.png", "b_0002.png", "a_0002.exr", "a_00002.png"]),
        ("v2_09.x.png", ["v2_10.x.png", "v2_100.x.png"], ["v3_09.x.png"]),
        ("0001", ["0002"], ["x0002"]),
    ],
)
def test_a_series_is_known_by_its_last_number(name: str, others: list[str], strangers: list[str]) -> None:
    series = contract.series_of(name)
    assert series
    assert all(series.fullmatch(other) for other in (name, *others))
    assert not any(series.fullmatch(stranger) for stranger in strangers)


@pytest.mark.parametrize("version", [0, 2, None, "1"])
def test_another_version_is_refused_and_the_sentence_says_which_side_to_update(version: object) -> None:
    text = json.dumps({**json.loads(manifest().to_json()), "version": version})
    with pytest.raises(ContractError, match=r"update the (client|farm)"):
        Manifest.from_json(text)


@pytest.mark.parametrize(
    "path",
    ["../x", "a/../../x", "/etc/passwd", "", ".", "a//b", "a\\b", "a\nb", "a\0b", "x" * 300, "a/" * 600 + "a"],
)
def test_a_path_that_could_leave_the_work_folder_is_refused(path: str) -> None:
    files = (*manifest().files, PackageFile(path=path, digest=DIGEST, size=1))
    with pytest.raises(ContractError, match="path"):
        Manifest.from_json(manifest(files=files).to_json())


@pytest.mark.parametrize("path", ["tex/wood.png", "Ünï cødé.png", "a.b/c d/e", "..x", "x.."])
def test_an_ordinary_path_is_taken(path: str) -> None:
    assert str(contract.checked_path(path)) == path


@pytest.mark.parametrize(
    "changes",
    [
        {"run": "../evil"},
        {"run": "x" * 129},
        {"blend": "Other.blend"},
        {"files": ()},
        {"files": (PackageFile(path="Ring.blend", digest="zz", size=3),)},
        {"files": (PackageFile(path="Ring.blend", digest=DIGEST, size=-1),)},
        {"files": tuple(PackageFile(path=path, digest=DIGEST, size=1) for path in ("Ring.blend", "Ring.blend"))},
        {"files": tuple(PackageFile(path=path, digest=DIGEST, size=1) for path in ("Ring.blend", "a", "a/b"))},
        {"files": tuple(PackageFile(path=path, digest=DIGEST, size=1) for path in ("Ring.blend", "\ud800"))},
        {"files": tuple(PackageFile(path=path, digest=DIGEST, size=1) for path in ("Ring.blend", "ä" * 128))},
        {"remap": []},
        {"remap": {"": "Ring.blend"}},
        {"remap": {"x" * 4097: "Ring.blend"}},
        {"remap": {"/x": 3}},
        {"remap": {"/x": "../Ring.blend"}},
        {"remap": {"/x": "/etc/passwd"}},
        {"remap": {"/x": "nowhere/wood.png"}},
        {"chunks": ()},
        {"chunks": ((1,), ())},
        {"chunks": ((1, 1),)},
        {"chunks": ((-1,),)},
        {"chunks": ((True,),)},
        {"chunks": (("1",),)},
        {"chunks": (tuple(range(1_000_000)), (1,))},
        {"settings": Settings(samples="4")},  # type: ignore[arg-type]
        {"settings": Settings(scene=4)},  # type: ignore[arg-type]
    ],
)
def test_values_out_of_bounds_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        Manifest.from_json(manifest(**changes).to_json())


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense", '{"version": 1}', "[" * 100_000])
def test_what_is_no_manifest_ends_in_a_sentence(text: str) -> None:
    with pytest.raises(ContractError):
        Manifest.from_json(text)


def report(**changes: Any) -> Report:
    values: dict[str, Any] = {
        "run": "r",
        "chunk": 1,
        "attempt": 2,
        "frames": (
            FrameReport(
                frame=3, seconds=0.5, memory_mib=300, files=(RenderedFile(name="0003.png", size=9, digest=DIGEST),)
            ),
        ),
        "skipped": (2,),
        "started": 1.0,
        "finished": 2.0,
        "exit_code": 1,
        "error": "pre_render.sh failed",
        "blender": "5.0.1",
        "device": None,
        "samples": 16,
        "missing": ("tex/wood.png",),
        "host": Host(instance_type="g5.xlarge", availability_zone="eu-west-1b"),
    }
    return Report(**{**values, **changes})


def test_a_report_survives_the_way_through_the_bucket() -> None:
    assert Report.from_json(report().to_json()) == report()


@pytest.mark.parametrize(
    "wrong",
    [
        {"started": float("nan")},
        {"finished": float("inf")},
        {"started": -1.0},
        {"chunk": -1},
        {"attempt": 11},
        {"frames": (FrameReport(frame=-3, seconds=1.0, memory_mib=1, files=()),)},
        {"frames": (FrameReport(frame=3, seconds=float("nan"), memory_mib=1, files=()),)},
    ],
)
def test_a_report_of_what_cannot_be_is_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match="the report"):
        Report.from_json(report(**wrong).to_json())


@pytest.mark.parametrize(
    ("name", "frame"),
    [
        ("0001.png", 1),
        ("12345.exr", 12345),
        ("0000.jpg", 0),
        ("1.png", None),
        ("0001_L.png", None),
        ("x/0001.png", None),
    ],
)
def test_a_frame_is_known_by_the_name_that_blender_gives_it(name: str, frame: int | None) -> None:
    assert contract.frame_of(name) == frame
