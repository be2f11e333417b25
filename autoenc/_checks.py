"""Checks of data that need neither scikit-learn nor SciPy: those of the estimators and of `Predictor` alike."""

from typing import Any

import numpy as np

from autoenc import _core

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_RANGES = {"unit_interval": (0.0, 1.0, "[0, 1]"), "nonnegative": (0.0, np.inf, "[0, inf)")}
_REMEDIES = {"unit_interval": "scale the features, for instance by MinMaxScaler", "nonnegative": "shift or clip them"}


def is_sparse(X: Any) -> bool:
    return hasattr(X, "tocsr")


def source(X: Any) -> Any:
    """The same data as the core takes it."""
    return (X.data, X.indices, X.indptr, X.shape) if is_sparse(X) else X


def check_compressed(X: Any, name: str) -> None:
    """Refuses what SciPy's conversions and sorting, which trust their input, would crash on."""
    if not is_sparse(X) or X.format not in ("csr", "csc") or len(X.shape) != 2:
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


def canonical(X: Any) -> Any:
    """CSR with sorted columns, none named twice. The user's matrix is left alone."""
    if not is_sparse(X) or X.has_canonical_format:
        return X
    own = X.copy()
    own.sum_duplicates()
    return own


def check_finite(X: Any, precision: str, name: str, *, allow_nan: bool | None = None) -> None:
    """Refuses what is not finite; NaN is let through where `allow_nan`. None: no parameter would allow it here."""
    values = X.data if is_sparse(X) else X
    if values.dtype == np.uint8:
        return
    if values.dtype == np.float64 and precision == "float32":
        # One pass for NaN, infinity and what becomes infinity.
        largest = float(np.finfo(np.float32).max)
        found = _core.find_outside(source(X), -largest, largest, allow_nan=bool(allow_nan))
    else:
        found = _core.find_nonfinite(source(X), allow_nan=bool(allow_nan))
    if found is None:
        return
    row, column, value = found
    if np.isfinite(value):
        raise ValueError(
            f"Input {name} contains {value!r} at row {row}, column {column}, which is infinity in float32; "
            "scale the column or set precision='float64'."
        )
    what = "NaN" if np.isnan(value) else "infinity"
    remedy = "; missing='mask' allows NaN" if what == "NaN" and allow_nan is not None else ""
    raise ValueError(f"Input {name} contains {what} at row {row}, column {column}; every value must be finite{remedy}.")


def _read_as(dtype: np.dtype[Any], precision: str, name: str) -> tuple[np.dtype[Any], np.dtype[Any]]:
    """What data of a type are read as, and the type of the answer."""
    if dtype in FLOATS:
        return dtype, dtype
    own = FLOATS[precision == "float64"]
    if dtype == np.uint8:
        return dtype, own
    if dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} is {dtype}")
    native = FLOATS[1] if dtype.kind == "O" else dtype.newbyteorder("=")
    kept = native if native in FLOATS else own
    return kept, kept


def read_rows(
    X: Any, width: int, *, precision: str, name: str = "X", allow_nan: bool | None = None
) -> tuple[Any, bool, np.dtype[Any]]:
    """One row or many as the core takes them; whether it was one; dtype of the answer."""
    single = False
    if is_sparse(X):
        if len(X.shape) != 2:
            raise ValueError(f"{name} is sparse with {len(X.shape)} dimension; allowed are 2 (or one dense row)")
        check_compressed(X, name)
        values = X.data if hasattr(X, "data") and isinstance(X.data, np.ndarray) else np.empty(0, X.dtype)
        kept, out = _read_as(X.dtype if values.dtype == object else values.dtype, precision, name)
        if X.format != "csr":
            X = X.tocsr()
        X = canonical(X if X.dtype == kept else X.astype(kept))
    else:
        X = np.asarray(X)
        kept, out = _read_as(X.dtype, precision, name)
        X = X if X.dtype == kept else X.astype(kept)
        single = X.ndim == 1
        if single:
            X = X[np.newaxis]
        elif X.ndim != 2:
            raise ValueError(f"{name} has {X.ndim} dimensions; allowed are 1 (one row) and 2")
    if X.shape[1] != width:
        raise ValueError(f"{name} has {X.shape[1]} features, but {width} are expected")
    check_finite(X, precision, name, allow_nan=allow_nan)
    return X, single, out


def check_target(X: Any, loss: str, name: str, *, allow_nan: bool = False) -> None:
    """Refuses values that the loss is not defined for."""
    kind = _core.LOSS_TARGETS[_core.LOSSES.index(loss)]
    if kind == "any":
        return
    low, high, text = _RANGES[kind]
    found = _core.find_outside(source(X), low, high, allow_nan=allow_nan)
    if found is not None:
        row, column, value = found
        hint = "" if np.isnan(value) else f"; {_REMEDIES[kind]}"
        negative = "Negative values in data: " if value < 0 else ""
        raise ValueError(
            f"{negative}loss={loss!r} needs targets in {text}, but {name} has {value!r} at row {row}, "
            f"column {column}{hint}."
        )
