"""Rows of a table for ``python -m autoenc train``: gathered, on disk where they are many, and scaled."""

import math
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoenc._row_blocks import row_blocks

MOST_BYTES = 2**30  # of rows in memory; more go to a file that has no name
SCALERS = {"standard": "StandardScaler", "minmax": "MinMaxScaler"}


def _mapped(folder: Path, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array in a file of that folder, which is gone with the array, however the process ends."""
    with tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):  # a disk that is full is an error here, and a signal to the process later
            os.posix_fallocate(file.fileno(), 0, math.prod(shape) * np.dtype(dtype).itemsize)
        return np.memmap(file, dtype=dtype, mode="w+", shape=shape)


class Gathered:
    """Blocks of rows, one after the other, as one array."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._parts: list[NDArray[Any]] = []
        self._file: Any = None
        self._bytes = 0
        self.n = 0

    def __enter__(self) -> "Gathered":
        return self

    def __exit__(self, *_: Any) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, rows: NDArray[Any]) -> None:
        rows = np.ascontiguousarray(rows)  # those of pandas lie by columns
        self._bytes += rows.nbytes
        self.n += len(rows)
        self._parts.append(rows)
        if self._bytes > MOST_BYTES and self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115, closed by __exit__
        if self._file is not None:
            for part in self._parts:
                self._file.write(part.data)
            self._parts = self._parts[-1:]  # for its type and its width
            self._parts[0] = self._parts[0][:0]

    def array(self) -> NDArray[Any]:
        """All rows, which may be changed."""
        if self._file is None:
            return np.concatenate(self._parts)
        self._file.flush()
        first = self._parts[0]
        return np.memmap(self._file, dtype=first.dtype, mode="r+", shape=(self.n, first.shape[1]))


def scaled(kind: str, X: NDArray[Any], names: Sequence[str] | None, folder: Path) -> tuple[Any, NDArray[Any]]:
    """A fitted scaler, and the rows as it scales them: in place where they may be changed, else in a new file.

    Two passes over blocks of a size that the number of columns fixes, so that the file, its format and the memory have
    no part in what comes out.

    Raises
    ------
    OverflowError
        Where values of a column are so large that their sums, squares or differences are not finite.
    """
    from sklearn import preprocessing

    scaler: Any = getattr(preprocessing, SCALERS[kind])()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns without values; what overflows is refused below
        for rows in row_blocks(X):
            scaler.partial_fit(np.ascontiguousarray(X[rows]))  # the order of a sum follows that of the memory
    _check_learned(scaler, X, names)
    if names is not None:
        scaler.feature_names_in_ = np.array(names, dtype=object)
    dtype = X.dtype if X.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    out = X if X.flags.writeable and X.dtype == dtype else _mapped(folder, dtype, X.shape)
    for rows in row_blocks(X):
        out[rows] = _transformed(scaler, X[rows])
    return scaler, out


def _check_learned(scaler: Any, X: NDArray[Any], names: Sequence[str] | None) -> None:
    """Refuses columns whose mean, variance or range is not finite, but those without any value."""
    learned = [value for value in vars(scaler).values() if isinstance(value, np.ndarray)]
    columns = np.flatnonzero(~np.logical_and.reduce([np.isfinite(value) for value in learned]))
    if not columns.size:
        return
    largest = np.fmax.reduce([np.fmax.reduce(np.abs(X[rows][:, columns])) for rows in row_blocks(X)])
    for column, value in zip(columns.tolist(), largest, strict=True):
        if not np.isnan(value):
            place = f"column {column}" + ("" if names is None else f" ({names[column]!r})")
            raise OverflowError(
                f"{place} has values up to {value.item()!r} in size, which are too large to be scaled: their sums or "
                "squares are beyond float64; divide the column first"
            )


def _transformed(scaler: Any, rows: NDArray[Any]) -> NDArray[Any]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        return np.asarray(scaler.transform(rows))
