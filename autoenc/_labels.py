"""The y of classifiers and regressors: which rows have one, and what of it is refused."""

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from autoenc import _data
from autoenc._checks import on_host


class Labels(NamedTuple):
    """What the head is to say, as the core reads it."""

    targets: NDArray[Any]  # (rows, columns of the head)
    known: NDArray[np.bool_]  # rows that have some


def has_label(y: NDArray[Any], unlabeled: Any) -> NDArray[np.bool_]:
    """Which rows have a label; labels of another kind than `unlabeled` all are some."""
    if unlabeled is not None and isinstance(unlabeled, str) == (y.dtype.kind in "UO"):
        return np.asarray(y != unlabeled, dtype=bool)
    return np.ones(len(y), bool)


def weights_of(known: NDArray[np.bool_], sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    weights = _data.check_weights(sample_weight, X)
    return None if weights is None else weights[known]


def numbers(y: Any) -> NDArray[np.float64]:
    """y of a regression as an array."""
    if sp.issparse(y):
        raise ValueError("y is sparse; allowed are dense arrays of numbers")
    y = np.asarray(on_host(y, "y"))
    if y.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: y is {y.dtype}")
    out: NDArray[np.float64] = y.astype(np.float64)
    return out


def finite_columns(y: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    if np.isinf(y).any():
        raise ValueError(f"Input {name} contains infinity; every value must be finite, or NaN for none.")
    return y.reshape(len(y), -1)
