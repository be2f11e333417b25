"""Pictures without a plotting library: rows of a matrix as small grey images side by side, in a PNG file."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def sheet(rows: NDArray[Any], side: int = 28, columns: int = 20, gap: int = 2) -> NDArray[np.uint8]:
    """Rows of `side` * `side` entries as tiles, row by row; 0 is mid-grey, a tile's largest magnitude an end."""
    n = -(-len(rows) // columns)
    step = side + gap
    grey = np.zeros((n * step + gap, columns * step + gap), np.uint8)
    largest = np.abs(rows).max(axis=1, keepdims=True)
    tiles = np.rint(127.5 * (1 + rows / np.where(largest > 0, largest, 1))).astype(np.uint8)
    for i, tile in enumerate(tiles):
        top, left = gap + i // columns * step, gap + i % columns * step
        grey[top : top + side, left : left + side] = tile.reshape(side, side)
    return grey


def write_png(path: Path, grey: NDArray[np.uint8]) -> None:
    """An 8-bit grey image, (height, width), as a PNG file (W3C recommendation, third edition: chunks and filter 0)."""
    height, width = grey.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    lines = np.hstack((np.zeros((height, 1), np.uint8), grey)).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(lines, 9)), chunk(b"IEND", b""))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(parts))
