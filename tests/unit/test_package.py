"""Which files go along, and where they lie in the package."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from client import expansion, package
from client.digests import Digests
from client.errors import RenderError
from client.inspection import Inspection, Kind, Reference
from client.package import Package


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.fsencode(path.name))


def reference(text: str, path: Path, kind: Kind = Kind.FILE, **more: Any) -> Reference:
    return Reference(text=text, path=path, kind=kind, **more)


def collected(blend: Path, *references: Reference, extra: tuple[Path, ...] = ()) -> Package:
    found = Inspection(blender=(5, 0), saved_by=(5, 0), active_scene="Scene", scenes=[], references=list(references))
    return package.collect(blend, extra, found)


@pytest.fixture
def blend(tmp_path: Path) -> Path:
    path = tmp_path / "project" / "shots" / "shot.blend"
    touch(path)
    return path


def test_what_lies_below_the_blend_and_is_named_relatively_stays_where_it_is(blend: Path) -> None:
    texture = blend.parent / "tex" / "wood.png"
    touch(texture)
    made = collected(blend, reference("//tex/wood.png", texture))
    assert (made.blend, made.remap) == ("shot.blend", {})
    assert made.places == {"shot.blend": blend, "tex/wood.png": texture}


def test_what_is_named_through_folders_above_keeps_its_tree(blend: Path, tmp_path: Path) -> None:
    texture, notes = tmp_path / "project" / "tex" / "wood.png", blend.parent / "notes.txt"
    touch(texture, notes)
    made = collected(blend, reference("//../tex/wood.png", texture), extra=(notes,))
    assert made.remap == {}
    assert set(made.places) == {"shots/shot.blend", "tex/wood.png", "shots/notes.txt"}


def test_what_is_named_absolutely_is_mapped(blend: Path, tmp_path: Path) -> None:
    below, elsewhere = blend.parent / "tex" / "wood.png", tmp_path / "textures" / "stone.png"
    touch(below, elsewhere)
    made = collected(blend, reference(str(below), below), reference(str(elsewhere), elsewhere))
    assert made.remap[str(below)] == "tex/wood.png"
    place = made.remap[str(elsewhere)]
    assert place.startswith("_elsewhere/")
    assert made.places[place] == elsewhere


def test_a_library_elsewhere_brings_its_textures_in_the_same_tree(blend: Path, tmp_path: Path) -> None:
    library, texture = tmp_path / "assets" / "libs" / "lib.blend", tmp_path / "assets" / "tex" / "wood.png"
    touch(library, texture)
    made = collected(blend, reference(str(library), library), reference("//../tex/wood.png", texture, owner=library))
    assert set(made.remap) == {str(library)}
    place = made.remap[str(library)]
    assert made.places[place.replace("libs/lib.blend", "tex/wood.png")] == texture


def test_a_library_elsewhere_that_names_what_is_in_the_project_is_told_where_that_is(
    blend: Path, tmp_path: Path
) -> None:
    library, texture = tmp_path / "assets" / "lib.blend", blend.parent / "wood.png"
    touch(library, texture)
    said = reference("//../project/shots/wood.png", texture, owner=library)
    made = collected(blend, reference(str(library), library), said)
    assert made.remap["//_elsewhere/project/shots/wood.png"] == "wood.png"


def test_libraries_that_link_each_other_end(blend: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "project" / "a.blend", tmp_path / "project" / "b" / "b.blend"
    touch(one, other)
    made = collected(
        blend,
        reference("//../a.blend", one),
        reference("//../b/b.blend", other, owner=one),
        reference("//../a.blend", one, owner=other),
    )
    assert (set(made.places), made.remap) == ({"shots/shot.blend", "a.blend", "b/b.blend"}, {})


def test_a_folder_with_a_name_that_no_package_takes_is_mapped_and_such_a_file_is_left_out(blend: Path) -> None:
    inside, bad = blend.parent / "a\\b" / "wood.png", blend.parent / "stone\n.png"
    touch(inside, bad)
    made = collected(blend, reference("//a\\b/wood.png", inside), reference("//stone\n.png", bad))
    assert list(made.left_out.values()) == ["its name is one that no worker takes; rename it"]
    assert list(made.remap.values()) == [next(place for place in made.places if place.startswith("_elsewhere/"))]


def test_names_that_differ_in_case_alone_and_names_of_linux_alone_travel(blend: Path) -> None:
    names = ["Wood.png", "wood.png", 'what? "why": *.png', "caf\udce9.png"]
    touch(*(blend.parent / name for name in names))
    made = collected(blend, *(reference(f"//{name}", blend.parent / name) for name in names))
    assert set(made.places) == {"shot.blend", *names}
    assert made.left_out == {}


def test_every_missing_file_is_told_and_refused_unless_allowed(blend: Path) -> None:
    made = collected(blend, *(reference(f"//{name}.png", blend.parent / f"{name}.png") for name in "abc"))
    assert len(made.left_out) == 3
    with pytest.raises(RenderError, match=r"a\.png \(and 2 more\), which cannot be sent: it is missing"):
        made.check_complete(allow_missing=False)
    made.check_complete(allow_missing=True)


def test_what_is_missing_is_not_mapped_since_the_worker_would_refuse_the_manifest(blend: Path) -> None:
    assert collected(blend, reference("/gone/wood.png", Path("/gone/wood.png"))).remap == {}


def test_a_path_that_nobody_can_change_must_be_relative(blend: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.bin"
    touch(path)
    made = collected(blend, reference(str(path), path, Kind.FIXED))
    assert "Make Paths Relative" in made.left_out[path]
    assert collected(blend, reference("//../../odd.bin", path, Kind.FIXED)).left_out == {}


def test_each_file_is_read_once_and_equal_ones_have_one_digest(
    blend: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    twin = blend.parent / "twin.blend"
    twin.write_bytes(blend.read_bytes())
    link = blend.parent / "link.blend"
    link.symlink_to(twin)
    made = collected(blend, *(reference(f"//{path.name}", path) for path in (twin, twin, link)))
    opened: list[Path] = []
    real = Path.open

    def counted(path: Path, mode: str) -> Any:
        opened.append(path)
        return real(path, mode)

    monkeypatch.setattr(Path, "open", counted)
    files = package.digested(made, Digests(tmp_path / "digests"), lambda _: None)
    assert len({file.digest for _, file in files}) == 1
    assert sorted(opened) == sorted([blend, link, twin])


def test_a_series_brings_the_numbers_that_are_used_or_all_where_that_is_not_known(tmp_path: Path) -> None:
    touch(*(tmp_path / f"a_{number:03}.png" for number in range(1, 6)), tmp_path / "b_001.png")
    first = tmp_path / "a_001.png"
    bounded = expansion.expand(reference("//a_001.png", first, Kind.SERIES, numbers=(2, 4)))
    assert [path.name for path in bounded.files] == ["a_002.png", "a_003.png", "a_004.png"]
    assert len(expansion.expand(reference("//a_001.png", first, Kind.SERIES)).files) == 5
    gone = expansion.expand(reference("//a_001.png", first, Kind.SERIES, numbers=(8, 9)))
    assert (gone.files, gone.missing) == ([], [first])


@pytest.mark.parametrize(("mark", "tiles"), [("<UDIM>", ("1001", "1011")), ("<UVTILE>", ("u1_v1", "u1_v2"))])
def test_tiles_are_those_that_the_image_has(tmp_path: Path, mark: str, tiles: tuple[str, ...]) -> None:
    touch(tmp_path / f"a.{tiles[0]}.png", tmp_path / "a.1099.png")
    pattern = tmp_path / f"a.{mark}.png"
    found = expansion.expand(reference(f"//{pattern.name}", pattern, Kind.TILES, tiles=tiles))
    assert (found.files, found.missing) == ([tmp_path / f"a.{tiles[0]}.png"], [tmp_path / f"a.{tiles[1]}.png"])


def test_a_folder_comes_whole_even_where_a_link_leads_back_up(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    touch(cache / "a" / "one", cache / "two", tmp_path / "other" / "three")
    (cache / "a" / "up").symlink_to(cache)
    (cache / "other").symlink_to(tmp_path / "other")
    found = expansion.expand(reference("//cache", cache, Kind.FOLDER))
    assert {path.name for path in found.files} == {"one", "two", "three"}
    assert expansion.expand(reference("//none", tmp_path / "none", Kind.FOLDER)).missing == [tmp_path / "none"]


def test_a_folder_of_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(*(tmp_path / str(number) for number in range(4)))
    monkeypatch.setattr(expansion, "MAX_FILES", 3)
    with pytest.raises(RenderError, match="more than 3 files"):
        expansion.files_below(tmp_path)
