"""What users pass as data, checked, as the C core reads it: in place wherever the core can."""

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, check_array, validate_data

from autoenc import _core

_RANGES = {"unit_interval": (0.0, 1.0, "[0, 1]"), "nonnegative": (0.0, np.inf, "[0, inf)")}
_REMEDIES = {"unit_interval": "scale the features, for instance by MinMaxScaler", "nonnegative": "shift or clip them"}


def _dtypes(X: Any, precision: str) -> list[Any]:
    """Types that the core reads, the one that others are converted to in front."""
    known: list[Any] = [np.dtype(precision), *(np.dtype(t) for t in ("float32", "float64", "uint8") if t != precision)]
    dtype = getattr(X, "dtype", None)
    if isinstance(dtype, np.dtype) and not dtype.isnative and dtype.newbyteorder("=") in known:
        return [dtype.newbyteorder("=")]
    return known


def _check_compressed(X: Any, name: str) -> None:
    """Refuses what SciPy's conversions and sorting, which trust their input, would crash on."""
    if not sp.issparse(X) or X.format not in ("csr", "csc"):
        return
    major, minor = X.shape if X.format == "csr" else X.shape[::-1]
    starts, indices = X.indptr, X.indices
    label = f"malformed {X.format.upper()} in {name}"
    if starts.shape != (major + 1,):
        raise ValueError(f"{label}: indptr has {starts.size} entries; a shape of {X.shape} needs {major + 1}")
    if indices.shape != X.data.shape:
        raise ValueError(f"{label}: data has {X.data.size} values and indices {indices.size}; they must be equal")
    if starts[0] != 0 or starts[-1] != len(indices) or (len(starts) > 1 and (np.diff(starts) < 0).any()):
        raise ValueError(f"{label}: indptr must rise from 0 to {len(indices)}, the number of stored values")
    if len(indices) and not (indices.min() >= 0 and indices.max() < minor):
        at = int(np.flatnonzero((indices < 0) | (indices >= minor))[0])
        raise ValueError(f"{label}: indices[{at}] is {indices[at]}; allowed are 0 to {minor - 1}")


def source(X: Any) -> Any:
    """The same data as the core takes it."""
    return (X.data, X.indices, X.indptr, X.shape) if sp.issparse(X) else X


def _canonical(X: Any) -> Any:
    """CSR with sorted columns, none named twice. The user's matrix is left alone."""
    if not sp.issparse(X) or X.has_canonical_format:
        return X
    own = X.copy()
    own.sum_duplicates()
    return own


def _check_finite(X: Any, precision: str, name: str) -> None:
    values = X.data if sp.issparse(X) else X
    if values.dtype == np.uint8:
        return
    if values.dtype == np.float64 and precision == "float32":
        # One pass for NaN, infinity and what becomes infinity.
        largest = float(np.finfo(np.float32).max)
        found = _core.find_outside(source(X), -largest, largest)
    else:
        found = _core.find_nonfinite(source(X))
    if found is None:
        return
    row, column, value = found
    if np.isfinite(value):
        raise ValueError(
            f"Input {name} contains {value!r} at row {row}, column {column}, which is infinity in float32; "
            "scale the column or set precision='float64'."
        )
    what = "NaN" if np.isnan(value) else "infinity"
    raise ValueError(f"Input {name} contains {what} at row {row}, column {column}; every value must be finite.")


def check_features(estimator: Any, X: Any, *, reset: bool, precision: str, name: str = "X") -> Any:
    """X of `fit` (``reset``) or of a fitted estimator: ndarray of float32, float64 or uint8, or CSR."""
    _check_compressed(X, name)
    checked = validate_data(
        estimator, X, reset=reset, accept_sparse="csr", dtype=_dtypes(X, precision), ensure_all_finite=False
    )
    checked = _canonical(checked)
    _check_finite(checked, precision, name)
    return checked


def check_other(
    X: Any, *, precision: str, name: str, n_rows: int | None = None, n_columns: int | None = None, of: str = ""
) -> Any:
    """Data that is not of the estimator's features: targets, codes."""
    _check_compressed(X, name)
    checked = check_array(X, accept_sparse="csr", dtype=_dtypes(X, precision), ensure_all_finite=False, input_name=name)
    checked = _canonical(checked)
    if n_rows is not None and checked.shape[0] != n_rows:
        raise ValueError(f"{name} has {checked.shape[0]} rows and X has {n_rows}; they must be pairs")
    if n_columns is not None and checked.shape[1] != n_columns:
        raise ValueError(f"{name} has {checked.shape[1]} columns; {of} has {n_columns}")
    _check_finite(checked, precision, name)
    return checked


def check_target(X: Any, loss: str, name: str) -> None:
    """Refuses values that the loss is not defined for."""
    kind = _core.LOSS_TARGETS[_core.LOSSES.index(loss)]
    if kind == "any":
        return
    low, high, text = _RANGES[kind]
    found = _core.find_outside(source(X), low, high)
    if found is not None:
        row, column, value = found
        hint = "" if np.isnan(value) else f"; {_REMEDIES[kind]}"
        negative = "Negative values in data: " if value < 0 else ""
        raise ValueError(
            f"{negative}loss={loss!r} needs targets in {text}, but {name} has {value!r} at row {row}, "
            f"column {column}{hint}."
        )


def check_weights(sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    if sample_weight is None:
        return None
    weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    if not np.isfinite(weights.sum()):
        raise ValueError("the sum of sample_weight is not finite; divide the weights by a constant")
    return np.ascontiguousarray(weights)
