"""Names of columns that a predictor knows from the fit. NumPy only, and no library of frames is imported."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

Names = Mapping[str, Sequence[str] | NDArray[np.object_] | None]  # by argument, X or condition
_SHOWN = 5  # names in a message


def learned_names(learned: Mapping[str, Any]) -> Names:
    """From the attributes of an estimator, or of a scaler."""
    return {"X": learned.get("feature_names_in_"), "condition": learned.get("condition_names_in_")}


def columns_of(X: Any) -> list[Any]:
    """Of the columns of a frame or a table, or of the entries of a row of one; empty where there are none."""
    found = getattr(X, "columns", None)
    if found is None and getattr(X, "ndim", None) == 1:
        found = getattr(X, "index", None)
    elif hasattr(type(X), "column_names"):  # pyarrow, whose columns are the values
        found = X.column_names
    if found is None:
        return []
    # Going through an Index of pandas takes three times as long as an array of it.
    names = found if isinstance(found, list) else np.asarray(found, dtype=object).tolist()
    return names if isinstance(names, list) else []  # some other attribute of that name


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _difference(found: Sequence[str], known: Sequence[str]) -> str:
    has, had = set(found), set(known)
    new, gone = [name for name in found if name not in had], [name for name in known if name not in has]
    twice = [name for name, n in Counter(found).items() if n > 1]
    parts = [f"it has {_listed(new)}, unknown to the fit"] if new else []
    parts += [f"it lacks {_listed(gone)}"] if gone else []
    parts += [f"it has {_listed(twice)} twice"] if twice else []
    if not parts:
        at = next(i for i, (name, other) in enumerate(zip(found, known, strict=True)) if name != other)
        parts = [f"the order is another: column {at} is {found[at]!r}, and in the fit it was {known[at]!r}"]
    return " and ".join(parts)


def refuse_others(found: Sequence[str], known: Sequence[str], argument: str) -> NoReturn:
    """Raises ValueError in scikit-learn's words, and with what differs."""
    raise ValueError(
        f"The feature names should match those that were passed during fit: of {argument}, {_difference(found, known)}"
        ". Allowed are the columns of the fit in their order, or an array, whose columns go by position."
    )


class NamedColumns:
    """Gives a predictor the names of columns, by argument, where the fit had some."""

    _known: dict[str, list[str]] = {}  # noqa: RUF012, never changed; for those that were pickled without

    def _learn_names(self, names: Names | None) -> None:
        given = (names or {}).items()
        self._known = {argument: [str(name) for name in known] for argument, known in given if known is not None}

    @property
    def feature_names_in(self) -> NDArray[np.object_] | None:
        """Names of the columns of X in the fit; None where it had none."""
        known = self._known.get("X")
        return None if known is None else np.array(known, dtype=object)

    def _check_names(self, X: Any, argument: str = "X") -> None:
        """Refuses a frame of other columns than those of the fit, or in another order; others are let through."""
        known = None if isinstance(X, np.ndarray) else self._known.get(argument)
        if known is None:
            return
        found = columns_of(X)
        if found and found != known and all(isinstance(name, str) for name in found):
            refuse_others(found, known, argument)


class Rebuilt(NamedColumns):
    """A predictor whose pickle has what it is made of, of which `_start` builds the network again."""

    _format: ClassVar[int]  # of the pickled state
    _kept: ClassVar[tuple[str, ...]]  # attributes in it, beside the names

    def _start(self) -> None:
        raise NotImplementedError

    def __getstate__(self) -> dict[str, Any]:
        return {"format": self._format, **{name: getattr(self, name) for name in (*self._kept, "_known")}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        found = state.pop("format", None)
        if found != self._format:
            raise ValueError(
                f"this {type(self).__name__} was pickled in format {found}; this release reads {self._format}"
            )
        self.__dict__.update(state)
        self._start()
