"""Arguments that other estimators of the package take: refused with the reason, not as if they were unknown."""

from collections.abc import Mapping
from typing import Any


def refuse(estimator: Any, given: Mapping[str, Any], reasons: Mapping[str, str]) -> None:
    """Raises TypeError for keyword arguments of `fit` beyond those it names.

    `reasons` says why some have no place there; None is no argument.
    """
    name = type(estimator).__name__
    for argument, value in given.items():
        if argument not in reasons:
            raise TypeError(f"{name}.fit() got an unexpected keyword argument {argument!r}")
        if value is not None:
            raise TypeError(f"{name}.fit() takes no {argument}: {reasons[argument]}")
