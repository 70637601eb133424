"""Where each file of this machine lies in the package, so that as few paths as possible change.

The package keeps the tree that the `.blend` and all that is named relatively from it have in common, so that
`//../tex/wood.png` works on the worker as it is. What is named absolutely and lies outside that tree goes below
`_elsewhere/`, where it keeps a tree of its own, so that a library elsewhere finds the textures beside it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from client.inspection import Kind, Reference
from render_worker.contract import ContractError, checked_place, remap_key

ELSEWHERE = "_elsewhere"
_DIGITS = 12


class Layout:
    """The places of a `.blend` and what it refers to."""

    def __init__(self, blend: Path, references: Iterable[Reference]) -> None:
        """Choose the trees to keep."""
        self._blend = blend
        references = list(references)
        near = _near(blend, references)
        self._root = _common(path.parent for path in near)
        self._anchors: dict[str, Path] = {}
        for reference in references:
            path = reference.path
            if not path.is_relative_to(self._root):
                anchor = self._anchors.get(path.anchor, path.parent)
                self._anchors[path.anchor] = _common((anchor, path.parent))

    def place(self, path: Path) -> str:
        """Give the path in the package of a file or folder that is referred to; its name is kept in any case."""
        if path.is_relative_to(self._root):
            place = path.relative_to(self._root).as_posix()
        else:
            anchor = self._anchors[path.anchor]
            place = f"{ELSEWHERE}/{_short(anchor)}/{path.relative_to(anchor).as_posix()}"
        try:
            checked_place(place)
        except ContractError:
            # Some folder above it has a name, or a depth, that no package takes.
            return f"{ELSEWHERE}/{_short(path.parent)}/{path.name}"
        return place

    def remapping(self, reference: Reference) -> dict[str, str]:
        """Give what the worker must be told to find it (Manifest.remap): nothing where it would find it anyway."""
        place = self.place(reference.path)
        if reference.kind is Kind.BESIDE:
            return {}
        if not is_relative(reference):
            return {remap_key(reference.text, ""): place}
        owner = reference.owner or self._blend
        # Blender spells the libraries of libraries from the .blend's folder; from their owner's, both mean the same.
        text = "//" + os.path.relpath(reference.path, owner.parent)
        key = remap_key(text, self.place(owner))
        return {} if key == f"//{place}" else {key: place}


def is_relative(reference: Reference) -> bool:
    """Tell whether it is named from where its owner lies."""
    return reference.text.startswith("//") or reference.kind is Kind.BESIDE


def _near(blend: Path, references: list[Reference]) -> set[Path]:
    """Collect what is named relatively from the `.blend`, or from what is near itself."""
    near = {blend}
    while fresh := {found.path for found in references if is_relative(found) and (found.owner or blend) in near} - near:
        near |= fresh
    return near


def _common(folders: Iterable[Path]) -> Path:
    return Path(os.path.commonpath([*folders]))


def _short(folder: Path) -> str:
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:_DIGITS]
