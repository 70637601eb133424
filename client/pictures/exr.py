"""Which of an OpenEXR file's layers is the picture, as its header tells.

A file with several layers holds each pass (depth, normals) as channels such as `ViewLayer.Combined.R`, together or each
in a part of its own. https://openexr.com/en/latest/OpenEXRFileLayout.html
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

MAGIC = b"\x76\x2f\x31\x01"
HEADER_BYTES = 1 << 22
"""No header that Blender writes comes near it, tables of offsets included."""
_MULTIPART = 0x1000
_BLOCK_ROWS = (1, 1, 1, 16, 32, 16, 32, 32, 32, 256)
"""Rows that are compressed together, by compression: none, RLE, ZIPS, ZIP, PIZ, PXR24, B44, B44A, DWAA, DWAB."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Where a picture is: the part, counted from 0, and the channels' common name, empty where they have none."""

    part: int
    name: str
    grey_at: int | None
    """Where the file names its one channel, `V`; None for a picture in colours."""
    pixels: int
    """Of the larger one of its two windows, data and display."""


def picture(header: bytes, size: int) -> Layer | None:
    """Choose what an artist would call the picture: the composite, or else the first view layer's combined pass.

    `header` are the first HEADER_BYTES of the file, `size` is the file's in bytes. None when the file holds no colours.
    A header that is damaged raises what reading it raises; ValueError when the file lacks its end.
    """
    parts, end = _parts(header)
    if any(offset >= size for offset in _offsets(header, parts, end)):
        raise ValueError("the file lacks its end")
    found = [layer for part, attributes in enumerate(parts) for layer in _layers(header, part, attributes)]
    return min(found, key=_rank, default=None)


_Attributes = dict[str, int]
"""Name to where the value begins."""


def _parts(header: bytes) -> tuple[list[_Attributes], int]:
    """Give each part's attributes, and where the headers end."""
    multipart = _number(header, "<I", len(MAGIC)) & _MULTIPART
    parts, at = [], 8
    while True:
        attributes: _Attributes = {}
        while header[at]:
            name, at = _text(header, at)
            _, at = _text(header, at)
            attributes[name] = at + 4
            at += 4 + _number(header, "<I", at)
        parts.append(attributes)
        at += 1
        if not multipart or not header[at]:
            return parts, at + bool(multipart)


def _offsets(header: bytes, parts: list[_Attributes], at: int) -> Iterator[int]:
    """Give where each block of rows begins."""
    for attributes in parts:
        if "chunkCount" in attributes:
            count = _number(header, "<i", attributes["chunkCount"])
        else:
            _, top, _, bottom = struct.unpack_from("<4i", header, attributes["dataWindow"])
            count = -(-(bottom - top + 1) // _BLOCK_ROWS[header[attributes["compression"]]])
        for _ in range(count):
            yield _number(header, "<Q", at)
            at += 8


def _layers(header: bytes, part: int, attributes: _Attributes) -> Iterator[Layer]:
    pixels = max(_area(header, attributes[window]) for window in ("dataWindow", "displayWindow"))
    layers: dict[str, dict[str, int]] = {}
    at = attributes["channels"]
    while header[at]:
        start = at
        name, at = _text(header, at)
        layer, _, channel = name.rpartition(".")
        layers.setdefault(layer, {})[channel] = start + len(name.encode()) - len(channel.encode())
        at += 16  # its type and sampling
    for layer, channels in layers.items():
        if {"R", "G", "B"} <= channels.keys() or channels.keys() == {"V"}:
            yield Layer(part=part, name=layer, grey_at=channels.get("V"), pixels=pixels)


def _rank(layer: Layer) -> tuple[bool, ...]:
    names = layer.name.split(".")
    return (layer.grey_at is not None, layer.name != "", "Composite" not in names, "Combined" not in names)


def _area(header: bytes, at: int) -> int:
    left, top, right, bottom = struct.unpack_from("<4i", header, at)
    area: int = max(0, right - left + 1) * max(0, bottom - top + 1)
    return area


def _text(header: bytes, at: int) -> tuple[str, int]:
    end = header.index(0, at)
    return header[at:end].decode(), end + 1


def _number(header: bytes, kind: str, at: int) -> int:
    number: int = struct.unpack_from(kind, header, at)[0]
    return number
