"""What users pass as data, checked, as the C core reads it: in place wherever the core can."""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight, _get_feature_names, check_array, validate_data

from autoenc import _condition, _core
from autoenc._checks import (
    FLOATS,
    canonical,
    check_finite,
    check_structure,
    check_target,
    on_host,
    refuse_text,
    source,
    type_of_frame,
    with_place,
)
from autoenc._condition import Known
from autoenc._names import refuse_others
from autoenc._warn import warn

__all__ = [
    "as_numbers",
    "check_condition",
    "check_features",
    "check_finite",
    "check_other",
    "check_target",
    "check_weights",
    "has_one_range",
    "merge_rows",
    "source",
    "without_values",
]

MERGED_ROWS = 65_536  # up to which solver="lbfgs" merges equal rows
_ROWS_AT_ONCE = 256
# Sums of weights beyond these bring the products of weights and data near what float64 holds.
_LEAST_SUM, _LARGEST_SUM = 1e-150, 1e150
_NO_WEIGHT = "sample_weight is zero for every row; at least one weight must be positive"


def as_numbers(X: Any, name: str) -> Any:
    """Lists of floats as arrays, so that they count as float64; texts and malformed matrices are refused.

    What else is no array of numbers is left to later checks.
    """
    given = X = on_host(X, name)
    check_structure(X, name)
    if isinstance(X, (list, tuple)):
        try:
            array = np.asarray(X)
        except (TypeError, ValueError):
            return X
        X = array if array.dtype.kind in "fUS" else X
    refuse_text(X, name, given)
    return X


def _named(name: str, message: str, kind: type[Exception] = ValueError) -> Exception:
    """An error of scikit-learn's that names the argument."""
    return kind(message if name in message else f"{name}: {message}")


def _dtypes(X: Any, precision: str) -> list[Any]:
    """Types that the core reads, the one that others are converted to in front."""
    known: list[Any] = [np.dtype(precision), *(np.dtype(t) for t in ("float32", "float64", "uint8") if t != precision)]
    dtype = getattr(X, "dtype", None)
    if isinstance(dtype, np.dtype):
        if not dtype.isnative and dtype.newbyteorder("=") in known:
            return [dtype.newbyteorder("=")]
        return [FLOATS[1]] if dtype.kind == "O" else known
    found = type_of_frame(X)
    return known if found is None else [found]


def check_features(
    estimator: Any,
    X: Any,
    *,
    reset: bool,
    precision: str,
    name: str = "X",
    allow_nan: bool | None = None,
    finite: bool = True,
    own: bool = False,
) -> Any:
    """X of `fit` (``reset``) or of a fitted estimator: ndarray of float32, float64 or uint8, or CSR.

    With ``finite=False`` the caller asks `check_finite` itself. `own`: a copy of float32 or float64.
    """
    X = as_numbers(X, name)
    try:
        checked = validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=FLOATS[::-1] if own else _dtypes(X, precision),
            ensure_all_finite=False,
            copy=own,
        )
    except (TypeError, ValueError) as error:
        message, kind = with_place(error, X)
        if name == "X":
            if message == str(error):
                raise
            raise kind(f"X: {message}") from error
        # "X has" is scikit-learn's word for all features.
        raise _named(name, message.replace("X has ", f"{name} has "), kind) from error
    checked = canonical(checked)
    if finite:
        names = getattr(estimator, "feature_names_in_", None)
        check_finite(checked, precision, name, allow_nan=allow_nan, names=names if name == "X" else None)
    return checked


def check_other(
    X: Any,
    *,
    precision: str,
    name: str,
    n_rows: int | None = None,
    n_columns: int | None = None,
    of: str = "",
    rows_of: str = "X",
    allow_nan: bool | None = None,
) -> Any:
    """Data that is not of the estimator's features: targets, conditions, codes."""
    X = as_numbers(X, name)
    try:
        checked = check_array(
            X, accept_sparse="csr", dtype=_dtypes(X, precision), ensure_all_finite=False, input_name=name
        )
    except (TypeError, ValueError) as error:
        raise _named(name, *with_place(error, X)) from error
    checked = canonical(checked)
    if n_rows is not None and checked.shape[0] != n_rows:
        raise ValueError(f"{name} has {checked.shape[0]} rows and {rows_of} has {n_rows}; they must be pairs")
    if n_columns is not None and checked.shape[1] != n_columns:
        raise ValueError(f"{name} has {checked.shape[1]} columns; {of} has {n_columns}")
    check_finite(checked, precision, name, allow_nan=allow_nan)
    return checked


def check_condition(
    condition: Any,
    *,
    precision: str,
    n_rows: int,
    known: Known,
    learns: bool = False,
    declared: NDArray[Any] | None = None,
    n_columns: int | None = None,
    name: str = "condition",
    of: str = "the condition of the fit",
    rows_of: str = "X",
) -> tuple[Any, Known]:
    """A condition as columns of numbers, and what is known of it.

    `known` is what the fit has found. `learns`: this is the fit, and finds it; `declared` are then the categories that
    the user has named.
    """
    values = _condition.labels(condition, name)
    if values is None:
        if declared is not None:
            raise ValueError(
                f"condition_categories says that {name} has labels, and it has columns; allowed are labels in one "
                "dimension, or condition_categories=None"
            )
        try:
            columns = check_other(
                condition, precision=precision, name=name, n_rows=n_rows, n_columns=n_columns, of=of, rows_of=rows_of
            )
        except ValueError:
            _condition.refuse_texts(condition, name)
            raise
        names = _get_feature_names(condition)
        if learns:
            return columns, Known(names=names)
        if known.categories is None:
            _check_names(names, known.names, name)
        return columns, known
    if len(values) != n_rows:
        raise ValueError(f"{name} has {len(values)} rows and {rows_of} has {n_rows}; they must be pairs")
    if learns:
        known = Known(np.unique(values) if declared is None else declared)
    if known.categories is None:
        _condition.refuse_labels(name)
    at = _condition.codes(values, known.categories, name, "the fit" if declared is None else "condition_categories")
    *parts, shape = _condition.one_hot(at, len(known.categories))
    return sp.csr_array(tuple(parts), shape=shape), known


def _check_names(names: NDArray[Any] | None, known: NDArray[Any] | None, name: str) -> None:
    """Names of columns against those of the fit, as scikit-learn does it for X."""
    if known is None or names is None:
        if known is not names:
            has, had = ("has", "had none") if known is None else ("has no", "had some")
            warn(f"{name} {has} names of columns, and that of the fit {had}")
    elif not np.array_equal(names, known):
        refuse_others(names.tolist(), known.tolist(), name)


def without_values(X: Any, columns: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which of some columns are NaN in every row; in CSR what is not stored is an observed zero."""
    n = X.shape[0]
    if sp.issparse(X):
        missing = np.bincount(X.indices[np.isnan(X.data)], minlength=X.shape[1])
        empty: NDArray[np.intp] = columns[missing[columns] == n]
        return empty
    for first in range(0, n, _ROWS_AT_ONCE):
        if not len(columns):
            break
        columns = columns[np.isnan(X[first : first + _ROWS_AT_ONCE, columns]).all(axis=0)]
    return columns


def check_weights(sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    """Weights as the core takes them: finite, nonnegative, not all zero, of a sum that float64 holds."""
    if sample_weight is None:
        return None
    given = as_numbers(sample_weight, "sample_weight")
    objects = np.asarray(given)
    if objects.dtype == object and any(isinstance(one, str) for one in objects.flat):
        refuse_text(objects.astype(str), "sample_weight")
    try:
        weights = _check_sample_weight(given, X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        message = str(error)
        if "at least one non-zero" in message:  # since scikit-learn 1.9, without the parameter's name
            raise ValueError(_NO_WEIGHT) from error
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(message if "sample_weight" in message else f"sample_weight: {message}") from error
    negative = np.flatnonzero(weights < 0.0)
    if len(negative):
        raise ValueError(
            f"Negative values in sample_weight: it is {weights[negative[0]]} at row {negative[0]}; allowed are "
            "nonnegative numbers, not all zero"
        )
    largest = weights.max()
    if not largest > 0.0:
        raise ValueError(_NO_WEIGHT)
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not _LEAST_SUM < total < _LARGEST_SUM:
        weights = weights / largest
    return np.ascontiguousarray(weights)


def _one_nan(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same values with the same bits for every NaN."""
    missing = np.isnan(values)
    return np.where(missing, np.nan, values) if missing.any() else values


def _digests(X: Any) -> NDArray[np.uint64]:
    """128 bits of every row, (n, 2): of columns and values of what is not zero.

    They depend on the values alone, not on their type, the array's layout, the sign of zeros, the bits of a NaN or
    stored zeros.
    """
    parts = []
    for first in range(0, X.shape[0], _ROWS_AT_ONCE):
        block = X[first : first + _ROWS_AT_ONCE]
        stored: Iterable[tuple[Any, Any]]
        if sp.issparse(block):
            values, columns, ends = block.data.astype(np.float64), block.indices.astype(np.int64), block.indptr[1:-1]
            stored = zip(np.split(columns, ends), np.split(_one_nan(values), ends), strict=True)
        else:
            dense = _one_nan(np.ascontiguousarray(block, dtype=np.float64))
            stored = ((np.arange(dense.shape[1], dtype=np.int64), row) for row in dense)
        for columns, values in stored:
            used = values != 0.0
            digest = hashlib.blake2b(columns[used].tobytes(), digest_size=16)
            digest.update(values[used].tobytes())
            parts.append(digest.digest())
    return np.frombuffer(b"".join(parts), dtype="<u8").reshape(-1, 2)


def _rows(X: Any, which: NDArray[np.intp]) -> Any:
    """A copy of some rows, every zero a positive one that is not stored."""
    own = X[which]
    values = own.data if sp.issparse(own) else own
    if values.dtype.kind == "f":
        values += 0.0
    if sp.issparse(own):
        own.eliminate_zeros()
    return own


def merge_rows(
    parts: tuple[Any, ...], weights: NDArray[np.float64] | None
) -> tuple[tuple[Any, ...], NDArray[np.float64] | None]:
    """Each row once, with what belongs to it and with the sum of its weights, in an order that depends on them alone.

    `parts` are the rows first, then their targets and conditions or None. A repeated row and a row of twice the weight
    are the same objective, but sums over them round differently, and a second-order method on an objective that is not
    convex makes any difference large. Merged, they are the same to the bit. Rows without weight are left out. The order
    is that of the rows' digests (BLAKE2, 128 bits), so it costs one pass over the data and no memory to speak of. The
    results are copies.
    """
    rows = np.arange(parts[0].shape[0]) if weights is None else np.flatnonzero(weights)
    amount = np.ones(len(rows)) if weights is None else weights[rows]
    keys = [key[rows] for part in parts if part is not None for key in _digests(part).T]
    order = np.lexsort((amount, *keys))  # equal rows side by side, their weights in an order of their own
    new = np.ones(len(rows), dtype=bool)
    new[1:] = False
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    starts = np.flatnonzero(new)
    merged = np.add.reduceat(amount[order], starts)
    which = rows[order[starts]]
    return (
        tuple(None if part is None else _rows(part, which) for part in parts),
        None if (merged == 1.0).all() else merged,
    )


def has_one_range(X: Any) -> bool:
    """Whether all columns are in the same units: bytes, or values from 0 to 1 that come beyond the middle.

    Of such, as of pixels, the ones that hardly vary say little, and scaling would raise their noise to the size of the
    others. Found by the core, which ends at the first value that decides.
    """
    if X.dtype == np.uint8:
        return True
    rows = source(X)
    outside = _core.find_outside(rows, 0.0, 1.0, allow_nan=True)
    return outside is None and _core.find_outside(rows, -np.inf, 0.5, allow_nan=True) is not None
