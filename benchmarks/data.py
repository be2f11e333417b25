"""Data of the benchmarks: MNIST from idx files, and a synthetic table.

MNIST is looked for in ``$AUTOENC_DATA/mnist`` (default: ``../shared/data`` beside the repository). Where it is absent
a benchmark that needs it raises `DataNotFound`, which the command line turns into a line that says what was skipped
and why.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MNIST_FILES = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}


class DataNotFound(RuntimeError):
    """A data set that this repository does not carry is not on this machine."""


def data_folder() -> Path:
    """Folder of the data sets: ``AUTOENC_DATA``, or ``../shared/data`` relative to the repository root."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("AUTOENC_DATA", default))


def read_idx(path: Path) -> NDArray[np.generic]:
    """Array of a gzipped idx file (two zero bytes, type, number of dimensions, big-endian sizes, elements)."""
    content = gzip.decompress(path.read_bytes())
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise ValueError(f"{path} is not an idx file")
    ndim = content[3]
    start = 4 + 4 * ndim
    if len(content) < start:
        raise ValueError(f"{path} ends within its header")
    shape = struct.unpack(f">{ndim}I", content[4:start])
    dtype = np.dtype(_IDX_TYPES[content[2]])
    if len(content) != start + math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{path} does not hold the {shape} elements that its header promises")
    return np.frombuffer(content, dtype=dtype, offset=start).reshape(shape)


def mnist_images(part: str = "train") -> NDArray[np.uint8]:
    """Images of MNIST as rows of 784 bytes; `part` is "train" (60,000) or "test" (10,000)."""
    path = data_folder() / "mnist" / _MNIST_FILES[part][0]
    if not path.is_file():
        raise DataNotFound(
            f"MNIST is not on this machine: no {path}. Set AUTOENC_DATA to a folder whose "
            "subfolder mnist/ holds the four idx .gz files."
        )
    return read_idx(path).reshape(-1, 784).astype(np.uint8, copy=False)


def mnist_pixels(part: str = "train", rows: int | None = None) -> NDArray[np.float32]:
    """The first `rows` images of MNIST (all by default) as float32 in [0, 1], C-contiguous."""
    pixels = mnist_images(part)[:rows].astype(np.float32)
    pixels /= np.float32(255)
    return pixels


def mnist_labels(part: str = "train", rows: int | None = None) -> NDArray[np.int64]:
    """Digits of the images of `mnist_pixels`."""
    path = data_folder() / "mnist" / _MNIST_FILES[part][1]
    if not path.is_file():
        raise DataNotFound(f"MNIST is not on this machine: no {path}")
    return read_idx(path)[:rows].astype(np.int64)


def table(rows: int, columns: int = 30, factors: int = 8, seed: int = 0) -> NDArray[np.float32]:
    """Standardised float32 columns that a few hidden factors explain but for a tenth of noise, through a bend."""
    rng = np.random.default_rng(seed)
    hidden = rng.standard_normal((rows, factors))
    X = np.tanh(hidden @ rng.standard_normal((factors, columns)) / 2) + 0.1 * rng.standard_normal((rows, columns))
    X -= X.mean(axis=0)
    X /= X.std(axis=0)
    return X.astype(np.float32)


def dictionary_mixtures(
    rows: int, columns: int = 768, atoms: int = 4096, each: int = 24, seed: int = 0
) -> NDArray[np.float32]:
    """Rows like the activations that sparse codes are made for: sums of few of many directions, and a little noise."""
    rng = np.random.default_rng(seed)
    directions = rng.standard_normal((atoms, columns), dtype=np.float32) / np.float32(math.sqrt(columns))
    X = np.empty((rows, columns), dtype=np.float32)
    for row in X:
        chosen = (atoms * rng.random(each) ** 2).astype(np.int64)  # some directions are much more frequent than others
        row[:] = rng.exponential(2.0, each).astype(np.float32) @ directions[chosen]
    X += np.float32(0.02) * rng.standard_normal(X.shape, dtype=np.float32)
    return X


def clicks(rows: int, columns: int = 20000, each: int = 70, groups: int = 40, seed: int = 0) -> sp.csr_array:
    """Float32 rows of `each` ones: most in the columns of the row's group, popular ones first, the rest anywhere."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(columns).reshape(groups, -1)
    indices = np.empty((rows, each), dtype=np.int32)
    for row in indices:
        own = order[rng.integers(groups)]
        inside = own[(own.size * rng.random(4 * each) ** 3).astype(np.int64)]
        outside = order.ravel()[(columns * rng.random(4 * each) ** 3).astype(np.int64)]
        mixed = np.where(rng.random(4 * each) < 0.8, inside, outside)
        row[:] = np.sort(mixed[np.sort(np.unique(mixed, return_index=True)[1])[:each]])
    starts = np.arange(0, rows * each + 1, each, dtype=np.int32)
    return sp.csr_array((np.ones(rows * each, dtype=np.float32), indices.ravel(), starts), shape=(rows, columns))
