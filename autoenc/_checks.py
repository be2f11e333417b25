"""Checks of data that need neither scikit-learn nor SciPy: those of the estimators and of `Predictor` alike."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from autoenc import _core
from autoenc._spec import Range

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_INDICES = {np.dtype(np.int32), np.dtype(np.int64)}  # that the core reads, both of a matrix alike
_RANGES = {"unit_interval": (0.0, 1.0, "[0, 1]"), "nonnegative": (0.0, np.inf, "[0, inf)")}
_WHOLE = ("categorical", "multinomial")  # losses over all columns of a range together
_ONE = 1e-3  # how far from 1 the sum of a row of probabilities may be
_ROWS_AT_ONCE = 1024
_TIMES = ("date", "time", "duration", "period")  # how names of types of dates and times begin
_REMEDIES = {"unit_interval": "scale the features, for instance by MinMaxScaler", "nonnegative": "shift or clip them"}


def is_sparse(X: Any) -> bool:
    return hasattr(X, "tocsr")


def dense(X: Any) -> Any:
    return X.toarray() if is_sparse(X) else X


def source(X: Any) -> Any:
    """The same data as the core takes it."""
    return (X.data, X.indices, X.indptr, X.shape) if is_sparse(X) else X


def on_host(X: Any, name: str) -> Any:
    """Arrays of other libraries as NumPy's, in place where they allow it; what is no such array is left alone.

    The core is no code of theirs, so this is so with scikit-learn's ``array_api_dispatch`` too.

    Raises
    ------
    TypeError
        Where NumPy cannot read it: on another device, with a gradient, sparse, of a type that NumPy lacks.
    """
    if isinstance(X, np.ndarray) or not (hasattr(X, "__array_namespace__") or hasattr(X, "__dlpack__")):
        return X
    try:
        found = np.asarray(X) if hasattr(X, "__array__") or not hasattr(X, "__dlpack__") else np.from_dlpack(X)
        if found.dtype == object and found.ndim == 0:
            raise TypeError("it has neither __array__ nor __dlpack__")
        return found
    except Exception as error:
        kind = f"{type(X).__module__}.{type(X).__qualname__}"
        raise TypeError(
            f"{name} is a {kind} that NumPy cannot read ({error}); allowed are dense arrays in main memory, of a type "
            f"that NumPy has: convert it first, for instance by {name}.detach().cpu().float().numpy() of a tensor of "
            "PyTorch"
        ) from error


def check_structure(X: Any, name: str) -> None:
    """Refuses what SciPy's conversions and sorting, which trust their input, would crash on."""
    if not is_sparse(X) or len(X.shape) != 2:
        return
    if X.format == "coo":
        _check_coordinates(X, name)
    if X.format == "dia" and (X.data.ndim != 2 or X.offsets.shape != X.data.shape[:1]):
        raise ValueError(
            f"malformed DIA in {name}: offsets has shape {X.offsets.shape} and data {X.data.shape}; allowed is one "
            "offset for each row of data"
        )
    if X.format not in ("csr", "csc", "bsr"):
        return
    major, minor = X.shape[::-1] if X.format == "csc" else X.shape
    if X.format == "bsr":  # whose indices count blocks
        if X.data.ndim != 3 or 0 in X.data.shape[1:]:
            raise ValueError(
                f"malformed BSR in {name}: data has shape {X.data.shape}; allowed are (blocks, rows, columns)"
            )
        major, minor = major // X.data.shape[1], minor // X.data.shape[2]
    starts, indices = X.indptr, X.indices
    label = f"malformed {X.format.upper()} in {name}"
    for part, array in (("indptr", starts), ("indices", indices)):
        if array.dtype.kind not in "iu":
            raise ValueError(f"{label}: {part} is of type {array.dtype}; allowed are whole numbers")
    if starts.shape != (major + 1,):
        raise ValueError(f"{label}: indptr has {starts.size} entries; a shape of {X.shape} needs {major + 1}")
    values = X.data[:, 0, 0] if X.format == "bsr" else X.data
    if indices.shape != values.shape:
        raise ValueError(f"{label}: data has {values.size} values and indices {indices.size}; they must be equal")
    if starts[0] != 0 or starts[-1] != len(indices) or (len(starts) > 1 and (np.diff(starts) < 0).any()):
        raise ValueError(f"{label}: indptr must rise from 0 to {len(indices)}, the number of stored values")
    if len(indices) and not (indices.min() >= 0 and indices.max() < minor):
        at = int(np.flatnonzero((indices < 0) | (indices >= minor))[0])
        raise ValueError(f"{label}: indices[{at}] is {indices[at]}; allowed are 0 to {minor - 1}")


def _check_coordinates(X: Any, name: str) -> None:
    for axis, (indices, length) in enumerate(zip((X.row, X.col), X.shape, strict=True)):
        label = f"malformed COO in {name}: {('row', 'col')[axis]}"
        if indices.shape != X.data.shape:
            raise ValueError(f"{label} has {indices.size} entries and data {X.data.size}; they must be equal")
        if len(indices) and not (indices.min() >= 0 and indices.max() < length):
            at = int(np.flatnonzero((indices < 0) | (indices >= length))[0])
            raise ValueError(f"{label}[{at}] is {indices[at]}; allowed are 0 to {length - 1}")


def canonical(X: Any) -> Any:
    """CSR with sorted columns, none named twice, in arrays as the core reads them. The user's matrix is left alone."""
    if not is_sparse(X):
        return X
    parts = (X.data, X.indices, X.indptr)
    types = {part.dtype.newbyteorder("=") for part in parts[1:]}
    if len(types) > 1 or types - _INDICES or not all(part.flags.c_contiguous for part in parts):
        # The constructor finds one type for both; arrays that are put in later may be of any.
        X = type(X)(tuple(map(np.ascontiguousarray, parts)), shape=X.shape)
    if X.has_canonical_format:
        return X
    own = X.copy()
    own.sum_duplicates()
    return own


def _types(X: Any) -> set[str]:
    """Of an array, or of the columns of a frame, which need not be NumPy's; of sparse columns that of the values."""
    found = getattr(X, "dtypes", getattr(X, "dtype", ()))
    each = set(found) if isinstance(found, Iterable) else {found}
    return {str(getattr(one, "subtype", one)) for one in each}


def type_of_frame(X: Any) -> np.dtype[Any] | None:
    """What a frame is read as, if its columns say it: those of whole numbers do not."""
    # "Float64" is of pandas and polars, "double[pyarrow]" of Arrow.
    types = {kind.lower().removesuffix("[pyarrow]") for kind in _types(X)}
    if types & {"float64", "double", "object"}:
        return FLOATS[1]
    return FLOATS[0] if types and types <= {"float32", "float"} else None


def refuse_text(X: Any, name: str, given: Any = None) -> None:
    """Refuses texts, also those of numbers, as scikit-learn does where it asks for numbers (``dtype="numeric"``).

    And dates and times, in columns of a frame, too, whose texts are left to the conversion. `given`: X before.
    """
    dtype = getattr(X, "dtype", None)
    if isinstance(dtype, np.dtype) and dtype.kind not in "USVTmM":
        return
    if isinstance(dtype, np.dtype) and dtype.kind in "USVT":
        if isinstance(given, (list, tuple)):  # of one text among numbers NumPy makes texts of all
            mixed = any(not isinstance(value, (str, bytes)) for value in np.asarray(given, dtype=object).flat)
            message, _ = with_place(ValueError("could not convert string"), given)
            if mixed and " at row " in message:
                raise ValueError(f"{name}: {message}")
        raise ValueError(
            f"{name} is an array of type {dtype}; allowed are numbers: convert texts of numbers explicitly, for "
            f"instance by {name}.astype(float)"
        )
    times = sorted(kind for kind in _types(X) if kind.lower().startswith(_TIMES))
    if times:
        raise ValueError(
            f"{name} {'has' if dtype is None else 'is an array of'} dates or times ({times[0]}); allowed are numbers: "
            f"say in which unit and since when, for instance by ({name} - {name}.min()) / np.timedelta64(1, 'D')"
        )


def with_place(error: Exception, X: Any) -> tuple[str, type[Exception]]:
    """Message and kind of a failed conversion to numbers, with the first value that is none and its place in X."""
    message, kind = str(error), TypeError if isinstance(error, TypeError) else ValueError
    table = isinstance(X, (list, tuple)) or (len(getattr(X, "shape", ())) == 2 and not is_sparse(X))
    if not table or not message.startswith(("could not convert string", "float() argument")):
        return message, kind
    names = getattr(X, "column_names", getattr(X, "columns", None))  # the columns of pyarrow are not their names
    for first in range(0, len(X), _ROWS_AT_ONCE):
        rows = np.asarray(getattr(X, "iloc", X)[first : first + _ROWS_AT_ONCE], dtype=object)
        for (i, *at), value in np.ndenumerate(rows):
            try:
                if value is not None:  # which NumPy takes for NaN
                    float(value)
            except kind as found:
                where = f"row {first + i}" + "".join(f", column {j}" for j in at)
                where += "" if names is None else f" ({str(names[at[0]])!r})"
                if kind is TypeError:
                    return f"{found} at {where}; allowed are numbers, and NaN for what is missing", kind
                return (
                    f"could not convert string to float: {str(value)[:40]!r} at {where}; allowed are numbers: encode "
                    "categories first, for instance by OneHotEncoder"
                ), kind
            except (TypeError, ValueError):
                continue  # such as pandas' NA in a frame where a text is wrong
    return message, kind


ALLOWING = "; missing='mask' allows NaN, and an imputer before this estimator fills it"


def check_finite(X: Any, precision: str, name: str, *, allow_nan: bool | None = None, names: Any = None) -> None:
    """Refuses what is not finite; NaN is let through where `allow_nan`. None: no parameter would allow it here.

    `names`: those of the columns, where they are known.
    """
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
    place = f"row {row}, column {column}" + ("" if names is None else f" ({str(names[column])!r})")
    if np.isfinite(value):
        raise ValueError(
            f"Input {name} contains {value!r} at {place}, which is infinity in float32; "
            "scale the column or set precision='float64'."
        )
    what = "NaN" if np.isnan(value) else "infinity"
    remedy = ALLOWING if what == "NaN" and allow_nan is not None else ""
    raise ValueError(f"Input {name} contains {what} at {place}; every value must be finite{remedy}.")


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
        check_structure(X, name)
        values = X.data if hasattr(X, "data") and isinstance(X.data, np.ndarray) else np.empty(0, X.dtype)
        kept, out = _read_as(X.dtype if values.dtype == object else values.dtype, precision, name)
        if X.format != "csr":
            X = X.tocsr()
        X = canonical(X if X.dtype == kept else X.astype(kept))
    else:
        frame: Any = X if hasattr(X, "dtypes") else None
        if frame is not None:
            refuse_text(frame, name)
        given = X
        X = np.asarray(on_host(X, name))
        refuse_text(X, name, given)
        kept, out = _read_as(X.dtype, precision, name)
        try:
            if X.dtype == object and hasattr(frame, "convert_dtypes"):  # of pandas, whose NA is no number to NumPy
                kept = out = type_of_frame(frame) or FLOATS[precision == "float64"]
                X = frame.to_numpy(kept, na_value=np.nan)
            X = X if X.dtype == kept else X.astype(kept)
        except (TypeError, ValueError) as error:
            message, kind = with_place(error, given)
            raise kind(f"{name}: {message}") from error
        single = X.ndim == 1
        if single:
            X = X[np.newaxis]
        elif X.ndim != 2:
            raise ValueError(f"{name} has {X.ndim} dimensions; allowed are 1 (one row) and 2")
    if X.shape[1] != width:
        raise ValueError(f"{name} has {X.shape[1]} features, but {width} are expected")
    check_finite(X, precision, name, allow_nan=allow_nan)
    return X, single, out


def check_target(
    X: Any, loss: Any, name: str, *, ranges: Sequence[Range] | None = None, allow_nan: bool = False
) -> None:
    """Refuses values that the loss is not defined for, or those of some columns, where there are ranges."""
    if ranges is not None:
        _check_ranges(X, ranges, name, allow_nan)
        return
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


def _limits(loss: str) -> tuple[float, float, str]:
    kind = _core.LOSS_TARGETS[_core.LOSSES.index(loss)]
    return _RANGES.get(kind, (-np.inf, np.inf, ""))


def _check_ranges(X: Any, ranges: Sequence[Range], name: str, allow_nan: bool) -> None:
    """Refuses values that the loss of their column is not defined for."""
    limited = [r for r in ranges if _limits(r["loss"])[2]]
    if not limited:
        return
    if is_sparse(X):
        _check_sparse_ranges(X, limited, name, allow_nan)
        return
    for r in limited:
        low, high, _ = _limits(r["loss"])
        columns: Any = r["columns"]
        if columns[-1] - columns[0] + 1 == len(columns):
            columns = slice(columns[0], columns[-1] + 1)
        for at in range(0, X.shape[0], _ROWS_AT_ONCE):
            part = X[at : at + _ROWS_AT_ONCE, columns]
            found = _core.find_outside(part, low, high, allow_nan=allow_nan)
            if found is not None:
                raise _outside(r, r["labels"][found[1]], found[2], at + found[0], name)
            if r["loss"] in _WHOLE:
                values = part.astype(np.float64)
                missing = np.isnan(values)
                _check_sums(r, np.where(missing, 0.0, values).sum(axis=1), missing.sum(axis=1), at, name)


def _check_sparse_ranges(X: Any, limited: Sequence[Range], name: str, allow_nan: bool) -> None:
    """The same of stored values; an absent entry is a zero, which all losses take."""
    n = X.shape[1]
    owner = np.full(n, len(limited))
    low, high = np.full(len(limited) + 1, -np.inf), np.full(len(limited) + 1, np.inf)
    for i, r in enumerate(limited):
        owner[r["columns"]] = i
        low[i], high[i], _ = _limits(r["loss"])
    whole = [i for i, r in enumerate(limited) if r["loss"] in _WHOLE]
    for at in range(0, X.shape[0], _ROWS_AT_ONCE):
        starts = X.indptr[at : at + _ROWS_AT_ONCE + 1]
        stored = slice(starts[0], starts[-1])
        values, columns = X.data[stored].astype(np.float64), X.indices[stored]
        rows, which = np.repeat(np.arange(len(starts) - 1), np.diff(starts)), owner[columns]
        missing = np.isnan(values)
        outside = ~((values >= low[which]) & (values <= high[which])) & ~(missing & allow_nan)
        if outside.any():
            k = int(outside.argmax())
            r = limited[which[k]]
            label = r["labels"][r["columns"].index(int(columns[k]))]
            raise _outside(r, label, float(values[k]), at + int(rows[k]), name)
        values[missing] = 0.0
        for i in whole:
            own = which == i
            sums = np.bincount(rows[own], values[own], len(starts) - 1)
            _check_sums(limited[i], sums, np.bincount(rows[own], missing[own], len(starts) - 1), at, name)


def _outside(r: Range, label: str | int, value: float, row: int, name: str) -> ValueError:
    kind = _core.LOSS_TARGETS[_core.LOSSES.index(r["loss"])]
    hint = "" if np.isnan(value) else f"; {_REMEDIES[kind]}"
    return ValueError(
        f"{'Negative values in data: ' if value < 0 else ''}the loss {r['loss']!r} of {r['name']!r} needs targets in "
        f"{_limits(r['loss'])[2]}, but {name} has {value!r} at row {row}, column {label!r}{hint}."
    )


def _check_sums(r: Range, sums: Any, n_missing: Any, first: int, name: str) -> None:
    """Refuses rows of which some columns are missing and, of categorical, those that are no distribution."""
    n = len(r["columns"])
    shown = ", ".join(map(repr, r["labels"][:4])) + (", ..." if n > 4 else "")
    label = f"the columns of {r['name']!r} ({shown})"
    bad = (n_missing > 0) & (n_missing < n)
    if bad.any():
        raise ValueError(
            f"{label} are missing in part in row {first + int(bad.argmax())} of {name}; the loss {r['loss']!r} needs "
            "all of them or none"
        )
    bad = (np.abs(sums - 1.0) > _ONE) & (sums != 0.0)
    if r["loss"] == "categorical" and bad.any():
        at = int(bad.argmax())
        raise ValueError(
            f"{label} add up to {float(sums[at])!r} in row {first + at} of {name}; the loss 'categorical' needs one "
            "column of 1 among zeros, or probabilities that add up to 1, or all zeros where the category is not known"
        )
