"""Labels as conditions: one column of zeros and ones for each category of the fit. Needs NumPy only."""

from numbers import Integral
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from autoenc._checks import is_sparse, on_host

_SHOWN = 10  # labels in a message
_KINDS = {"b": "i", "i": "i", "u": "i", "U": "U", "S": "S"}  # of labels: those of one kind can be compared
_WORDS = {"i": "whole numbers", "U": "strings", "S": "bytes"}
_ALLOWED = "allowed are labels (strings, whole numbers or booleans) in one dimension, or numbers in two"


class Known(NamedTuple):
    """What a fit has learned of its condition: categories of labels, or names of columns, where it had those."""

    categories: NDArray[Any] | None = None
    names: NDArray[Any] | None = None


def listed(values: Any) -> str:
    """Labels as they show in messages."""
    shown = ", ".join(repr(value) for value in values[:_SHOWN].tolist())
    return f"{shown} and {len(values) - _SHOWN} more" if len(values) > _SHOWN else shown


def _of_objects(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels as an array of their own type; what stands for a missing one is of another type, and refused."""
    for kind, dtype in ((str, np.str_), (bytes, np.bytes_), ((Integral, bool, np.bool_), np.int64)):
        if all(isinstance(value, kind) for value in array):
            return array.astype(dtype)
    types = sorted({type(value).__name__ for value in array})
    raise ValueError(f"{name} has labels of type {', '.join(types)}; allowed are strings alone or whole numbers alone")


def labels(condition: Any, name: str = "condition") -> NDArray[Any] | None:
    """A condition of one dimension as an array of labels: int64, str or bytes. None: it is columns of numbers.

    Raises
    ------
    ValueError
        Where it has one dimension and is of no type for labels.
    """
    if is_sparse(condition):
        return None
    condition = on_host(condition, name)
    try:
        array = np.asarray(condition)
        if array.dtype.kind in "US" and isinstance(condition, (list, tuple)):
            array = np.asarray(condition, dtype=object)  # in which a NaN among strings is not "nan"
    except (TypeError, ValueError):  # ragged: left to later checks
        return None
    if array.ndim == 0:
        raise ValueError(f"{name} is {condition!r}, which has no rows; {_ALLOWED}, for each row")
    if array.ndim != 1:
        return None
    if array.dtype.kind == "T":
        array = array.astype(object)
    if array.dtype.kind == "O":
        array = _of_objects(array, name)
    if array.dtype.kind not in _KINDS:
        raise ValueError(f"{name} has one dimension and is of type {array.dtype}; {_ALLOWED} ({name}.reshape(-1, 1))")
    if _KINDS[array.dtype.kind] != "i":
        return array
    if array.size and array.dtype.kind == "u" and array.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{name} has the label {array.max()}; allowed are whole numbers that int64 holds")
    return array.astype(np.int64)


def is_given(condition: Any, n_columns: int) -> bool:
    """Whether there is a condition, as there must be exactly where the fit had columns of one.

    Raises
    ------
    ValueError
        Where it is not so.
    """
    if (condition is None) != (n_columns == 0):
        given = "without" if condition is None else "with"
        had = f"{n_columns} columns of condition" if n_columns else "none"
        raise ValueError(f"called {given} condition, but the fit had {had}; it must be given to all or to none")
    return condition is not None


def declared(categories: Any) -> NDArray[Any]:
    """The parameter `condition_categories` as a sorted array.

    Raises
    ------
    ValueError
        Where it is no list of different labels.
    """
    values = labels(categories, "condition_categories")
    if values is None or not len(values):
        raise ValueError(
            f"condition_categories is {categories!r}; allowed are labels, in one dimension and at least one"
        )
    found, counts = np.unique(values, return_counts=True)
    if counts.max() > 1:
        raise ValueError(f"condition_categories has {listed(found[counts > 1])} twice; allowed: each label once")
    return found


def text_columns(condition: Any) -> list[str]:
    """Columns with texts of a condition of two dimensions, as messages name them."""
    if is_sparse(condition):
        return []
    if hasattr(condition, "columns"):
        columns = {str(name): np.asarray(condition[name]).ravel() for name in condition.columns}
    else:
        columns = {str(i): column for i, column in enumerate(np.asarray(condition).T)}
    return [
        name
        for name, column in columns.items()
        if column.dtype.kind in "UST" or (column.dtype.kind == "O" and any(isinstance(one, str) for one in column))
    ]


def refuse_texts(condition: Any, name: str) -> None:
    """Refuses columns of texts: labels have a place in one dimension alone."""
    texts = text_columns(condition)
    if texts:
        shown = ", ".join(map(repr, texts[:_SHOWN])) + (", ..." if len(texts) > _SHOWN else "")
        raise ValueError(f"{name} has two dimensions and texts in the columns {shown}; {_ALLOWED}")


def codes(
    values: NDArray[Any], categories: NDArray[Any], name: str = "condition", of: str = "the fit"
) -> NDArray[np.int32]:
    """Numbers of labels among sorted categories, those of the fit or those `of` the parameter.

    Raises
    ------
    ValueError
        Where labels are of another kind than the categories, or not among them; it names those.
    """
    kinds = [_WORDS[_KINDS[array.dtype.kind]] for array in (values, categories)]
    if kinds[0] != kinds[1]:
        raise ValueError(f"{name} has labels that are {kinds[0]}; those of {of} were {kinds[1]}")
    at = np.searchsorted(categories, values)
    at[at == len(categories)] = 0
    unknown = categories[at] != values
    if unknown.any():
        raise ValueError(
            f"{name} has labels that {of} had not: {listed(np.unique(values[unknown]))}; allowed are "
            f"{listed(categories)}; the first of them is at row {int(unknown.argmax())}"
        )
    return at.astype(np.int32)


def one_hot(at: NDArray[np.int32], n_categories: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], Any]:
    """The parts of a CSR matrix with a one in each row: values, columns, starts of rows, shape."""
    n = len(at)
    return (
        np.ones(n, np.float32),
        at,
        np.arange(n + 1, dtype=np.int32 if n < 2**31 - 1 else np.int64),
        (n, n_categories),
    )


def refuse_labels(name: str) -> NoReturn:
    raise ValueError(
        f"{name} has labels, and the fit had none; allowed are columns of numbers, where the fit had those"
    )
