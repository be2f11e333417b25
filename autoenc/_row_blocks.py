"""Blocks of rows that Python passes over. NumPy is not even needed."""

from collections.abc import Iterator
from typing import Any

VALUES_AT_ONCE, ROWS_AT_ONCE = 2**18, 4096  # of a block of rows


def row_blocks(X: Any) -> Iterator[slice]:
    rows = max(1, min(ROWS_AT_ONCE, VALUES_AT_ONCE // X.shape[1]))
    return (slice(first, first + rows) for first in range(0, X.shape[0], rows))
